//! The job's plan: what of the graph is data.

use compiler_ir::{
    Edge, Exchange, Field, Graph, Phase, ScalarType, Stage, StageInput, StageOp, StageOpKind, Tumble, Updating,
    WindowJoin, print,
};
use protocol::checkpoint::{Lifetime, Operator, TableKind, TableSpec};
use protocol::job::{EdgePlan, ExchangePlan, JobPlan, SinkPlan, SourcePlan, StagePlan};

use crate::meaning::stage_tables;

/// The plan that goes with code of this digest.
pub(crate) fn job_plan(graph: &Graph, code: &str) -> JobPlan {
    let tables = stage_tables(graph, tables);
    JobPlan {
        code: code.to_owned(),
        stages: graph.stages.iter().zip(tables).map(|(stage, tables)| stage_plan(stage, tables)).collect(),
        edges: graph.edges.iter().map(edge_plan).collect(),
    }
}

fn stage_plan(stage: &Stage, tables: Vec<TableSpec>) -> StagePlan {
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
        tables,
        updating_ttl_micros: stage.ops.iter().find_map(|op| match &op.kind {
            // No group lives for less than the clock can tell.
            StageOpKind::Updating(updating) => Some((updating.ttl.unsigned_abs() / 1_000).max(1)),
            _ => None,
        }),
    }
}

/// What an operator keeps, in the order in which its generated code numbers it. Names are the graph's; `meaning` gives others.
fn tables(stage: &Stage, op: &StageOp) -> Vec<TableSpec> {
    match &op.kind {
        // Partial states leave at the barrier.
        StageOpKind::Tumble { phase: Phase::Partial, .. } => Vec::new(),
        StageOpKind::Tumble { tumble, .. } => tumble_tables(tumble),
        StageOpKind::WindowJoin(join) => join_tables(stage, join),
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
    TableSpec {
        name: "groups".to_owned(),
        kind: TableKind::Keyed,
        version: 1,
        keys: updating.keys.len(),
        columns,
        lifetime: None,
        operator: Operator::default(),
    }
}

fn tumble_tables(tumble: &Tumble) -> Vec<TableSpec> {
    let keys = tumble.keys.len();
    let lifetime = Some(Lifetime { column: keys, nanos: tumble.width });
    let table = |name: String, kind, columns| TableSpec {
        name,
        kind,
        version: 1,
        keys,
        columns,
        lifetime,
        operator: Operator::default(),
    };
    let mut tables = vec![table("groups".to_owned(), TableKind::TimeKeyed, tumble.state_schema())];
    for aggregate in tumble.aggregates.iter().filter(|aggregate| aggregate.distinct) {
        let name = format!("distinct {}", aggregate.name);
        tables.push(table(name, TableKind::List, tumble.distinct_schema(aggregate)));
    }
    tables
}

/// The rows of each side, as they came: keys, the window or the start of it, other columns.
fn join_tables(stage: &Stage, join: &WindowJoin) -> Vec<TableSpec> {
    let table = |(name, columns): (&str, _)| TableSpec {
        name: name.to_owned(),
        kind: TableKind::List,
        version: 1,
        keys: join.hashed(),
        columns,
        lifetime: Some(Lifetime { column: join.keys, nanos: join.width }),
        operator: Operator::default(),
    };
    ["left", "right"].into_iter().zip(stage.ports()).map(table).collect()
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
        port: edge.port,
        exchange: match &edge.exchange {
            Exchange::Forward => ExchangePlan::Forward,
            Exchange::Hash(columns) => ExchangePlan::Hash(columns.clone()),
            Exchange::Gather => ExchangePlan::Gather,
        },
    }
}
