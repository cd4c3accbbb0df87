//! The text form of the IR: what EXPLAIN shows and golden tests hold.
//!
//! One line an operator, `->` before the columns that leave it (not repeated where they are those that came in):
//!
//! ```text
//! %0 = source bids (nexmark) -> (auction BIGINT NOT NULL, price BIGINT NOT NULL, dt TIMESTAMP NOT NULL) time dt
//! %1 = filter %0: price > 100
//! %2 = tumble %1: 10s on dt by auction [count(*) AS n] -> (auction BIGINT NOT NULL, window STRUCT<...> NOT NULL, n BIGINT NOT NULL)
//! %3 = sink %2: totals (stdout)
//! ```
//!
//! `retract` behind the columns says that they are a changelog's.
//!
//! A join names the columns of both its inputs: `window_join %3, %5: inner 10s on id = id_1 AND window = window_1`.
//!
//! Expressions print in SQL's spelling with column names. What is unmarked is fused into the stage's loop;
//! `kernel:upper(name)` is a call of a block kernel.
//!
//! Invariants: the text depends on nothing but the IR, and printing never fails, also for an IR that the verifier
//! rejects (a column out of range prints as `#7`). Options of connectors are not printed: they are data, and may
//! hold secrets.
//!
//! Not here: parsing the text back; the ASCII picture in the header of a generated crate (code generation).

use std::fmt::Write;

use schema::{Field, ScalarType, Schema, TimeUnit};

use crate::expr::{BinaryOp, DateField, Expr, ExprKind, Literal, NativeFn, UnaryOp};
use crate::graph::{Edge, Exchange, Graph, Phase, Stage, StageInput, StageOp, StageOpKind};
use crate::plan::{
    Aggregate, AggregateFn, ChangelogMode, Column, JoinKind, KernelColumn, NodeId, Op, Plan, SinkDef, SourceDef,
    Tumble, Updating, WindowJoin,
};

/// The plan, a line a node: `explain --view plan`.
pub fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let mut inputs = node.inputs.iter().filter_map(|id| plan.nodes.get(id.0)).map(|node| &node.schema);
        let line = match &node.op {
            Op::WindowJoin(_) => operator(&node.op, &Schema::new(inputs.flat_map(|s| s.fields.clone()).collect())),
            op => operator(op, inputs.next().unwrap_or(&Schema::default())),
        };
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let _ = write!(out, "%{index} = {verb}");
        if node.inputs.is_empty() {
            let _ = write!(out, " {rest}");
        } else {
            let inputs: Vec<String> = node.inputs.iter().map(|NodeId(id)| format!("%{id}")).collect();
            let _ = write!(out, " {}", inputs.join(", "));
            if !rest.is_empty() {
                let _ = write!(out, ": {rest}");
            }
        }
        if !matches!(node.op, Op::Filter { .. } | Op::Watermark { .. } | Op::Sink(_)) {
            let _ = write!(out, " -> {}", node.schema);
            if let Some(field) = node.event_time.and_then(|index| node.schema.fields.get(index)) {
                let _ = write!(out, " time {}", identifier(&field.name));
            }
            match node.mode {
                ChangelogMode::Append => {}
                ChangelogMode::Retract => out.push_str(" retract"),
            }
        }
        out.push('\n');
    }
    out
}

/// The graph, a paragraph a stage: `explain --view stream`.
pub fn graph(graph: &Graph) -> String {
    let mut out = String::new();
    for stage in &graph.stages {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "stage {} {} x{}", stage.id.0, stage.name, stage.parallelism);
        match &stage.input {
            StageInput::Source(source) => {
                let _ = writeln!(out, "  {} -> {}", source_line(source), stage.input_schema);
            }
            StageInput::Edges => {
                for edge in graph.edges_to(stage.id) {
                    let schema = graph.stages.get(edge.from.0).map_or(&stage.input_schema, |from| &from.output_schema);
                    let side = stage_side(stage, edge).map_or_else(String::new, |side| format!("{side} "));
                    let _ = writeln!(out, "  {side}from {} {}", edge.from.0, exchange(edge, schema));
                }
            }
        }
        let mut schema = &stage.input_schema;
        for op in &stage.ops {
            let _ = write!(out, "  {}", stage_operator(op, schema));
            if !matches!(op.kind, StageOpKind::Filter { .. } | StageOpKind::Watermark { .. }) {
                let _ = write!(out, " -> {}", op.schema);
            }
            out.push('\n');
            schema = &op.schema;
        }
        for edge in graph.edges_from(stage.id) {
            let _ = writeln!(out, "  to {} {}", edge.to.0, exchange(edge, &stage.output_schema));
        }
        if let Some(sink) = &stage.sink {
            let _ = writeln!(out, "  {}", sink_line(sink));
        }
    }
    out
}

/// The side of a join that an edge leads to; nothing where there is but one input.
pub fn stage_side(stage: &Stage, edge: &Edge) -> Option<&'static str> {
    match (stage.ops.first().map(|op| &op.kind), edge.port) {
        (Some(StageOpKind::WindowJoin(_)), 0) => Some("left"),
        (Some(StageOpKind::WindowJoin(_)), _) => Some("right"),
        _ => None,
    }
}

/// What a stage does, a line for each operator with its source and its sink, without schemas: `filter price > 100`.
pub fn stage_operators(stage: &Stage) -> Vec<String> {
    let mut lines = Vec::new();
    if let StageInput::Source(source) = &stage.input {
        lines.push(source_line(source));
    }
    let mut schema = &stage.input_schema;
    for op in &stage.ops {
        lines.push(stage_operator(op, schema));
        schema = &op.schema;
    }
    lines.extend(stage.sink.as_ref().map(sink_line));
    lines
}

/// One operator of a stage over the schema of its input: `filter price > 100`.
pub fn stage_operator(op: &StageOp, input: &Schema) -> String {
    match &op.kind {
        StageOpKind::Watermark { expr: e } => format!("watermark {}", expr(e, input)),
        StageOpKind::Filter { predicate } => format!("filter {}", expr(predicate, input)),
        StageOpKind::Compute { columns } => format!("compute {}", kernel_columns(columns, input)),
        StageOpKind::Project { columns } => format!("project {}", named_columns(columns, input)),
        StageOpKind::Tumble { tumble: t, phase: Phase::Single } => format!("tumble {}", tumble(t, input)),
        StageOpKind::Tumble { tumble: t, phase: Phase::Partial } => format!("tumble_partial {}", tumble(t, input)),
        StageOpKind::Tumble { tumble: t, phase: Phase::Final } => format!("tumble_final {}", merged_tumble(t)),
        StageOpKind::Updating(u) => format!("updating {}", updating(u, input)),
        StageOpKind::WindowJoin(join) => format!("window_join {}", window_join(join, input)),
    }
}

fn operator(op: &Op, input: &Schema) -> String {
    match op {
        Op::Source(source) => source_line(source),
        Op::Watermark { expr: e } => format!("watermark {}", expr(e, input)),
        Op::Filter { predicate } => format!("filter {}", expr(predicate, input)),
        Op::Compute { columns } => format!("compute {}", kernel_columns(columns, input)),
        Op::Project { columns } => format!("project {}", named_columns(columns, input)),
        Op::Tumble(t) => format!("tumble {}", tumble(t, input)),
        Op::Union => "union".to_owned(),
        Op::Sink(sink) => sink_line(sink),
        Op::Updating(u) => format!("updating {} for {}", updating(u, input), duration(u.ttl)),
        Op::WindowJoin(join) => format!("window_join {}", window_join(join, input)),
    }
}

fn source_line(source: &SourceDef) -> String {
    format!("source {} ({})", identifier(&source.table), source.connector)
}

fn sink_line(sink: &SinkDef) -> String {
    format!("sink {} ({})", identifier(&sink.table), sink.connector)
}

fn exchange(edge: &Edge, schema: &Schema) -> String {
    match &edge.exchange {
        Exchange::Forward => "forward".to_owned(),
        Exchange::Gather => "gather".to_owned(),
        Exchange::Hash(keys) => {
            let keys: Vec<String> = keys.iter().map(|&key| column_name(key, schema)).collect();
            format!("hash({})", keys.join(", "))
        }
    }
}

fn named_columns(columns: &[Column], input: &Schema) -> String {
    let columns: Vec<String> = columns.iter().map(|column| aliased(expr(&column.expr, input), &column.name)).collect();
    columns.join(", ")
}

fn kernel_columns(columns: &[KernelColumn], input: &Schema) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| {
            let call = aliased(expr(&column.call, input), &column.name);
            match &column.guard {
                Some(guard) => format!("{call} WHERE {}", expr(guard, input)),
                None => call,
            }
        })
        .collect();
    columns.join(", ")
}

fn tumble(tumble: &Tumble, input: &Schema) -> String {
    let on = format!("{} on {}", duration(tumble.width), expr(&tumble.event_time, input));
    let by = by_keys(&tumble.keys, input).map(|by| format!(" {by}")).unwrap_or_default();
    format!("{on}{by} {}", aggregates(&tumble.aggregates, input))
}

/// Without the time to live, which is data.
fn updating(updating: &Updating, input: &Schema) -> String {
    let by = by_keys(&updating.keys, input).map(|by| format!("{by} ")).unwrap_or_default();
    by + &aggregates(&updating.aggregates, input)
}

fn by_keys(keys: &[Column], input: &Schema) -> Option<String> {
    (!keys.is_empty()).then(|| format!("by {}", named_columns(keys, input)))
}

fn aggregates(aggregates: &[Aggregate], input: &Schema) -> String {
    let calls: Vec<String> = aggregates.iter().map(|agg| aliased(aggregate(agg, input), &agg.name)).collect();
    format!("[{}]", calls.join(", "))
}

/// The expressions of a final tumble are over a relation that it never sees: only its columns are named.
fn merged_tumble(tumble: &Tumble) -> String {
    let mut out = duration(tumble.width);
    if !tumble.keys.is_empty() {
        let keys: Vec<String> = tumble.keys.iter().map(|key| identifier(&key.name)).collect();
        let _ = write!(out, " by {}", keys.join(", "));
    }
    let aggregates: Vec<String> = tumble
        .aggregates
        .iter()
        .map(|agg| format!("{} AS {}", aggregate_name(agg.function), identifier(&agg.name)))
        .collect();
    let _ = write!(out, " [{}]", aggregates.join(", "));
    out
}

/// `input`: the columns of both sides.
fn window_join(join: &WindowJoin, input: &Schema) -> String {
    let equal = (0..=join.keys)
        .map(|key| format!("{} = {}", column_name(key, input), column_name(join.left.saturating_add(key), input)));
    let condition = join.condition.iter().map(|condition| operand(condition, Over::new(input), Binding::And));
    let conditions: Vec<String> = equal.chain(condition).collect();
    format!("{} {} on {}", join_kind(join.kind), duration(join.width), conditions.join(" AND "))
}

pub fn join_kind(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
    }
}

/// `count(DISTINCT price) FILTER (WHERE price > 3)`, without its name.
pub fn aggregate(agg: &Aggregate, input: &Schema) -> String {
    call(agg, Over::new(input))
}

/// The same as [`meaning`] has it.
pub fn aggregate_meaning(agg: &Aggregate, input: &Schema) -> String {
    call(agg, Over::unmarked(input))
}

fn call(agg: &Aggregate, over: Over<'_>) -> String {
    let arg = agg.arg.as_ref().map_or("*".to_owned(), |arg| spelled(arg, over));
    let distinct = if agg.distinct { "DISTINCT " } else { "" };
    let mut out = format!("{}({distinct}{arg})", aggregate_name(agg.function));
    if let Some(filter) = &agg.filter {
        let _ = write!(out, " FILTER (WHERE {})", spelled(filter, over));
    }
    out
}

fn aggregate_name(function: AggregateFn) -> &'static str {
    match function {
        AggregateFn::Count => "count",
        AggregateFn::Sum => "sum",
        AggregateFn::Min => "min",
        AggregateFn::Max => "max",
        AggregateFn::Avg => "avg",
    }
}

fn aliased(text: String, name: &str) -> String {
    let name = identifier(name);
    if text == name { text } else { format!("{text} AS {name}") }
}

fn column_name(index: usize, schema: &Schema) -> String {
    schema.fields.get(index).map_or_else(|| format!("#{index}"), |field| identifier(&field.name))
}

/// A name as SQL spells it: quoted unless it is lower case and plain.
pub fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// `10s`, `5m`, `250ms`: in the largest unit that divides it.
pub fn duration(nanos: i64) -> String {
    const UNITS: [(i64, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    UNITS
        .iter()
        .find(|(unit, _)| nanos != 0 && nanos % unit == 0)
        .map_or_else(|| "0s".to_owned(), |(unit, suffix)| format!("{}{suffix}", nanos / unit))
}

/// How tightly an expression binds, for parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Not,
    Test,
    Comparison,
    Bits,
    Sum,
    Product,
    Sign,
    Atom,
}

/// What an expression is printed over.
#[derive(Clone, Copy)]
struct Over<'a> {
    schema: &'a Schema,
    /// What stands before the name of a kernel.
    kernel: &'static str,
}

impl<'a> Over<'a> {
    fn new(schema: &'a Schema) -> Self {
        Over { schema, kernel: "kernel:" }
    }

    /// Where it makes no difference what runs as a kernel.
    fn unmarked(schema: &'a Schema) -> Self {
        Over { schema, kernel: "" }
    }
}

/// The expression in SQL's spelling over the columns of `schema`; kernels are marked.
pub fn expr(expr: &Expr, schema: &Schema) -> String {
    spelled(expr, Over::new(schema))
}

/// The same without the marks: what it means, not how it runs.
pub fn meaning(expr: &Expr, schema: &Schema) -> String {
    spelled(expr, Over::unmarked(schema))
}

fn spelled(expr: &Expr, over: Over<'_>) -> String {
    rendered(expr, over).0
}

/// The operand, in parentheses unless it binds at least as tightly as `least`.
fn operand(expr: &Expr, over: Over<'_>, least: Binding) -> String {
    let (text, binding) = rendered(expr, over);
    if binding < least { format!("({text})") } else { text }
}

fn rendered(expr: &Expr, over: Over<'_>) -> (String, Binding) {
    match &expr.kind {
        ExprKind::Column(index) => (column_name(*index, over.schema), Binding::Atom),
        ExprKind::Field { base, index } => (member(base, *index, over), Binding::Atom),
        ExprKind::Literal(value) => (literal(value, &expr.ty), Binding::Atom),
        ExprKind::Unary { op, arg } => unary(*op, arg, over),
        ExprKind::Binary { op, left, right } => binary(*op, left, right, over),
        ExprKind::Case { branches, otherwise } => (case(branches, otherwise.as_deref(), over), Binding::Atom),
        ExprKind::Cast { arg, fallible_as_null } => {
            let cast = if *fallible_as_null { "TRY_CAST" } else { "CAST" };
            (format!("{cast}({} AS {})", spelled(arg, over), expr.ty), Binding::Atom)
        }
        ExprKind::InList { arg, items, negated } => {
            let items: Vec<String> = items.iter().map(|item| literal(item, &arg.ty)).collect();
            let not = if *negated { "NOT " } else { "" };
            (format!("{} {not}IN ({})", operand(arg, over, Binding::Bits), items.join(", ")), Binding::Comparison)
        }
        ExprKind::Native { function, args } => native(*function, args, over),
        ExprKind::Kernel { name, args } => (format!("{}{name}({})", over.kernel, list(args, over)), Binding::Atom),
    }
}

fn list(exprs: &[Expr], over: Over<'_>) -> String {
    let exprs: Vec<String> = exprs.iter().map(|e| spelled(e, over)).collect();
    exprs.join(", ")
}

fn member(base: &Expr, index: usize, over: Over<'_>) -> String {
    let name = match &base.ty {
        ScalarType::Struct(fields) => fields.get(index).map(|field| identifier(&field.name)),
        _ => None,
    };
    format!("{}.{}", operand(base, over, Binding::Atom), name.unwrap_or_else(|| format!("#{index}")))
}

fn unary(op: UnaryOp, arg: &Expr, over: Over<'_>) -> (String, Binding) {
    let test = |words: &str| (format!("{} {words}", operand(arg, over, Binding::Comparison)), Binding::Test);
    match op {
        UnaryOp::Not => (format!("NOT {}", operand(arg, over, Binding::Not)), Binding::Not),
        UnaryOp::Negate => (format!("-{}", operand(arg, over, Binding::Atom)), Binding::Sign),
        UnaryOp::IsNull => test("IS NULL"),
        UnaryOp::IsNotNull => test("IS NOT NULL"),
        UnaryOp::IsTrue => test("IS TRUE"),
        UnaryOp::IsNotTrue => test("IS NOT TRUE"),
        UnaryOp::IsFalse => test("IS FALSE"),
        UnaryOp::IsNotFalse => test("IS NOT FALSE"),
    }
}

fn binary(op: BinaryOp, left: &Expr, right: &Expr, over: Over<'_>) -> (String, Binding) {
    // What the operator itself is, and the least that its operands must be. Those that do not associate to the
    // left without a difference in meaning take parentheses on the right.
    let (binding, least_left, least_right) = match op {
        BinaryOp::Or => (Binding::Or, Binding::Or, Binding::And),
        BinaryOp::And => (Binding::And, Binding::And, Binding::Not),
        BinaryOp::Add | BinaryOp::Subtract => (Binding::Sum, Binding::Sum, Binding::Product),
        BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Remainder => {
            (Binding::Product, Binding::Product, Binding::Sign)
        }
        op if op.is_bitwise() => (Binding::Bits, Binding::Sum, Binding::Sum),
        _ => (Binding::Comparison, Binding::Bits, Binding::Bits),
    };
    let text = format!("{} {} {}", operand(left, over, least_left), op.symbol(), operand(right, over, least_right));
    (text, binding)
}

fn case(branches: &[(Expr, Expr)], otherwise: Option<&Expr>, over: Over<'_>) -> String {
    let mut out = "CASE".to_owned();
    for (when, then) in branches {
        let _ = write!(out, " WHEN {} THEN {}", spelled(when, over), spelled(then, over));
    }
    if let Some(otherwise) = otherwise {
        let _ = write!(out, " ELSE {}", spelled(otherwise, over));
    }
    out + " END"
}

fn native(function: NativeFn, args: &[Expr], over: Over<'_>) -> (String, Binding) {
    let field_call = |name: &str, field: DateField| {
        (format!("{name}('{}', {})", date_field(field), list(args, over)), Binding::Atom)
    };
    match function {
        NativeFn::DateTrunc(field) => field_call("date_trunc", field),
        NativeFn::DatePart(field) => field_call("date_part", field),
        NativeFn::AddNanos(nanos) => {
            let sign = if nanos < 0 { '-' } else { '+' };
            let left = args.first().map_or_else(String::new, |arg| operand(arg, over, Binding::Sum));
            (format!("{left} {sign} INTERVAL '{}'", interval(0, 0, nanos.saturating_abs())), Binding::Sum)
        }
        _ => (format!("{}({})", function_name(function), list(args, over)), Binding::Atom),
    }
}

/// The SQL name of a native function.
pub fn function_name(function: NativeFn) -> &'static str {
    match function {
        NativeFn::Coalesce => "coalesce",
        NativeFn::NullIf => "nullif",
        NativeFn::Greatest => "greatest",
        NativeFn::Least => "least",
        NativeFn::Abs => "abs",
        NativeFn::Ceil => "ceil",
        NativeFn::Floor => "floor",
        NativeFn::Round => "round",
        NativeFn::Trunc => "trunc",
        NativeFn::Sqrt => "sqrt",
        NativeFn::Exp => "exp",
        NativeFn::Ln => "ln",
        NativeFn::Log2 => "log2",
        NativeFn::Log10 => "log10",
        NativeFn::Power => "power",
        NativeFn::CharLength => "character_length",
        NativeFn::OctetLength => "octet_length",
        NativeFn::StartsWith => "starts_with",
        NativeFn::EndsWith => "ends_with",
        NativeFn::Contains => "contains",
        NativeFn::StrPos => "strpos",
        NativeFn::Substr => "substr",
        NativeFn::Left => "left",
        NativeFn::Right => "right",
        NativeFn::Trim => "btrim",
        NativeFn::TrimStart => "ltrim",
        NativeFn::TrimEnd => "rtrim",
        NativeFn::SplitPart => "split_part",
        NativeFn::DateTrunc(_) => "date_trunc",
        NativeFn::DatePart(_) => "date_part",
        NativeFn::AddNanos(_) => "add_nanos",
    }
}

/// The SQL name of a field of a date.
pub fn date_field(field: DateField) -> &'static str {
    match field {
        DateField::Year => "year",
        DateField::Quarter => "quarter",
        DateField::Month => "month",
        DateField::Week => "week",
        DateField::Day => "day",
        DateField::DayOfWeek => "dow",
        DateField::DayOfYear => "doy",
        DateField::Hour => "hour",
        DateField::Minute => "minute",
        DateField::Second => "second",
        DateField::Millisecond => "millisecond",
        DateField::Microsecond => "microsecond",
        DateField::Nanosecond => "nanosecond",
        DateField::Epoch => "epoch",
    }
}

/// A constant with a type, as SQL spells it.
pub fn literal(value: &Literal, ty: &ScalarType) -> String {
    match (value, ty) {
        (Literal::Null, _) => "NULL".to_owned(),
        (Literal::Bool(value), _) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        (Literal::Int(days), ScalarType::Date) => format!("DATE '{}'", date(*days)),
        (Literal::Int(nanos), ScalarType::Time) => format!("TIME '{}'", time_of_day(*nanos)),
        (Literal::Int(ticks), ScalarType::Timestamp { unit, zone }) => timestamp(*ticks, *unit, zone.as_deref()),
        (Literal::Int(ticks), ScalarType::Duration { unit }) => {
            let nanos = i128::from(*ticks) * i128::from(unit.nanos());
            i64::try_from(nanos).map_or_else(|_| format!("DURATION {ticks}"), |n| format!("DURATION '{}'", duration(n)))
        }
        (Literal::Int(value), _) => value.to_string(),
        (Literal::UInt(value), _) => value.to_string(),
        // `Debug` keeps the `.0` that tells a float from an integer.
        (Literal::Float(value), _) => format!("{value:?}"),
        (Literal::Decimal(value), ScalarType::Decimal { scale, .. }) => decimal(*value, *scale),
        (Literal::Decimal(value), _) => value.to_string(),
        (Literal::Utf8(text), _) => format!("'{}'", text.replace('\'', "''").replace('\n', "\\n")),
        (Literal::Binary(bytes), _) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("X'{digits}'")
        }
        (Literal::Interval { months, days, nanos }, _) => format!("INTERVAL '{}'", interval(*months, *days, *nanos)),
        (Literal::List(items), ScalarType::List(item)) => {
            let items: Vec<String> = items.iter().map(|value| literal(value, item)).collect();
            format!("[{}]", items.join(", "))
        }
        (Literal::List(items), _) => format!("[{} items]", items.len()),
        (Literal::Struct(values), ScalarType::Struct(fields)) => {
            let members: Vec<String> = fields.iter().zip(values).map(|(field, value)| pair(field, value)).collect();
            format!("{{{}}}", members.join(", "))
        }
        (Literal::Struct(values), _) => format!("{{{} members}}", values.len()),
    }
}

fn pair(field: &Field, value: &Literal) -> String {
    format!("{}: {}", identifier(&field.name), literal(value, &field.ty))
}

fn decimal(value: i128, scale: i8) -> String {
    let Ok(scale @ 1..) = usize::try_from(scale) else {
        return format!("{value}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
}

fn interval(months: i32, days: i32, nanos: i64) -> String {
    let mut parts = Vec::new();
    if months != 0 {
        parts.push(format!("{months} months"));
    }
    if days != 0 {
        parts.push(format!("{days} days"));
    }
    if nanos != 0 || parts.is_empty() {
        let seconds = nanos / 1_000_000_000;
        let rest = nanos % 1_000_000_000;
        let sign = if nanos < 0 && seconds == 0 { "-" } else { "" };
        let fraction = format!("{:09}", rest.abs());
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() { "" } else { "." };
        parts.push(format!("{sign}{seconds}{dot}{fraction} seconds"));
    }
    parts.join(" ")
}

fn timestamp(ticks: i64, unit: TimeUnit, zone: Option<&str>) -> String {
    const DAY: i128 = 86_400_000_000_000;
    let nanos = i128::from(ticks) * i128::from(unit.nanos());
    // A day of an `i64` of seconds is still an `i64`.
    let days = i64::try_from(nanos.div_euclid(DAY)).unwrap_or(0);
    let time = i64::try_from(nanos.rem_euclid(DAY)).unwrap_or(0);
    let zone = zone.map_or_else(String::new, |zone| format!(" {zone}"));
    format!("TIMESTAMP '{} {}{zone}'", date(days), time_of_day(time))
}

fn time_of_day(nanos: i64) -> String {
    let seconds = nanos / 1_000_000_000;
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let rest = nanos % 1_000_000_000;
    if rest != 0 {
        let fraction = format!("{rest:09}");
        let _ = write!(out, ".{}", fraction.trim_end_matches('0'));
    }
    out
}

/// `2024-02-29` of days since the epoch, in the proleptic Gregorian calendar.
fn date(days: i64) -> String {
    // Count from 0000-03-01, so that the leap day is a year's last, in eras of 400 years (146,097 days).
    let days = i128::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i128::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(index: usize) -> Expr {
        Expr::column(index, ScalarType::Int64, false)
    }

    fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
        let ty = if op.is_arithmetic() { ScalarType::Int64 } else { ScalarType::Bool };
        Expr { kind: ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, ty, nullable: false }
    }

    fn int(value: i64) -> Expr {
        Expr::literal(Literal::Int(value), ScalarType::Int64)
    }

    #[test]
    fn parentheses_stand_where_they_change_the_meaning() {
        use BinaryOp::*;
        let fields = ["a", "b", "Order"].map(|name| Field::new(name, ScalarType::Int64, false));
        let schema = Schema::new(fields.into());
        let (a, b, order) = (column(0), column(1), column(2));
        let not = |arg: Expr| Expr {
            kind: ExprKind::Unary { op: UnaryOp::Not, arg: Box::new(arg) },
            ty: ScalarType::Bool,
            nullable: false,
        };
        let less = binary(Less, a.clone(), b.clone());
        let cases = [
            (binary(Add, a.clone(), binary(Multiply, b.clone(), int(2))), "a + b * 2"),
            (binary(Multiply, binary(Add, a.clone(), b.clone()), int(2)), "(a + b) * 2"),
            (binary(Subtract, a.clone(), binary(Subtract, b.clone(), order.clone())), "a - (b - \"Order\")"),
            (binary(Subtract, binary(Subtract, a.clone(), b.clone()), order), "a - b - \"Order\""),
            (binary(And, binary(Or, less.clone(), less.clone()), not(less.clone())), "(a < b OR a < b) AND NOT a < b"),
            (not(binary(And, less.clone(), less.clone())), "NOT (a < b AND a < b)"),
            (binary(Equal, less.clone(), less), "(a < b) = (a < b)"),
            (column(7), "#7"),
        ];
        for (value, text) in cases {
            assert_eq!(expr(&value, &schema), text);
        }
    }

    #[test]
    fn constants_print_with_their_type() {
        let nanos = ScalarType::TIMESTAMP_NS;
        let micros = ScalarType::Timestamp { unit: TimeUnit::Microsecond, zone: Some("UTC".into()) };
        let decimal = ScalarType::Decimal { precision: 10, scale: 2 };
        let cases = [
            (Literal::Int(0), nanos.clone(), "TIMESTAMP '1970-01-01 00:00:00'"),
            (Literal::Int(951_782_400_500_000_000), nanos.clone(), "TIMESTAMP '2000-02-29 00:00:00.5'"),
            (Literal::Int(-1), nanos, "TIMESTAMP '1969-12-31 23:59:59.999999999'"),
            (Literal::Int(i64::MAX), micros, "TIMESTAMP '294247-01-10 04:00:54.775807 UTC'"),
            (Literal::Int(19_782), ScalarType::Date, "DATE '2024-02-29'"),
            (Literal::Int(3_600_000_000_000), ScalarType::Time, "TIME '01:00:00'"),
            (Literal::Decimal(-5), decimal.clone(), "-0.05"),
            (Literal::Decimal(12_345), decimal, "123.45"),
            (Literal::Float(1.0), ScalarType::Float64, "1.0"),
            (Literal::Utf8("it's".into()), ScalarType::Utf8, "'it''s'"),
            (Literal::Binary(vec![0, 255]), ScalarType::Binary, "X'00ff'"),
            (
                Literal::Interval { months: 1, days: 0, nanos: -500_000_000 },
                ScalarType::Interval,
                "INTERVAL '1 months -0.5 seconds'",
            ),
            (Literal::List(vec![Literal::Null]), ScalarType::List(Box::new(ScalarType::Utf8)), "[NULL]"),
        ];
        for (value, ty, text) in cases {
            assert_eq!(literal(&value, &ty), text);
        }
    }

    #[test]
    fn durations_print_in_the_largest_unit_that_divides_them() {
        for (nanos, text) in
            [(10_000_000_000, "10s"), (86_400_000_000_000, "1d"), (90_000_000_000, "90s"), (1, "1ns"), (0, "0s")]
        {
            assert_eq!(duration(nanos), text);
        }
    }
}
