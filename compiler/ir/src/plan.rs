//! The plan: what is to be computed, as a DAG of operators, before it is decided where.

use schema::{Changelog, Field, ScalarType, Schema};
use serde::{Deserialize, Serialize};

use crate::expr::{Expr, ExprKind};

/// Index of a node in its [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub usize);

/// Operators in topological order: every input of a node stands before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub nodes: Vec<Node>,
}

/// An operator and what flows out of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub op: Op,
    pub inputs: Vec<NodeId>,
    /// Columns of the output.
    pub schema: Schema,
    /// Column of the output that holds the event time, a timestamp. `None` once nothing downstream needs it.
    pub event_time: Option<usize>,
    /// What a row that flows out means.
    pub mode: ChangelogMode,
    /// The clause of the query that it comes from, in canonical spelling, so that it does not change with
    /// the query's layout: `WHERE price > 100`.
    pub note: String,
}

/// What rows mean for those who read them.
///
/// A mode that takes rows by their key, as an upsert does, would be a third.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangelogMode {
    /// Each row is one more; none is ever taken back.
    #[default]
    Append,
    /// Column 0 is [`Changelog::retract_field`]: rows for which it is true take back an earlier one that is equal in all
    /// other columns.
    Retract,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Reads a table. No inputs.
    Source(SourceDef),
    /// Advances the watermark to the largest value of a timestamp expression seen so far. Output = input.
    Watermark { expr: Expr },
    /// Keeps the rows for which the predicate is true. Output = input.
    Filter { predicate: Expr },
    /// Appends columns that kernels compute. Output = input ++ columns.
    Compute { columns: Vec<KernelColumn> },
    /// Output = columns.
    Project { columns: Vec<Column> },
    /// One row for each group and window. Output = keys ++ `window` (if asked for) ++ aggregates.
    Tumble(Tumble),
    /// Rows of all inputs, which have the same schema, in no particular order. Output = each input.
    Union,
    /// Writes to a table. Nothing flows out.
    Sink(SinkDef),
    /// One row for each group, replaced when it changes. Output = [`Changelog::retract_field`] ++ keys ++ aggregates.
    Updating(Updating),
}

/// A named native expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub expr: Expr,
}

/// A column that a block kernel computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelColumn {
    pub name: String,
    /// [`crate::ExprKind::Kernel`] with native arguments.
    pub call: Expr,
    /// A native predicate: the kernel sees the rows for which it is true, the others get null. This is how a
    /// call inside a `CASE`, `AND` or `COALESCE` runs for no row that would not reach it.
    pub guard: Option<Expr>,
}

/// A table that is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceDef {
    /// The SQL name.
    pub table: String,
    pub connector: String,
    /// The connector's validated options. Data: they never decide what is generated.
    pub options: serde_json::Value,
    /// What the source decodes, in the order of the node's schema; only what the query needs.
    pub fields: Vec<SourceField>,
    /// A partition that is silent for this long no longer holds the watermark back; `None`: it always does.
    pub idle_micros: Option<u64>,
}

/// A column of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceField {
    pub field: Field,
    /// Set when the column is connector metadata (`METADATA FROM 'key'`) and not in the row's data.
    pub metadata: Option<String>,
}

/// A table that is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkDef {
    pub table: String,
    pub connector: String,
    pub options: serde_json::Value,
    /// Most tasks that may write at once; a `stdout` has one.
    pub max_parallelism: Option<usize>,
    /// Set when what is written is a changelog.
    pub changelog: Option<Changelog>,
}

/// Grouped aggregation over windows of fixed width, aligned to the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tumble {
    /// Nanoseconds, more than 0.
    pub width: i64,
    /// The row's event time: a timestamp. Rows where it is null belong to no window: they are counted as late.
    pub event_time: Expr,
    /// Group keys; null is a value like others.
    pub keys: Vec<Column>,
    pub aggregates: Vec<Aggregate>,
    /// Name of the output column that holds the window (`STRUCT<start, end>`).
    pub window: String,
}

/// Grouped aggregation over all rows that come, without a window: whenever the row of a group changes, the one that was emitted
/// last is taken back and the new one emitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Updating {
    /// Group keys; null is a value like others.
    pub keys: Vec<Column>,
    /// None is distinct.
    pub aggregates: Vec<Aggregate>,
    /// Nanoseconds, more than 0, by the worker's clock: a group without a new row for so long is forgotten. Data: it does
    /// not decide what is generated.
    pub ttl: i64,
}

/// One aggregate function call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    pub name: String,
    pub function: AggregateFn,
    /// `None` for `count(*)`.
    pub arg: Option<Expr>,
    pub distinct: bool,
    /// `FILTER (WHERE ...)`: only rows for which it is true.
    pub filter: Option<Expr>,
    /// The result's type.
    pub ty: ScalarType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateFn {
    /// `Int64`, never null.
    Count,
    /// `Int64`, `UInt64`, `Float64` or a decimal; integers wrap. Null for no rows.
    Sum,
    /// Any type with an order. Null for no rows. Floats: NaN is the largest.
    Min,
    Max,
    /// `Float64` of `Float64`, or decimal of decimal. Null for no rows.
    Avg,
}

impl Aggregate {
    pub fn nullable(&self) -> bool {
        self.function != AggregateFn::Count
    }

    /// Columns of the partial state: what one task tells the task that merges.
    pub fn state_fields(&self) -> Vec<Field> {
        let arg_ty = self.arg.as_ref().map_or(ScalarType::Int64, |arg| arg.ty.clone());
        match self.function {
            AggregateFn::Count => vec![Field::new(&self.name, ScalarType::Int64, false)],
            AggregateFn::Sum => vec![Field::new(&self.name, self.ty.clone(), true)],
            AggregateFn::Min | AggregateFn::Max => vec![Field::new(&self.name, arg_ty, true)],
            AggregateFn::Avg => {
                // The sum of decimals has 10 digits more than the argument, as `sum` has.
                let sum = match arg_ty {
                    ScalarType::Decimal { scale, .. } => ScalarType::Decimal { precision: 38, scale },
                    _ => ScalarType::Float64,
                };
                vec![
                    Field::new(format!("{}_sum", self.name), sum, true),
                    Field::new(format!("{}_count", self.name), ScalarType::Int64, false),
                ]
            }
        }
    }
}

fn fields_of(keys: &[Column]) -> Vec<Field> {
    keys.iter().map(|key| Field::new(&key.name, key.expr.ty.clone(), key.expr.nullable)).collect()
}

impl Tumble {
    pub fn key_fields(&self) -> Vec<Field> {
        fields_of(&self.keys)
    }

    /// Keys ++ window ++ aggregates.
    pub fn output_schema(&self) -> Schema {
        let mut fields = self.key_fields();
        fields.push(Field::new(&self.window, ScalarType::window(), false));
        fields.extend(self.aggregates.iter().map(|agg| Field::new(&agg.name, agg.ty.clone(), agg.nullable())));
        Schema::new(fields)
    }

    /// Keys ++ window start (`TIMESTAMP`) ++ states.
    pub fn partial_schema(&self) -> Schema {
        let mut fields = self.key_fields();
        fields.push(Field::new("window_start", ScalarType::TIMESTAMP_NS, false));
        fields.extend(self.aggregates.iter().flat_map(Aggregate::state_fields));
        Schema::new(fields)
    }

    /// Keys ++ window start ++ states of the aggregates that are not distinct: what a checkpoint keeps of a group.
    pub fn state_schema(&self) -> Schema {
        let mut fields = self.key_fields();
        fields.push(Field::new("window_start", ScalarType::TIMESTAMP_NS, false));
        let states = self.aggregates.iter().filter(|aggregate| !aggregate.distinct);
        fields.extend(states.flat_map(Aggregate::state_fields));
        Schema::new(fields)
    }

    /// Keys ++ window start ++ value: what a checkpoint keeps of a distinct aggregate, a row for each value.
    pub fn distinct_schema(&self, aggregate: &Aggregate) -> Schema {
        let mut fields = self.key_fields();
        fields.push(Field::new("window_start", ScalarType::TIMESTAMP_NS, false));
        let ty = aggregate.arg.as_ref().map_or(ScalarType::Null, |arg| arg.ty.clone());
        fields.push(Field::new(&aggregate.name, ty, false));
        Schema::new(fields)
    }

    /// Whether tasks may aggregate before the exchange. A distinct count cannot be merged from counts.
    pub fn is_mergeable(&self) -> bool {
        self.aggregates.iter().all(|agg| !agg.distinct)
    }
}

impl Updating {
    /// [`Changelog::retract_field`] ++ keys ++ aggregates.
    pub fn output_schema(&self) -> Schema {
        let mut fields = vec![Changelog::retract_field()];
        fields.extend(fields_of(&self.keys));
        fields.extend(self.aggregates.iter().map(|agg| Field::new(&agg.name, agg.ty.clone(), agg.nullable())));
        Schema::new(fields)
    }

    /// Keys ++ states: what a checkpoint keeps of a group, but for what it keeps of every keyed table.
    pub fn state_schema(&self) -> Schema {
        let mut fields = fields_of(&self.keys);
        fields.extend(self.aggregates.iter().flat_map(Aggregate::state_fields));
        Schema::new(fields)
    }
}

impl Plan {
    pub fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// What a sink behind the node has to know of its rows, if they are a changelog.
    pub fn changelog(&self, id: NodeId) -> Option<Changelog> {
        (self.node(id).mode == ChangelogMode::Retract).then(|| Changelog { key: self.changelog_key(id) })
    }

    /// The columns of a changelog in which a row that is taken back and the one in its place are equal, if they are known:
    /// the group keys, as far as the rows still have all of them.
    fn changelog_key(&self, id: NodeId) -> Option<Vec<usize>> {
        let node = self.node(id);
        let input = node.inputs.first();
        match &node.op {
            Op::Updating(updating) => Some((1..=updating.keys.len()).collect()),
            Op::Watermark { .. } | Op::Filter { .. } | Op::Compute { .. } => self.changelog_key(*input?),
            Op::Project { columns } => {
                let place = |key: usize| columns.iter().position(|column| column.expr.kind == ExprKind::Column(key));
                self.changelog_key(*input?)?.into_iter().map(place).collect()
            }
            // Rows of one input do not tell themselves from those of another.
            Op::Union => None,
            Op::Source(_) | Op::Tumble(_) | Op::Sink(_) => None,
        }
    }

    /// By node: how many inputs of other nodes name it.
    pub fn consumers(&self) -> Vec<usize> {
        let mut consumers = vec![0; self.nodes.len()];
        for input in self.nodes.iter().flat_map(|node| &node.inputs) {
            if let Some(count) = consumers.get_mut(input.0) {
                *count += 1;
            }
        }
        consumers
    }
}
