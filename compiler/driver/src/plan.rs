//! The job's plan: what of the graph is data.

use compiler_ir::{
    Edge, Exchange, Field, Graph, Phase, ScalarType, Stage, StageInput, StageOp, StageOpKind, Tumble, Updating, print,
};
use protocol::checkpoint::{TableKind, TableSpec};
use protocol::job::{EdgePlan, ExchangePlan, JobPlan, SinkPlan, SourcePlan, StagePlan};

/// The plan that goes with code of this digest.
pub(crate) fn job_plan(graph: &Graph, code: &str) -> JobPlan {
    JobPlan {
        code: code.to_owned(),
        stages: graph.stages.iter().map(stage_plan).collect(),
        edges: graph.edges.iter().map(edge_plan).collect(),
    }
}

fn stage_plan(stage: &Stage) -> StagePlan {
    StagePlan {
        id: stage.id.0,
        name: stage.name.clone(),
        operators: print::stage_operators(stage),
        parallelism: stage.parallelism,
        generated: !stage.ops.is_empty(),
        source: source_plan(stage),
        sink: stage.sink.as_ref().map(|sink| SinkPlan {
            table: sink.table.clone(),
            connector: sink.connector.clone(),
            options: sink.options.clone(),
            changelog: sink.changelog.clone(),
        }),
        input_schema: stage.input_schema.clone(),
        output_schema: stage.output_schema.clone(),
        tables: stage.ops.iter().flat_map(tables).collect(),
        updating_ttl_micros: stage.ops.iter().find_map(|op| match &op.kind {
            // No group lives for less than the clock can tell.
            StageOpKind::Updating(updating) => Some((updating.ttl.unsigned_abs() / 1_000).max(1)),
            _ => None,
        }),
    }
}

/// What an operator keeps, in the order in which its generated code numbers it.
fn tables(op: &StageOp) -> Vec<TableSpec> {
    match &op.kind {
        // Partial states leave at the barrier.
        StageOpKind::Tumble { phase: Phase::Partial, .. } => Vec::new(),
        StageOpKind::Tumble { tumble, .. } => tumble_tables(tumble),
        StageOpKind::Updating(updating) => vec![updating_table(updating)],
        StageOpKind::Watermark { .. }
        | StageOpKind::Filter { .. }
        | StageOpKind::Compute { .. }
        | StageOpKind::Project { .. } => Vec::new(),
    }
}

fn updating_table(updating: &Updating) -> TableSpec {
    let mut columns = updating.state_schema();
    columns.fields.push(Field::new("_updated", ScalarType::TIMESTAMP_NS, false));
    columns.fields.push(Field::new("_deleted", ScalarType::Bool, false));
    let (name, keys) = ("groups".to_owned(), updating.keys.len());
    TableSpec { name, kind: TableKind::Keyed, version: 1, keys, columns }
}

fn tumble_tables(tumble: &Tumble) -> Vec<TableSpec> {
    let table = |name: String, kind, columns| TableSpec { name, kind, version: 1, keys: tumble.keys.len(), columns };
    let mut tables = vec![table("groups".to_owned(), TableKind::TimeKeyed, tumble.state_schema())];
    for aggregate in tumble.aggregates.iter().filter(|aggregate| aggregate.distinct) {
        let name = format!("distinct {}", aggregate.name);
        tables.push(table(name, TableKind::List, tumble.distinct_schema(aggregate)));
    }
    tables
}

fn source_plan(stage: &Stage) -> Option<SourcePlan> {
    let StageInput::Source(source) = &stage.input else { return None };
    Some(SourcePlan {
        table: source.table.clone(),
        connector: source.connector.clone(),
        options: source.options.clone(),
        metadata: source.fields.iter().map(|field| field.metadata.clone()).collect(),
        watermark: stage.ops.iter().any(|op| matches!(op.kind, StageOpKind::Watermark { .. })),
        idle_micros: source.idle_micros,
    })
}

fn edge_plan(edge: &Edge) -> EdgePlan {
    EdgePlan {
        from: edge.from.0,
        to: edge.to.0,
        exchange: match &edge.exchange {
            Exchange::Forward => ExchangePlan::Forward,
            Exchange::Hash(columns) => ExchangePlan::Hash(columns.clone()),
            Exchange::Gather => ExchangePlan::Gather,
        },
    }
}
