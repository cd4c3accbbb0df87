//! The graph: stages of fused operators, and the exchanges between them.

use schema::Schema;
use serde::{Deserialize, Serialize};

use crate::expr::Expr;
use crate::plan::{Aggregate, Column, KernelColumn, SinkDef, SourceDef, Tumble, Updating, WindowJoin};

/// Index of a stage in its [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StageId(pub usize);

/// Stages in topological order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    pub stages: Vec<Stage>,
    pub edges: Vec<Edge>,
}

/// A maximal run of operators without an exchange. It runs as `parallelism` tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub id: StageId,
    /// `bids_to_totals`: lower case, unique in the graph, made from the tables and operators.
    pub name: String,
    /// Data, as all parallelism is: it does not decide what is generated.
    pub parallelism: usize,
    pub input: StageInput,
    /// What arrives; for a join, what arrives from the left, then what arrives from the right: see [`Stage::ports`].
    pub input_schema: Schema,
    /// In order; the output of one is the input of the next.
    pub ops: Vec<StageOp>,
    /// What leaves, to the sink or to every edge that starts here.
    pub output_schema: Schema,
    pub sink: Option<SinkDef>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageInput {
    Source(SourceDef),
    /// The edges that end here.
    Edges,
}

/// An operator inside a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageOp {
    pub kind: StageOpKind,
    /// What it emits.
    pub schema: Schema,
    /// See [`crate::Node::note`].
    pub note: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageOpKind {
    Watermark {
        expr: Expr,
    },
    Filter {
        predicate: Expr,
    },
    Compute {
        columns: Vec<KernelColumn>,
    },
    Project {
        columns: Vec<Column>,
    },
    /// Emits [`Tumble::partial_schema`] when `Partial`, [`Tumble::output_schema`] otherwise. When `Final`, its
    /// input is the partial schema: the tumble's own expressions have been evaluated before the exchange.
    Tumble {
        tumble: Tumble,
        phase: Phase,
    },
    /// Emits [`Updating::output_schema`]. Its input begins with the keys.
    Updating(Updating),
    /// Its stage has two ports, the left and the right one.
    WindowJoin(WindowJoin),
}

impl StageOpKind {
    /// Calls `visit` for each expression that is evaluated over the rows of the operator's input.
    pub fn walk_expressions<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            StageOpKind::Watermark { expr } | StageOpKind::Filter { predicate: expr } => visit(expr),
            StageOpKind::Compute { columns } => {
                columns.iter().flat_map(|column| std::iter::once(&column.call).chain(&column.guard)).for_each(visit);
            }
            StageOpKind::Project { columns } => columns.iter().for_each(|column| visit(&column.expr)),
            StageOpKind::Tumble { tumble, .. } => {
                visit(&tumble.event_time);
                walk_groups(&tumble.keys, &tumble.aggregates, visit);
            }
            StageOpKind::Updating(updating) => walk_groups(&updating.keys, &updating.aggregates, visit),
            StageOpKind::WindowJoin(join) => join.condition.iter().for_each(visit),
        }
    }

    /// Whether no column of the input is in the output, but by an expression.
    pub fn replaces_columns(&self) -> bool {
        matches!(self, StageOpKind::Project { .. } | StageOpKind::Tumble { .. } | StageOpKind::Updating(_))
    }
}

fn walk_groups<'a>(keys: &'a [Column], aggregates: &'a [Aggregate], visit: &mut dyn FnMut(&'a Expr)) {
    keys.iter().for_each(|key| visit(&key.expr));
    aggregates.iter().flat_map(|aggregate| aggregate.arg.iter().chain(&aggregate.filter)).for_each(visit);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Rows in, states out.
    Partial,
    /// States in, results out.
    Final,
    /// Rows in, results out.
    Single,
}

/// The flow from one stage to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    pub from: StageId,
    pub to: StageId,
    /// To which of the receiver's inputs: 0, or 1 for the right side of a join.
    pub port: usize,
    pub exchange: Exchange,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exchange {
    /// Task i to task i; both stages have the same parallelism.
    Forward,
    /// Rows with equal keys to the same task. Columns of the output schema.
    Hash(Vec<usize>),
    /// Everything to task 0.
    Gather,
}

impl Stage {
    /// What arrives at each of its inputs. All stages have one but those that begin with a join, which have two.
    pub fn ports(&self) -> Vec<Schema> {
        match self.ops.first().map(|op| &op.kind) {
            Some(StageOpKind::WindowJoin(join)) => {
                let fields = &self.input_schema.fields;
                let (left, right) = fields.split_at(join.left.min(fields.len()));
                vec![Schema::new(left.to_vec()), Schema::new(right.to_vec())]
            }
            _ => vec![self.input_schema.clone()],
        }
    }
}

impl Graph {
    pub fn stage(&self, id: StageId) -> &Stage {
        &self.stages[id.0]
    }

    pub fn edges_from(&self, id: StageId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.from == id)
    }

    pub fn edges_to(&self, id: StageId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.to == id)
    }
}
