//! The plan: what is to be computed, as a DAG of operators, before it is decided where.

use schema::{Changelog, Field, ScalarType, Schema};
use serde::{Deserialize, Serialize};

use crate::expr::{Expr, ExprKind, NativeFn};

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
    /// Pairs of rows of two inputs, in one time window and with equal keys. Output = [`WindowJoin::output_schema`].
    WindowJoin(WindowJoin),
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

/// Rows of two inputs, brought together where their windows and their keys are equal.
///
/// Each input begins with its keys, and then has the window that the row is in (`STRUCT<start, end>`) or its start. A
/// key that is null equals nothing. Numbers of columns go through the left input's, then the right's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowJoin {
    pub kind: JoinKind,
    /// Nanoseconds, more than 0: of the windows of both inputs.
    pub width: i64,
    /// How many columns of each input are keys.
    pub keys: usize,
    /// How many columns the left input has.
    pub left: usize,
    /// What else must be true of a pair. A row has no partner when it is true of none of its pairs.
    pub condition: Option<Expr>,
    /// The columns that leave.
    pub output: Vec<usize>,
}

/// Which rows leave that have no partner, with nulls in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    Inner,
    /// Those of the left input.
    Left,
    Right,
    Full,
}

/// What a column says of the time window that its row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowPart {
    /// `STRUCT<start, end>`
    Whole,
    Start,
    End,
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

impl JoinKind {
    /// Whether rows without a partner leave: those of the left input, those of the right.
    pub fn keeps(self) -> [bool; 2] {
        match self {
            JoinKind::Inner => [false, false],
            JoinKind::Left => [true, false],
            JoinKind::Right => [false, true],
            JoinKind::Full => [true, true],
        }
    }
}

impl WindowJoin {
    /// How many columns of each input, the first ones, say by their hash in which task a row finds its partners: the
    /// keys, or else the window.
    pub fn hashed(&self) -> usize {
        self.keys.max(1)
    }

    /// `input`: the columns of the left input, then those of the right.
    pub fn output_schema(&self, input: &Schema) -> Schema {
        let [keeps_left, keeps_right] = self.kind.keeps();
        let fields = self.output.iter().filter_map(|&column| {
            let mut field = input.fields.get(column)?.clone();
            field.nullable |= if column < self.left { keeps_right } else { keeps_left };
            Some(field)
        });
        Schema::new(fields.collect())
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
            Op::Source(_) | Op::Tumble(_) | Op::Sink(_) | Op::WindowJoin(_) => None,
        }
    }

    /// The window that each row of a node is in, where a column tells it: what of it the column holds, and how wide it
    /// is. Rows leave the node before a watermark that has passed their window's end.
    pub fn window_in(&self, node: NodeId, column: usize) -> Option<(WindowPart, i64)> {
        let Node { op, inputs, .. } = self.nodes.get(node.0)?;
        let input = |n: usize| inputs.get(n).copied().filter(|input| input.0 < node.0);
        match op {
            // An aggregate without a window emits a row when its group changes, whatever the windows in it.
            Op::Source(_) | Op::Sink(_) | Op::Updating(_) => None,
            Op::Watermark { .. } | Op::Filter { .. } => self.window_in(input(0)?, column),
            Op::Compute { .. } => {
                let input = input(0)?;
                if column < self.node(input).schema.len() { self.window_in(input, column) } else { None }
            }
            Op::Project { columns } => self.window_of(input(0)?, &columns.get(column)?.expr),
            Op::Tumble(tumble) => (column == tumble.keys.len()).then_some((WindowPart::Whole, tumble.width)),
            Op::Union => {
                let mut all = (0..inputs.len()).map(|n| self.window_in(input(n)?, column));
                let first = all.next()??;
                all.all(|other| other == Some(first)).then_some(first)
            }
            // Where a row has no partner, that one's window is null.
            Op::WindowJoin(join) => {
                let [keeps_left, keeps_right] = join.kind.keeps();
                match *join.output.get(column)? {
                    column if column < join.left => self.window_in(input(0)?, column).filter(|_| !keeps_right),
                    column => self.window_in(input(1)?, column - join.left).filter(|_| !keeps_left),
                }
            }
        }
    }

    /// The same of an expression over the columns of a node.
    fn window_of(&self, node: NodeId, expr: &Expr) -> Option<(WindowPart, i64)> {
        match &expr.kind {
            ExprKind::Column(column) => self.window_in(node, *column),
            ExprKind::Field { base, index } => match (self.window_of(node, base)?, index) {
                ((WindowPart::Whole, width), 0) => Some((WindowPart::Start, width)),
                ((WindowPart::Whole, width), 1) => Some((WindowPart::End, width)),
                _ => None,
            },
            // The start of a window, from its end.
            ExprKind::Native { function: NativeFn::AddNanos(nanos), args } => {
                match self.window_of(node, args.first()?)? {
                    (WindowPart::End, width) if *nanos == -width => Some((WindowPart::Start, width)),
                    _ => None,
                }
            }
            _ => None,
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
