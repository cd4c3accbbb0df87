//! The verifier. This text is the specification of the IR; the code below checks it rule by rule, and a finding
//! is always our bug, never the user's.
//!
//! # Expressions
//!
//! An expression is over one relation, its *input*. Types are exact; no conversion is implied anywhere, but that
//! `TEXT` and `JSON`, which have one representation, stand for one another.
//!
//! * A column is in range, has the field's type, and is nullable if the field is.
//! * `nullable` is never false where a null is possible. Null is possible: for a column or member, as its field
//!   says (or its struct); for a constant, when it is `NULL`; for operators, casts, `IN` and strict functions, when an
//!   operand is nullable (`TRY_CAST` also when a value may not fit); for `CASE`, when a result is nullable or there
//!   is no `ELSE`; for `coalesce`, `greatest` and `least`, when all arguments are; for `nullif`, always; for `IS ...`
//!   and `IS [NOT] DISTINCT FROM`, never.
//! * A constant's form is that of its type: `Int` for signed integers, dates, times, timestamps and durations,
//!   `UInt` for unsigned integers, and so on. A `NULL` may have any type.
//! * *Register types* are booleans, integers, floats, decimals, text, binary, dates, times, timestamps and durations. Values
//!   of the other types (`NULL`, intervals, lists, structs, maps) are *opaque* to native code: it can name a
//!   column or a member of a struct, hold a constant, and test for null; all else that SQL does with them is a kernel.
//! * Arithmetic is over two integers or two floats of one type, which is also the result's. Arithmetic of decimals,
//!   dates, timestamps and intervals is a kernel (but for `AddNanos`). Bitwise operators and shifts: two integers
//!   of one type, the result's. Negation: a signed integer, float or decimal.
//! * Comparisons (with `IS [NOT] DISTINCT FROM`, `IN`): two values of one register type; timestamps of one unit
//!   whatever their zones, decimals of one scale whatever their precisions. `AND`, `OR`, `NOT`, `IS TRUE`, ...: booleans.
//! * `CASE`: conditions are boolean; results have its type, a register type.
//! * Casts are those of [`native_cast`].
//! * A function's arguments are as [`NativeFn`] says; numbers and units given in a type are constants of the call.
//! * A kernel call stands only at the root of [`KernelColumn::call`], and its arguments are native.
//!
//! # Plan
//!
//! * Every input of a node stands before it. A source has no input, a union at least one, a join two, every other node one.
//! * Every node is an input of another, but sinks, which are inputs of none.
//! * `Filter` and `Watermark` emit their input's schema; `Compute` the input's and its columns; `Project` its columns;
//!   `Tumble` [`Tumble::output_schema`]; `Updating` [`Updating::output_schema`]; a source its fields. A union's inputs
//!   have its types, in order, and are not nullable where it is not; names may differ. A sink's own schema is empty or
//!   its input's.
//! * `event_time` is a column of type timestamp.
//! * Between a `Watermark` and its source stand only nodes with one consumer that emit rows one by one (`Filter`,
//!   `Compute`, `Project`, `Watermark`): the watermark of a partition is known only where its rows are read.
//! * Predicates and guards are native and boolean; watermark expressions and event times native and timestamps.
//!   A guarded kernel column is nullable.
//! * A tumble's width is positive. Keys are of any type but maps. Aggregates are typed as [`AggregateFn`] says: sums of signed
//!   integers are `BIGINT`, of unsigned ones `BIGINT UNSIGNED`, of floats `DOUBLE`, of decimals a decimal of the same scale;
//!   minimum and maximum are of a register type, their argument's; the average of a `DOUBLE` is one, that of a
//!   decimal is a decimal of at least its scale. Only `count` may be distinct, of any type but maps. Only
//!   `count` may have no argument, and is then not distinct.
//! * A windowed join's width is positive. Each of its inputs begins with the keys, whose types are pairwise the same and
//!   hold no maps, and goes on with a column that [`Plan::window_in`] knows to be a window of that width or its start, and
//!   that is never null. Its condition is a predicate over the columns of the left input, then those of the right; what
//!   leaves are some of these, those nullable whose side may have no partner ([`WindowJoin::output_schema`]).
//! * An updating aggregate's keys and aggregates are typed as a tumble's; none is distinct; its time to live is positive.
//!
//! ## Changelogs
//!
//! * A node in mode `Retract` has [`schema::Changelog::retract_field`] as its first column.
//! * `Source`, `Tumble`, `WindowJoin` and `Watermark` are in mode `Append`, `Updating` in mode `Retract`; every other node
//!   is in the mode of its inputs, which is one. But a projection may begin a changelog: over `Append` it may be in mode
//!   `Retract`, and then its first column is the constant `FALSE`.
//! * A projection of a changelog passes on the first column as its first.
//! * `Tumble`, `WindowJoin`, `Updating` and `Watermark` take no changelog. A sink is told of one: [`Plan::changelog`].
//!
//! # Graph
//!
//! * Stages are numbered by position, named uniquely (`a-z0-9_`, not starting with a digit), and have at least
//!   one task. Edges lead from lower to higher numbers.
//! * A stage with a source has no edges in, every other at least one to each of its ports ([`Stage::ports`]); what arrives
//!   is in the port's schema as for a union. A stage with a sink has no edges out and no more tasks than the sink allows, every other at least one.
//! * Operators chain: each is correct over the schema before it, and the last one's is the stage's output schema.
//! * `Watermark` only in a stage with a source.
//! * `Tumble` in phase `Partial` is the last operator of its stage and emits [`Tumble::partial_schema`]. In the other
//!   phases it is the first of its stage, all edges into which are exchanges: `Hash` of exactly the keys, the first columns,
//!   or, without keys, `Gather`. In phase `Final` what arrives is the partial schema.
//! * `Updating` is the first of its stage too, behind the same exchanges; its keys are the first columns of what arrives.
//! * A sink of a changelog gets one, with the columns of its key in range.
//! * `WindowJoin` is the first operator of its stage. All edges to both ports are `Hash` of exactly the keys, the first
//!   columns, or, without keys, of the window behind them.
//! * A forward edge joins stages of equal parallelism; a hash edge has keys, in range; a stage behind a gather edge has one task.
//!
//! Not here: whether a kernel exists for a call (the `kernels` crate knows), whether connector options are valid.

use std::collections::BTreeSet;

use schema::{Changelog, Field, ScalarType, Schema};

use crate::expr::{BinaryOp, DateField, Expr, ExprKind, Literal, NativeFn, UnaryOp, cast_always_fits};
use crate::graph::{Exchange, Graph, Phase, Stage, StageInput, StageOp, StageOpKind};
use crate::plan::{
    Aggregate, AggregateFn, ChangelogMode, Column, KernelColumn, NodeId, Op, Plan, SinkDef, Tumble, Updating,
    WindowJoin, WindowPart,
};
use crate::print;

/// Checks a plan.
///
/// # Errors
/// Every rule that it breaks, each with the node.
pub fn plan(plan: &Plan) -> Result<(), Vec<String>> {
    let mut findings = Vec::new();
    let consumers = plan.consumers();
    for (index, node) in plan.nodes.iter().enumerate() {
        let mut here = Findings::default();
        if let Some(NodeId(late)) = node.inputs.iter().find(|id| id.0 >= index) {
            here.say(format!("input %{late} does not stand before it"));
        } else {
            check_arity(&node.op, node.inputs.len(), &mut here);
            let inputs: Vec<&Schema> = node.inputs.iter().map(|&id| &plan.node(id).schema).collect();
            check_node(&node.op, &inputs, &node.schema, &mut here);
            check_watermark_place(plan, index, &consumers, &mut here);
            check_mode(plan, index, &mut here);
            // What a sink is told is found in the nodes before it.
            if let (Op::Sink(sink), true, Some(&input)) = (&node.op, findings.is_empty(), node.inputs.first()) {
                let told = sink.changelog == plan.changelog(input);
                here.require(told, || "it is not told what its input's rows mean".to_owned());
            }
            check_joined_windows(plan, index, &mut here);
        }
        match (&node.op, consumers[index]) {
            (Op::Sink(_), 1..) => here.say("a sink is an input of another node"),
            (Op::Sink(_), 0) | (_, 1..) => {}
            (_, 0) => here.say("nothing consumes it"),
        }
        if let Some(column) = node.event_time {
            match node.schema.fields.get(column).map(|field| &field.ty) {
                Some(ScalarType::Timestamp { .. }) => {}
                Some(ty) => here.say(format!("the event time is of type {ty}")),
                None => here.say(format!("the event time is column {column} of {}", node.schema.len())),
            }
        }
        findings.extend(here.0.into_iter().map(|finding| format!("node %{index}: {finding}")));
    }
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// Checks a graph.
///
/// # Errors
/// Every rule that it breaks, each with the stage.
pub fn graph(graph: &Graph) -> Result<(), Vec<String>> {
    let mut findings = Findings::default();
    let mut names = BTreeSet::new();
    for edge in &graph.edges {
        if edge.from >= edge.to || edge.to.0 >= graph.stages.len() {
            findings.say(format!("edge from stage {} to {}", edge.from.0, edge.to.0));
        }
    }
    for (index, stage) in graph.stages.iter().enumerate() {
        if stage.id.0 != index {
            findings.say(format!("stage {index} has number {}", stage.id.0));
        }
        if !names.insert(stage.name.as_str()) {
            findings.say(format!("two stages are named {}", stage.name));
        }
    }
    // The rest follows edges.
    if findings.0.is_empty() {
        for stage in &graph.stages {
            let mut here = Findings::default();
            check_stage(graph, stage, &mut here);
            findings
                .0
                .extend(here.0.into_iter().map(|finding| format!("stage {} {}: {finding}", stage.id.0, stage.name)));
        }
    }
    if findings.0.is_empty() { Ok(()) } else { Err(findings.0) }
}

/// Checks a native expression over a relation: what the front end may ask before it decides for native code.
///
/// # Errors
/// Every rule that it breaks.
pub fn native_expr(expr: &Expr, input: &Schema) -> Result<(), Vec<String>> {
    let mut findings = Findings::default();
    check_expr(expr, input, &mut findings);
    if findings.0.is_empty() { Ok(()) } else { Err(findings.0) }
}

/// Whether native code holds values of the type in a register.
pub fn is_register_type(ty: &ScalarType) -> bool {
    !matches!(
        ty,
        ScalarType::Null | ScalarType::Interval | ScalarType::List(_) | ScalarType::Struct(_) | ScalarType::Map { .. }
    )
}

/// Whether two types have one representation and one order, so that their values compare without a conversion.
pub fn is_comparable(left: &ScalarType, right: &ScalarType) -> bool {
    match (left, right) {
        (ScalarType::Timestamp { unit: a, .. }, ScalarType::Timestamp { unit: b, .. }) => a == b,
        (ScalarType::Decimal { scale: a, .. }, ScalarType::Decimal { scale: b, .. }) => a == b,
        _ => is_register_type(left) && is_same(left, right),
    }
}

/// Whether there is a native cast; every other conversion is a kernel.
///
/// Between booleans, integers and floats, each to each; between timestamps of different units or zones (the instant stays);
/// timestamp to date and back; between `INT` and date; between `BIGINT` and timestamps, durations and times (the number
/// of ticks stays); between text and JSON; and of a type to itself.
pub fn native_cast(from: &ScalarType, to: &ScalarType) -> bool {
    use ScalarType::*;
    let number = |ty: &ScalarType| matches!(ty, Bool) || ty.is_integer() || ty.is_float();
    if from == to {
        return is_register_type(from);
    }
    match (from, to) {
        (Utf8 | Json, Utf8 | Json) => true,
        (Timestamp { .. }, Timestamp { .. } | Date) | (Date, Timestamp { .. }) => true,
        (Int32, Date) | (Date, Int32) => true,
        (Int64, Timestamp { .. } | Duration { .. } | Time) | (Timestamp { .. } | Duration { .. } | Time, Int64) => true,
        (from, to) => number(from) && number(to),
    }
}

fn is_same(left: &ScalarType, right: &ScalarType) -> bool {
    left == right || (left.is_text() && right.is_text())
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn say(&mut self, finding: impl Into<String>) {
        self.0.push(finding.into());
    }

    fn require(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.0.push(finding());
        }
    }
}

// --- plans ---------------------------------------------------------------------------------------------------------

fn check_arity(op: &Op, inputs: usize, findings: &mut Findings) {
    let right = match op {
        Op::Source(_) => inputs == 0,
        Op::Union => inputs > 0,
        Op::WindowJoin(_) => inputs == 2,
        _ => inputs == 1,
    };
    findings.require(right, || format!("it has {inputs} inputs"));
}

fn check_node(op: &Op, inputs: &[&Schema], schema: &Schema, findings: &mut Findings) {
    let empty = Schema::default();
    let input = inputs.first().copied().unwrap_or(&empty);
    match op {
        Op::Source(source) => {
            let fields: Vec<&Field> = source.fields.iter().map(|field| &field.field).collect();
            findings.require(fields.into_iter().eq(&schema.fields), || "its schema is not its fields".to_owned());
        }
        Op::Watermark { expr } => check_watermark(expr, input, schema, findings),
        Op::Filter { predicate } => check_filter(predicate, input, schema, findings),
        Op::Compute { columns } => check_compute(columns, input, schema, findings),
        Op::Project { columns } => check_project(columns, input, schema, findings),
        Op::Tumble(tumble) => {
            check_tumble(tumble, input, findings);
            findings.require(*schema == tumble.output_schema(), || "its schema is not the tumble's output".to_owned());
        }
        Op::Updating(updating) => {
            check_updating(updating, input, findings);
            findings
                .require(*schema == updating.output_schema(), || "its schema is not the aggregate's output".to_owned());
        }
        Op::Union => {
            for (position, input) in inputs.iter().enumerate() {
                findings
                    .require(accepts(schema, input), || format!("input {position} has columns {input}, not {schema}"));
            }
        }
        Op::Sink(sink) => {
            findings.require(sink.max_parallelism != Some(0), || "it allows no task".to_owned());
            findings.require(schema.is_empty() || schema == input, || {
                "its schema is neither empty nor its input's".to_owned()
            });
        }
        Op::WindowJoin(join) => {
            let width = inputs.first().map_or(0, |left| left.len());
            findings.require(join.left == width, || format!("its left input has {width} columns, not {}", join.left));
            let input = Schema::new(inputs.iter().flat_map(|input| input.fields.clone()).collect());
            check_window_join(join, &input, schema, findings);
        }
    }
}

/// The inputs of a join are windows of its width.
fn check_joined_windows(plan: &Plan, index: usize, findings: &mut Findings) {
    let Op::WindowJoin(join) = &plan.nodes[index].op else { return };
    for &input in &plan.nodes[index].inputs {
        let window = plan.window_in(input, join.keys);
        let fits = matches!(window, Some((WindowPart::Whole | WindowPart::Start, width)) if width == join.width);
        findings.require(fits, || format!("column {} of %{} is no window of {} ns", join.keys, input.0, join.width));
    }
}

/// Whether rows of `given` may arrive where `wanted` is expected.
fn accepts(wanted: &Schema, given: &Schema) -> bool {
    wanted.len() == given.len()
        && wanted.fields.iter().zip(&given.fields).all(|(w, g)| is_same(&w.ty, &g.ty) && (w.nullable || !g.nullable))
}

fn is_changelog(schema: &Schema) -> bool {
    schema.fields.first() == Some(&Changelog::retract_field())
}

fn check_mode(plan: &Plan, index: usize, findings: &mut Findings) {
    let node = &plan.nodes[index];
    let modes: Vec<ChangelogMode> = node.inputs.iter().map(|&input| plan.node(input).mode).collect();
    let updated = modes.contains(&ChangelogMode::Retract);
    let takes_none = matches!(node.op, Op::Tumble(_) | Op::WindowJoin(_) | Op::Updating(_) | Op::Watermark { .. });
    findings.require(!(updated && takes_none), || "it takes no changelog".to_owned());
    let begins = |columns: &[Column]| {
        let first = columns.first().map(|column| &column.expr.kind);
        !updated && first == Some(&ExprKind::Literal(Literal::Bool(false)))
    };
    let right = match (&node.op, node.mode) {
        (Op::Source(_) | Op::Tumble(_) | Op::WindowJoin(_) | Op::Watermark { .. }, mode) => {
            mode == ChangelogMode::Append
        }
        (Op::Updating(_), mode) => mode == ChangelogMode::Retract,
        (Op::Project { columns }, ChangelogMode::Retract) if begins(columns) => true,
        (_, mode) => modes.iter().all(|input| *input == mode),
    };
    findings.require(right, || "it is not in the mode of its input".to_owned());
    if let (Op::Project { columns }, true) = (&node.op, updated) {
        let passed = columns.first().is_some_and(|column| column.expr.kind == ExprKind::Column(0));
        findings.require(passed, || "it does not pass on what rows of a changelog mean".to_owned());
    }
    // Nothing flows out of a sink.
    if node.mode == ChangelogMode::Retract && !matches!(node.op, Op::Sink(_)) {
        findings.require(is_changelog(&node.schema), || "its first column is not that of a changelog".to_owned());
    }
}

fn check_watermark_place(plan: &Plan, index: usize, consumers: &[usize], findings: &mut Findings) {
    if !matches!(plan.nodes[index].op, Op::Watermark { .. }) {
        return;
    }
    let mut at = index;
    // Ends: every step goes to a lower number, which the caller has checked for this node, and this loop for the others.
    while let Some(&NodeId(input)) = plan.nodes[at].inputs.first() {
        if input >= at {
            return;
        }
        findings.require(consumers[input] == 1, || format!("%{input}, between it and its source, has other consumers"));
        at = input;
        match plan.nodes[at].op {
            Op::Filter { .. } | Op::Compute { .. } | Op::Project { .. } | Op::Watermark { .. } => {}
            Op::Source(_) => return,
            Op::Tumble(_) | Op::Union | Op::Sink(_) | Op::Updating(_) | Op::WindowJoin(_) => break,
        }
    }
    findings.say("a watermark stands apart from its source");
}

// --- operators -----------------------------------------------------------------------------------------------------

fn check_watermark(expr: &Expr, input: &Schema, schema: &Schema, findings: &mut Findings) {
    check_expr(expr, input, findings);
    let timestamp = matches!(expr.ty, ScalarType::Timestamp { .. });
    findings.require(timestamp, || format!("the watermark is of type {}", expr.ty));
    findings.require(schema == input, || "its schema is not its input's".to_owned());
}

fn check_filter(predicate: &Expr, input: &Schema, schema: &Schema, findings: &mut Findings) {
    check_predicate(predicate, input, findings);
    findings.require(schema == input, || "its schema is not its input's".to_owned());
}

fn check_predicate(predicate: &Expr, input: &Schema, findings: &mut Findings) {
    check_expr(predicate, input, findings);
    findings.require(predicate.ty == ScalarType::Bool, || format!("a predicate is of type {}", predicate.ty));
}

fn check_compute(columns: &[KernelColumn], input: &Schema, schema: &Schema, findings: &mut Findings) {
    for column in columns {
        match &column.call.kind {
            ExprKind::Kernel { args, .. } => args.iter().for_each(|arg| check_expr(arg, input, findings)),
            _ => findings.say(format!("column {} is no kernel call", column.name)),
        }
        if let Some(guard) = &column.guard {
            check_predicate(guard, input, findings);
            findings.require(column.call.nullable, || format!("column {} is guarded and not nullable", column.name));
        }
    }
    let appended = columns.iter().map(|column| Field::new(&column.name, column.call.ty.clone(), column.call.nullable));
    let expected = input.fields.iter().cloned().chain(appended);
    findings.require(expected.eq(schema.fields.iter().cloned()), || {
        "its schema is not its input's and its columns".to_owned()
    });
}

fn check_project(columns: &[Column], input: &Schema, schema: &Schema, findings: &mut Findings) {
    for column in columns {
        check_expr(&column.expr, input, findings);
    }
    let expected = columns.iter().map(|column| Field::new(&column.name, column.expr.ty.clone(), column.expr.nullable));
    findings.require(expected.eq(schema.fields.iter().cloned()), || "its schema is not its columns".to_owned());
}

fn check_tumble(tumble: &Tumble, input: &Schema, findings: &mut Findings) {
    check_tumble_shape(tumble, findings);
    check_expr(&tumble.event_time, input, findings);
    check_group_expressions(&tumble.keys, &tumble.aggregates, input, findings);
}

fn check_updating(updating: &Updating, input: &Schema, findings: &mut Findings) {
    findings.require(updating.ttl > 0, || format!("groups live for {} ns", updating.ttl));
    check_groups(&updating.keys, &updating.aggregates, findings);
    for aggregate in updating.aggregates.iter().filter(|aggregate| aggregate.distinct) {
        findings.say(format!("aggregate {} of an updating aggregate is distinct", aggregate.name));
    }
    check_group_expressions(&updating.keys, &updating.aggregates, input, findings);
}

fn check_group_expressions(keys: &[Column], aggregates: &[Aggregate], input: &Schema, findings: &mut Findings) {
    for key in keys {
        check_expr(&key.expr, input, findings);
    }
    for aggregate in aggregates {
        if let Some(arg) = &aggregate.arg {
            check_expr(arg, input, findings);
        }
        if let Some(filter) = &aggregate.filter {
            check_predicate(filter, input, findings);
        }
    }
}

/// What holds of a tumble in every phase.
fn check_tumble_shape(tumble: &Tumble, findings: &mut Findings) {
    findings.require(tumble.width > 0, || format!("a window is {} ns wide", tumble.width));
    let timestamp = matches!(tumble.event_time.ty, ScalarType::Timestamp { .. });
    findings.require(timestamp, || format!("the event time is of type {}", tumble.event_time.ty));
    check_groups(&tumble.keys, &tumble.aggregates, findings);
}

/// The types of keys and aggregates.
fn check_groups(keys: &[Column], aggregates: &[Aggregate], findings: &mut Findings) {
    for key in keys {
        findings.require(!holds_map(&key.expr.ty), || format!("key {} is of type {}", key.name, key.expr.ty));
    }
    for aggregate in aggregates {
        findings.require(is_typed(aggregate), || {
            let arg = aggregate.arg.as_ref().map_or("*".to_owned(), |arg| arg.ty.to_string());
            let distinct = if aggregate.distinct { "distinct " } else { "" };
            format!("aggregate {} is {:?} of {distinct}{arg} to {}", aggregate.name, aggregate.function, aggregate.ty)
        });
    }
}

/// `input`: the columns of both sides.
fn check_window_join(join: &WindowJoin, input: &Schema, schema: &Schema, findings: &mut Findings) {
    findings.require(join.width > 0, || format!("a window is {} ns wide", join.width));
    let (left, right) = input.fields.split_at(join.left.min(input.len()));
    if left.len() <= join.keys || right.len() <= join.keys {
        return findings.say(format!("there is no window behind {} keys", join.keys));
    }
    for (left, right) in left.iter().zip(right).take(join.keys) {
        let fits = is_same(&left.ty, &right.ty) && !holds_map(&left.ty);
        findings.require(fits, || {
            format!("keys {} and {} are of types {} and {}", left.name, right.name, left.ty, right.ty)
        });
    }
    for window in [&left[join.keys], &right[join.keys]] {
        let fits = (window.ty == ScalarType::window() || window.ty == ScalarType::TIMESTAMP_NS) && !window.nullable;
        findings.require(fits, || format!("the window is {window}"));
    }
    if let Some(condition) = &join.condition {
        check_predicate(condition, input, findings);
    }
    let known = join.output.iter().all(|&column| column < input.len());
    findings.require(known, || format!("it emits a column beyond its {}", input.len()));
    findings.require(*schema == join.output_schema(input), || "its schema is not the join's output".to_owned());
}

/// Whether values of the type are maps or have maps in them: those have no order and no hash.
pub fn holds_map(ty: &ScalarType) -> bool {
    match ty {
        ScalarType::Map { .. } => true,
        ScalarType::List(item) => holds_map(item),
        ScalarType::Struct(fields) => fields.iter().any(|field| holds_map(&field.ty)),
        _ => false,
    }
}

fn is_typed(aggregate: &Aggregate) -> bool {
    let Some(arg) = &aggregate.arg else {
        return aggregate.function == AggregateFn::Count && !aggregate.distinct && aggregate.ty == ScalarType::Int64;
    };
    let distinct = aggregate.distinct;
    match (aggregate.function, &arg.ty, &aggregate.ty) {
        (AggregateFn::Count, arg, ScalarType::Int64) => !distinct || !holds_map(arg),
        (AggregateFn::Sum, arg, ScalarType::Int64) => !distinct && arg.is_signed_integer(),
        (AggregateFn::Sum, arg, ScalarType::UInt64) => !distinct && arg.is_unsigned_integer(),
        (AggregateFn::Sum, arg, ScalarType::Float64) => !distinct && arg.is_float(),
        (AggregateFn::Sum, ScalarType::Decimal { scale: a, .. }, ScalarType::Decimal { scale: b, .. }) => {
            !distinct && a == b
        }
        (AggregateFn::Min | AggregateFn::Max, arg, ty) => !distinct && arg == ty && is_register_type(arg),
        (AggregateFn::Avg, ScalarType::Float64, ScalarType::Float64) => !distinct,
        (AggregateFn::Avg, ScalarType::Decimal { scale: a, .. }, ScalarType::Decimal { scale: b, .. }) => {
            !distinct && a <= b
        }
        _ => false,
    }
}

// --- expressions ---------------------------------------------------------------------------------------------------

/// Checks a native expression: `expr` and all below it.
fn check_expr(expr: &Expr, input: &Schema, findings: &mut Findings) {
    if let Err(what) = check_kind(expr, input) {
        findings.say(format!("{} (as {}): {what}", print::expr(expr, input), expr.ty));
    } else if may_be_null(expr, input) && !expr.nullable {
        findings.say(format!("{} is said never to be null", print::expr(expr, input)));
    }
    for child in expr.children() {
        check_expr(child, input, findings);
    }
}

fn may_be_null(expr: &Expr, input: &Schema) -> bool {
    let children = expr.children();
    let any = children.iter().any(|child| child.nullable);
    match &expr.kind {
        ExprKind::Column(index) => input.fields.get(*index).is_some_and(|field| field.nullable),
        ExprKind::Field { base, index } => match &base.ty {
            ScalarType::Struct(fields) => base.nullable || fields.get(*index).is_some_and(|field| field.nullable),
            _ => true,
        },
        ExprKind::Literal(value) => *value == Literal::Null,
        ExprKind::Unary { op: UnaryOp::Not | UnaryOp::Negate, .. } => any,
        ExprKind::Unary { .. } => false,
        ExprKind::Binary { op: BinaryOp::IsDistinctFrom | BinaryOp::IsNotDistinctFrom, .. } => false,
        ExprKind::Binary { .. } | ExprKind::InList { .. } => any,
        ExprKind::Case { branches, otherwise } => {
            branches.iter().any(|(_, then)| then.nullable) || otherwise.as_ref().is_none_or(|value| value.nullable)
        }
        ExprKind::Cast { arg, fallible_as_null } => any || (*fallible_as_null && !cast_always_fits(&arg.ty, &expr.ty)),
        ExprKind::Native { function: NativeFn::NullIf, .. } => true,
        ExprKind::Native { function, .. } if function.is_strict() => any,
        ExprKind::Native { .. } => children.iter().all(|child| child.nullable),
        ExprKind::Kernel { .. } => false,
    }
}

fn check_kind(expr: &Expr, input: &Schema) -> Result<(), String> {
    let ok = match &expr.kind {
        ExprKind::Column(index) => {
            let field = input.fields.get(*index).ok_or_else(|| format!("there are {} columns", input.len()))?;
            return if is_same(&field.ty, &expr.ty) { Ok(()) } else { Err(format!("the column is {field}")) };
        }
        ExprKind::Field { base, index } => match &base.ty {
            ScalarType::Struct(fields) => {
                matches!(base.kind, ExprKind::Column(_) | ExprKind::Field { .. })
                    && fields.get(*index).is_some_and(|field| is_same(&field.ty, &expr.ty))
            }
            _ => false,
        },
        ExprKind::Literal(value) => is_literal_of(value, &expr.ty),
        ExprKind::Unary { op, arg } => match op {
            UnaryOp::Negate => arg.ty == expr.ty && is_negatable(&arg.ty),
            UnaryOp::IsNull | UnaryOp::IsNotNull => expr.ty == ScalarType::Bool,
            _ => expr.ty == ScalarType::Bool && arg.ty == ScalarType::Bool,
        },
        ExprKind::Binary { op, left, right } => is_binary(*op, &left.ty, &right.ty, &expr.ty),
        ExprKind::Case { branches, otherwise } => {
            is_register_type(&expr.ty)
                && branches.iter().all(|(when, then)| when.ty == ScalarType::Bool && is_same(&then.ty, &expr.ty))
                && otherwise.as_ref().is_none_or(|value| is_same(&value.ty, &expr.ty))
        }
        ExprKind::Cast { arg, .. } => native_cast(&arg.ty, &expr.ty),
        ExprKind::InList { arg, items, .. } => {
            expr.ty == ScalarType::Bool
                && is_register_type(&arg.ty)
                && !items.is_empty()
                && items.iter().all(|item| *item != Literal::Null && is_literal_of(item, &arg.ty))
        }
        ExprKind::Native { function, args } => is_call(*function, args, &expr.ty),
        ExprKind::Kernel { .. } => return Err("a kernel call stands inside an expression".to_owned()),
    };
    if ok { Ok(()) } else { Err("it is wrongly typed".to_owned()) }
}

fn is_negatable(ty: &ScalarType) -> bool {
    ty.is_signed_integer() || ty.is_float() || matches!(ty, ScalarType::Decimal { .. })
}

fn is_binary(op: BinaryOp, left: &ScalarType, right: &ScalarType, ty: &ScalarType) -> bool {
    match op {
        op if op.is_arithmetic() => left == right && left == ty && (ty.is_integer() || ty.is_float()),
        op if op.is_bitwise() => left == right && left == ty && ty.is_integer(),
        BinaryOp::And | BinaryOp::Or => [left, right, ty].into_iter().all(|ty| *ty == ScalarType::Bool),
        _ => *ty == ScalarType::Bool && is_comparable(left, right),
    }
}

fn is_literal_of(value: &Literal, ty: &ScalarType) -> bool {
    use ScalarType::*;
    match (value, ty) {
        (Literal::Null, _) => true,
        (Literal::Bool(_), Bool) => true,
        (Literal::Int(value), Int8) => i8::try_from(*value).is_ok(),
        (Literal::Int(value), Int16) => i16::try_from(*value).is_ok(),
        (Literal::Int(value), Int32 | Date) => i32::try_from(*value).is_ok(),
        (Literal::Int(_), Int64 | Time | Timestamp { .. } | Duration { .. }) => true,
        (Literal::UInt(value), UInt8) => u8::try_from(*value).is_ok(),
        (Literal::UInt(value), UInt16) => u16::try_from(*value).is_ok(),
        (Literal::UInt(value), UInt32) => u32::try_from(*value).is_ok(),
        (Literal::UInt(_), UInt64) => true,
        (Literal::Float(_), Float32 | Float64) => true,
        (Literal::Decimal(_), Decimal { .. }) => true,
        (Literal::Utf8(_), Utf8 | Json) => true,
        (Literal::Binary(_), ScalarType::Binary) => true,
        (Literal::Interval { .. }, Interval) => true,
        (Literal::List(items), List(item)) => items.iter().all(|value| is_literal_of(value, item)),
        (Literal::Struct(values), Struct(fields)) => {
            values.len() == fields.len()
                && fields.iter().zip(values).all(|(field, value)| {
                    is_literal_of(value, &field.ty) && (field.nullable || *value != Literal::Null)
                })
        }
        _ => false,
    }
}

fn is_call(function: NativeFn, args: &[Expr], ty: &ScalarType) -> bool {
    use ScalarType::{Bool, Date, Float64, Int32, Int64, Timestamp};
    let types: Vec<&ScalarType> = args.iter().map(|arg| &arg.ty).collect();
    let text = |ty: &ScalarType| ty.is_text();
    let instant = |ty: &ScalarType| matches!(ty, Timestamp { .. } | Date);
    match (function, types.as_slice()) {
        (NativeFn::Coalesce | NativeFn::Greatest | NativeFn::Least, [_, ..]) => {
            is_register_type(ty) && types.iter().all(|arg| is_same(arg, ty))
        }
        (NativeFn::NullIf, [left, right]) => is_same(left, ty) && is_comparable(left, right),
        (NativeFn::Abs, [arg]) => *arg == ty && (ty.is_integer() || ty.is_float()),
        (
            NativeFn::Ceil
            | NativeFn::Floor
            | NativeFn::Round
            | NativeFn::Trunc
            | NativeFn::Sqrt
            | NativeFn::Exp
            | NativeFn::Ln
            | NativeFn::Log2
            | NativeFn::Log10,
            [arg],
        ) => *arg == ty && ty.is_float(),
        (NativeFn::Power, [Float64, Float64]) => *ty == Float64,
        (NativeFn::CharLength | NativeFn::OctetLength, [arg]) => text(arg) && *ty == Int32,
        (NativeFn::StartsWith | NativeFn::EndsWith | NativeFn::Contains, [left, right]) => {
            text(left) && text(right) && *ty == Bool
        }
        (NativeFn::StrPos, [left, right]) => text(left) && text(right) && *ty == Int32,
        (NativeFn::Substr, [arg, Int64] | [arg, Int64, Int64]) => text(arg) && text(ty),
        (NativeFn::Left | NativeFn::Right, [arg, Int64]) => text(arg) && text(ty),
        (NativeFn::Trim | NativeFn::TrimStart | NativeFn::TrimEnd, [arg]) => text(arg) && text(ty),
        (NativeFn::SplitPart, [left, right, Int64]) => text(left) && text(right) && text(ty),
        (NativeFn::DateTrunc(field), [arg]) => instant(arg) && *arg == ty && is_truncation(field),
        (NativeFn::DatePart(DateField::Epoch), [arg]) => instant(arg) && *ty == Float64,
        (NativeFn::DatePart(DateField::Nanosecond), [arg]) => instant(arg) && *ty == Int64,
        (NativeFn::DatePart(_), [arg]) => instant(arg) && *ty == Int32,
        (NativeFn::AddNanos(_), [arg @ Timestamp { .. }]) => *arg == ty,
        _ => false,
    }
}

/// Whether the field is a unit of time, so that something has a start of it.
fn is_truncation(field: DateField) -> bool {
    !matches!(field, DateField::DayOfWeek | DateField::DayOfYear | DateField::Epoch)
}

// --- graphs --------------------------------------------------------------------------------------------------------

fn check_stage(graph: &Graph, stage: &Stage, findings: &mut Findings) {
    findings.require(stage.parallelism > 0, || "it has no task".to_owned());
    let plain = stage.name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && stage.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    findings.require(plain, || "its name is no plain identifier".to_owned());
    check_edges(graph, stage, findings);
    if let Some(sink) = &stage.sink {
        check_sink(sink, stage, findings);
    }
    let mut schema = &stage.input_schema;
    for (index, op) in stage.ops.iter().enumerate() {
        check_stage_op(graph, stage, index, op, schema, findings);
        schema = &op.schema;
    }
    findings.require(*schema == stage.output_schema, || "its output schema is not its last operator's".to_owned());
}

fn check_sink(sink: &SinkDef, stage: &Stage, findings: &mut Findings) {
    let (tasks, most) = (stage.parallelism, sink.max_parallelism.unwrap_or(usize::MAX));
    findings.require(tasks <= most, || format!("sink {} allows {most} tasks, not {tasks}", sink.table));
    if let Some(Changelog { key }) = &sink.changelog {
        let columns = stage.output_schema.len();
        let in_range = key.iter().flatten().all(|column| (1..columns).contains(column));
        findings.require(is_changelog(&stage.output_schema) && in_range, || {
            format!("sink {} is told of a changelog that it does not get", sink.table)
        });
    }
}

fn check_edges(graph: &Graph, stage: &Stage, findings: &mut Findings) {
    let inputs = graph.edges_to(stage.id).count();
    match &stage.input {
        StageInput::Source(source) => {
            findings.require(inputs == 0, || "it has a source and edges in".to_owned());
            let fields = source.fields.iter().map(|field| &field.field);
            findings
                .require(fields.eq(&stage.input_schema.fields), || "its input schema is not its source's".to_owned());
        }
        StageInput::Edges => findings.require(inputs > 0, || "nothing flows in".to_owned()),
    }
    let ports = stage.ports();
    let fed = (1..ports.len()).all(|port| graph.edges_to(stage.id).any(|edge| edge.port == port));
    findings.require(fed, || "nothing flows into its right side".to_owned());
    let outputs = graph.edges_from(stage.id).count();
    findings.require((outputs > 0) != stage.sink.is_some(), || {
        format!("it has {outputs} edges out and {} sink", if stage.sink.is_some() { "a" } else { "no" })
    });
    for edge in graph.edges_to(stage.id) {
        let from = graph.stage(edge.from);
        match ports.get(edge.port) {
            Some(wanted) => findings.require(accepts(wanted, &from.output_schema), || {
                format!("stage {} sends {}, not {wanted}", from.id.0, from.output_schema)
            }),
            None => findings.say(format!("stage {} sends to port {} of {}", from.id.0, edge.port, ports.len())),
        }
        let right = match &edge.exchange {
            Exchange::Forward => from.parallelism == stage.parallelism,
            Exchange::Gather => stage.parallelism == 1,
            Exchange::Hash(keys) => !keys.is_empty() && keys.iter().all(|&key| key < from.output_schema.len()),
        };
        findings.require(right, || {
            format!(
                "edge {:?} joins {} tasks of stage {} with {columns} columns to {} tasks",
                edge.exchange,
                from.parallelism,
                from.id.0,
                stage.parallelism,
                columns = from.output_schema.len(),
            )
        });
    }
}

fn check_stage_op(graph: &Graph, stage: &Stage, index: usize, op: &StageOp, input: &Schema, findings: &mut Findings) {
    match &op.kind {
        StageOpKind::Watermark { expr } => {
            check_watermark(expr, input, &op.schema, findings);
            let source = matches!(stage.input, StageInput::Source(_));
            findings.require(source, || "a watermark stands apart from its source".to_owned());
        }
        StageOpKind::Filter { predicate } => check_filter(predicate, input, &op.schema, findings),
        StageOpKind::Compute { columns } => check_compute(columns, input, &op.schema, findings),
        StageOpKind::Project { columns } => check_project(columns, input, &op.schema, findings),
        StageOpKind::Tumble { tumble, phase: Phase::Partial } => {
            check_tumble(tumble, input, findings);
            findings.require(tumble.is_mergeable(), || "a distinct aggregate is split".to_owned());
            findings.require(op.schema == tumble.partial_schema(), || "it does not emit its partial schema".to_owned());
            findings.require(index + 1 == stage.ops.len(), || "a partial tumble is not its last operator".to_owned());
        }
        StageOpKind::Tumble { tumble, phase } => {
            if *phase == Phase::Single {
                check_tumble(tumble, input, findings);
            } else {
                check_tumble_shape(tumble, findings);
                findings
                    .require(*input == tumble.partial_schema(), || "a final tumble gets no partial states".to_owned());
            }
            findings.require(op.schema == tumble.output_schema(), || "it does not emit the tumble's output".to_owned());
            findings.require(index == 0, || "a tumble is not its first operator".to_owned());
            findings.require(is_exchanged(graph, stage, tumble.keys.len()), || {
                "rows reach a tumble by another way than an exchange by its keys".to_owned()
            });
        }
        StageOpKind::Updating(updating) => {
            check_updating(updating, input, findings);
            let first = |(index, key): (usize, &Column)| key.expr.kind == ExprKind::Column(index);
            findings.require(updating.keys.iter().enumerate().all(first), || {
                "the keys of an updating aggregate are not its first columns".to_owned()
            });
            findings.require(op.schema == updating.output_schema(), || {
                "it does not emit the updating aggregate's output".to_owned()
            });
            findings.require(index == 0, || "an updating aggregate is not its first operator".to_owned());
            findings.require(is_exchanged(graph, stage, updating.keys.len()), || {
                "rows reach an updating aggregate by another way than an exchange by its keys".to_owned()
            });
        }
        StageOpKind::WindowJoin(join) => {
            check_window_join(join, input, &op.schema, findings);
            findings.require(index == 0, || "a join is not its first operator".to_owned());
            let exchange = Exchange::Hash((0..join.hashed()).collect());
            let exchanged = graph.edges_to(stage.id).all(|edge| edge.exchange == exchange);
            findings.require(exchanged, || "rows reach a join by another way than the hash of its keys".to_owned());
        }
    }
}

/// Whether all rows come to a stage by their first columns, so many keys.
fn is_exchanged(graph: &Graph, stage: &Stage, keys: usize) -> bool {
    let exchange = if keys == 0 { Exchange::Gather } else { Exchange::Hash((0..keys).collect()) };
    graph.edges_to(stage.id).all(|edge| edge.exchange == exchange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::StageId;
    use crate::plan::{JoinKind, Node, SourceDef, SourceField};

    fn node(op: Op, inputs: &[usize], schema: &Schema) -> Node {
        let inputs = inputs.iter().map(|&id| NodeId(id)).collect();
        let (event_time, mode) = (None, ChangelogMode::Append);
        Node { op, inputs, schema: schema.clone(), event_time, mode, note: String::new() }
    }

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("price", ScalarType::Int64, false),
            Field::new("name", ScalarType::Utf8, true),
            Field::new("dt", ScalarType::TIMESTAMP_NS, false),
        ])
    }

    /// Source, watermark, filter, tumble by name, sink.
    fn good() -> Plan {
        let input = schema();
        let fields = input.fields.iter().map(|field| SourceField { field: field.clone(), metadata: None }).collect();
        let (table, connector, options) = ("bids".to_owned(), "nexmark".to_owned(), serde_json::Value::Null);
        let source = SourceDef { table, connector, options, fields, idle_micros: None };
        let dt = Expr::column(2, ScalarType::TIMESTAMP_NS, false);
        let price = Expr::column(0, ScalarType::Int64, false);
        let limit = Expr::literal(Literal::Int(100), ScalarType::Int64);
        let kind = ExprKind::Binary { op: BinaryOp::Greater, left: Box::new(price.clone()), right: Box::new(limit) };
        let predicate = Expr { kind, ty: ScalarType::Bool, nullable: false };
        let total = Aggregate {
            name: "total".into(),
            function: AggregateFn::Sum,
            arg: Some(price),
            distinct: false,
            filter: None,
            ty: ScalarType::Int64,
        };
        let tumble = Tumble {
            width: 10,
            event_time: dt.clone(),
            keys: vec![Column { name: "name".into(), expr: Expr::column(1, ScalarType::Utf8, true) }],
            aggregates: vec![total],
            window: "window".into(),
        };
        let output = tumble.output_schema();
        let (table, connector, options) = ("out".to_owned(), "stdout".to_owned(), serde_json::Value::Null);
        let sink = SinkDef { table, connector, options, max_parallelism: Some(1), changelog: None };
        Plan {
            nodes: vec![
                Node { event_time: Some(2), ..node(Op::Source(source), &[], &input) },
                node(Op::Watermark { expr: dt }, &[0], &input),
                node(Op::Filter { predicate }, &[1], &input),
                node(Op::Tumble(tumble), &[2], &output),
                node(Op::Sink(sink), &[3], &Schema::default()),
            ],
        }
    }

    /// The same source, updating aggregate by name, filter, projection, sink.
    fn good_changelog() -> Plan {
        let Plan { nodes } = good();
        let [source, watermark, filter, tumble, sink] = nodes.try_into().expect("the plan has five nodes");
        let (Op::Tumble(Tumble { keys, aggregates, .. }), Op::Sink(sink)) = (tumble.op, sink.op) else {
            unreachable!("nodes 3 and 4 are the tumble and the sink");
        };
        let updating = Updating { keys, aggregates, ttl: 10 };
        let output = updating.output_schema();
        let retract = |node: Node| Node { mode: ChangelogMode::Retract, ..node };
        let column = |index: usize| {
            let Field { name, ty, nullable } = output.fields[index].clone();
            Column { name, expr: Expr::column(index, ty, nullable) }
        };
        // The total before the name.
        let columns = vec![column(0), column(2), column(1)];
        let projected = Schema::new([0, 2, 1].map(|index: usize| output.fields[index].clone()).to_vec());
        let sink = SinkDef { changelog: Some(Changelog { key: Some(vec![2]) }), ..sink };
        let some = Expr::column(2, ScalarType::Int64, true);
        let kind = ExprKind::Unary { op: UnaryOp::IsNotNull, arg: Box::new(some) };
        let predicate = Expr { kind, ty: ScalarType::Bool, nullable: false };
        Plan {
            nodes: vec![
                source,
                watermark,
                filter,
                retract(node(Op::Updating(updating), &[2], &output)),
                retract(node(Op::Filter { predicate }, &[3], &output)),
                retract(node(Op::Project { columns }, &[4], &projected)),
                retract(node(Op::Sink(sink), &[5], &Schema::default())),
            ],
        }
    }

    /// What the verifier says of a plan that is good but for one change.
    fn finding(change: impl FnOnce(&mut Plan)) -> String {
        finding_in(good(), change)
    }

    fn finding_in(mut plan: Plan, change: impl FnOnce(&mut Plan)) -> String {
        change(&mut plan);
        super::plan(&plan).expect_err("the change breaks a rule").join("; ")
    }

    fn filter(plan: &mut Plan) -> &mut Expr {
        match &mut plan.nodes[2].op {
            Op::Filter { predicate } => predicate,
            _ => unreachable!("node 2 is the filter"),
        }
    }

    fn tumble(plan: &mut Plan) -> &mut Tumble {
        match &mut plan.nodes[3].op {
            Op::Tumble(tumble) => tumble,
            _ => unreachable!("node 3 is the tumble"),
        }
    }

    fn updating(plan: &mut Plan) -> &mut Updating {
        match &mut plan.nodes[3].op {
            Op::Updating(updating) => updating,
            _ => unreachable!("node 3 is the updating aggregate"),
        }
    }

    /// The tumble joined with itself by name and window.
    fn joined() -> Plan {
        let mut plan = good();
        let sink = plan.nodes.pop().expect("the last node is the sink");
        let groups = plan.nodes[3].schema.fields.clone();
        let input = Schema::new(groups.iter().chain(&groups).cloned().collect());
        let total = |column: usize| Box::new(Expr::column(column, ScalarType::Int64, true));
        let kind = ExprKind::Binary { op: BinaryOp::Less, left: total(2), right: total(5) };
        let condition = Some(Expr { kind, ty: ScalarType::Bool, nullable: true });
        let output = vec![0, 1, 5];
        let join = WindowJoin { kind: JoinKind::Left, width: 10, keys: 1, left: 3, condition, output };
        let output = join.output_schema(&input);
        plan.nodes.push(node(Op::WindowJoin(join), &[3, 3], &output));
        plan.nodes.push(Node { inputs: vec![NodeId(4)], ..sink });
        plan
    }

    #[test]
    fn broken_joins_are_found() {
        assert_eq!(plan(&joined()), Ok(()));
        let finding = |change: &dyn Fn(&mut WindowJoin)| {
            let mut broken = joined();
            match &mut broken.nodes[4].op {
                Op::WindowJoin(join) => change(join),
                _ => unreachable!("node 4 is the join"),
            }
            plan(&broken).expect_err("the change breaks a rule").join("; ")
        };
        let cases = [
            (finding(&|join| join.width = 20), "column 1 of %3 is no window of 20 ns"),
            (finding(&|join| join.keys = 0), "the window is name TEXT"),
            (finding(&|join| join.keys = 3), "there is no window behind 3 keys"),
            (finding(&|join| join.left = 2), "its left input has 3 columns, not 2"),
            (finding(&|join| join.output.push(6)), "it emits a column beyond its 6"),
            (finding(&|join| join.kind = JoinKind::Right), "its schema is not the join's output"),
            (
                finding(&|join| join.condition = Some(Expr::column(2, ScalarType::Int64, true))),
                "a predicate is of type",
            ),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected), "{said}\nshould say: {expected}");
        }
        let mut broken = joined();
        broken.nodes[4].inputs.pop();
        assert!(plan(&broken).expect_err("a join has two inputs").join("; ").contains("it has 1 inputs"));
        let mut broken = joined();
        broken.nodes[3].mode = ChangelogMode::Retract;
        assert!(plan(&broken).expect_err("a partner must stay").join("; ").contains("node %4: it takes no changelog"));
    }

    /// Of a row without a partner, the partner's window is null, and that is no window.
    #[test]
    fn the_window_of_a_join_is_that_of_the_side_whose_rows_all_leave() {
        let window = |kind: JoinKind, column: usize| {
            let mut plan = joined();
            match &mut plan.nodes[4].op {
                Op::WindowJoin(join) => {
                    join.kind = kind;
                    join.output = vec![1, 4];
                }
                _ => unreachable!("node 4 is the join"),
            }
            plan.window_in(NodeId(4), column).is_some()
        };
        let both = |kind| [window(kind, 0), window(kind, 1)];
        assert_eq!(both(JoinKind::Inner), [true, true]);
        assert_eq!(both(JoinKind::Left), [true, false]);
        assert_eq!(both(JoinKind::Right), [false, true]);
        assert_eq!(both(JoinKind::Full), [false, false]);
    }

    #[test]
    fn broken_graphs_of_joins_are_found() {
        let good = crate::place::place(&joined(), 4);
        assert_eq!(graph(&good), Ok(()), "{}", print::graph(&good));
        assert_eq!(good.stages[2].name, "join_by_name");
        let finding = |change: &dyn Fn(&mut Graph)| {
            let mut broken = good.clone();
            change(&mut broken);
            graph(&broken).expect_err("the change breaks a rule").join("; ")
        };
        let cases = [
            (finding(&|g| g.edges[2].port = 0), "nothing flows into its right side"),
            (finding(&|g| g.edges[2].port = 2), "stage 1 sends to port 2 of 2"),
            (finding(&|g| g.edges[1].exchange = Exchange::Forward), "another way than the hash of its keys"),
            (finding(&|g| g.edges[0].port = 1), "stage 0 sends to port 1 of 1"),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected), "{said}\nshould say: {expected}");
        }
    }

    #[test]
    fn a_good_plan_passes() {
        assert_eq!(plan(&good()), Ok(()));
        assert_eq!(plan(&good_changelog()), Ok(()));
    }

    #[test]
    fn broken_changelogs_are_found() {
        let finding = |change: &dyn Fn(&mut Plan)| finding_in(good_changelog(), change);
        let mode = |index: usize, mode: ChangelogMode| finding(&|p: &mut Plan| p.nodes[index].mode = mode);
        let cases = [
            (mode(3, ChangelogMode::Append), "node %3: it is not in the mode of its input"),
            (mode(4, ChangelogMode::Append), "node %4: it is not in the mode of its input"),
            (mode(2, ChangelogMode::Retract), "node %2: it is not in the mode of its input"),
            (mode(2, ChangelogMode::Retract), "node %2: its first column is not that of a changelog"),
            (mode(2, ChangelogMode::Retract), "node %3: it takes no changelog"),
            (
                finding(&|p| p.nodes[3].schema.fields[0].name = "r".into()),
                "its first column is not that of a changelog",
            ),
            (
                finding(&|p| {
                    let Op::Project { columns } = &mut p.nodes[5].op else { unreachable!("node 5 projects") };
                    columns[0].expr = Expr::literal(Literal::Bool(false), ScalarType::Bool);
                }),
                "node %5: it does not pass on what rows of a changelog mean",
            ),
            (
                finding(&|p| {
                    let Op::Sink(sink) = &mut p.nodes[6].op else { unreachable!("node 6 is the sink") };
                    sink.changelog = Some(Changelog { key: Some(vec![1]) });
                }),
                "node %6: it is not told what its input's rows mean",
            ),
            (finding(&|p| updating(p).ttl = 0), "groups live for 0 ns"),
            (
                finding(&|p| {
                    let count = &mut updating(p).aggregates[0];
                    (count.function, count.distinct) = (AggregateFn::Count, true);
                }),
                "aggregate total of an updating aggregate is distinct",
            ),
            (finding(&|p| updating(p).keys[0].name = "other".into()), "its schema is not the aggregate's output"),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected), "{said}\nshould say: {expected}");
        }
    }

    #[test]
    fn a_changelog_may_begin_with_a_constant() {
        let mut plan = good();
        let output = plan.nodes[3].schema.clone();
        let mut columns =
            vec![Column { name: schema::RETRACT.into(), expr: Expr::literal(Literal::Bool(false), ScalarType::Bool) }];
        columns.extend(output.fields.iter().enumerate().map(|(index, field)| Column {
            name: field.name.clone(),
            expr: Expr::column(index, field.ty.clone(), field.nullable),
        }));
        let mut fields = vec![Changelog::retract_field()];
        fields.extend(output.fields);
        let project = node(Op::Project { columns }, &[3], &Schema::new(fields));
        let mut sink = plan.nodes.pop().expect("the last node is the sink");
        plan.nodes.push(Node { mode: ChangelogMode::Retract, ..project });
        (sink.inputs, sink.mode) = (vec![NodeId(4)], ChangelogMode::Retract);
        if let Op::Sink(sink) = &mut sink.op {
            sink.changelog = Some(Changelog { key: None });
        }
        plan.nodes.push(sink);
        assert_eq!(super::plan(&plan), Ok(()));
    }

    #[test]
    fn broken_plans_are_found() {
        let cases = [
            (finding(|p| p.nodes[1].inputs = vec![NodeId(3)]), "does not stand before it"),
            (finding(|p| p.nodes[0].event_time = Some(0)), "the event time is of type BIGINT"),
            (finding(|p| p.nodes[0].event_time = Some(9)), "the event time is column 9 of 3"),
            (finding(|p| p.nodes[2].inputs.clear()), "it has 0 inputs"),
            (finding(|p| drop(p.nodes[2].schema.fields.pop())), "its schema is not its input's"),
            (finding(|p| drop(p.nodes.pop())), "node %3: nothing consumes it"),
            (finding(|p| p.nodes[3].inputs = vec![NodeId(4)]), "does not stand before it"),
            (finding(|p| filter(p).ty = ScalarType::Int64), "a predicate is of type BIGINT"),
            (finding(|p| filter(p).kind = ExprKind::Column(8)), "#8 (as BOOLEAN): there are 3 columns"),
            (
                finding(|p| *filter(p).children_mut()[0] = Expr::column(1, ScalarType::Int64, true)),
                "the column is name TEXT",
            ),
            (
                finding(|p| *filter(p).children_mut()[1] = Expr::literal(Literal::Int(1), ScalarType::Int8)),
                "wrongly typed",
            ),
            (
                finding(|p| *filter(p).children_mut()[1] = Expr::literal(Literal::Null, ScalarType::Int64)),
                "said never to be null",
            ),
            (
                finding(|p| filter(p).kind = ExprKind::Kernel { name: "random".into(), args: vec![] }),
                "a kernel call stands inside an expression",
            ),
            (finding(|p| tumble(p).width = 0), "a window is 0 ns wide"),
            (finding(|p| tumble(p).keys[0].name = "other".into()), "its schema is not the tumble's output"),
            (
                finding(|p| tumble(p).aggregates[0].distinct = true),
                "aggregate total is Sum of distinct BIGINT to BIGINT",
            ),
            (
                finding(|p| tumble(p).event_time = Expr::column(0, ScalarType::Int64, false)),
                "the event time is of type BIGINT",
            ),
            (
                finding(|p| {
                    // A second consumer between the watermark and its source.
                    let sink = p.nodes[4].clone();
                    p.nodes.push(Node { inputs: vec![NodeId(0)], ..sink });
                }),
                "%0, between it and its source, has other consumers",
            ),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected), "{said}\nshould say: {expected}");
        }
    }

    #[test]
    fn broken_graphs_of_changelogs_are_found() {
        let good = crate::place::place(&good_changelog(), 4);
        assert_eq!(graph(&good), Ok(()), "{}", print::graph(&good));
        let finding = |change: &dyn Fn(&mut Graph)| {
            let mut broken = good.clone();
            change(&mut broken);
            graph(&broken).expect_err("the change breaks a rule").join("; ")
        };
        let updating = |graph: &mut Graph, change: &dyn Fn(&mut Updating)| match &mut graph.stages[1].ops[0].kind {
            StageOpKind::Updating(updating) => change(updating),
            _ => unreachable!("the updating aggregate is first in its stage"),
        };
        let key = Expr::column(1, ScalarType::Int64, false);
        let cases = [
            (
                finding(&|g| g.edges[0].exchange = Exchange::Forward),
                "rows reach an updating aggregate by another way than an exchange by its keys",
            ),
            (
                finding(&|g| updating(g, &|updating| updating.keys[0].expr = key.clone())),
                "the keys of an updating aggregate are not its first columns",
            ),
            (
                finding(&|g| {
                    if let Some(sink) = &mut g.stages[2].sink {
                        sink.changelog = Some(Changelog { key: Some(vec![3]) });
                    }
                }),
                "sink out is told of a changelog that it does not get",
            ),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected), "{said}\nshould say: {expected}");
        }
    }

    #[test]
    fn broken_graphs_are_found() {
        let good = crate::place::place(&good(), 4);
        assert_eq!(graph(&good), Ok(()), "{}", print::graph(&good));
        let finding = |change: &dyn Fn(&mut Graph)| {
            let mut broken = good.clone();
            change(&mut broken);
            graph(&broken).expect_err("the change breaks a rule").join("; ")
        };
        let cases = [
            (finding(&|g| g.edges[0].exchange = Exchange::Forward), "another way than an exchange by its keys"),
            (finding(&|g| g.edges[0].exchange = Exchange::Hash(vec![])), "another way than an exchange by its keys"),
            (finding(&|g| g.stages[1].parallelism = 0), "it has no task"),
            (finding(&|g| g.stages[2].parallelism = 4), "allows 1 tasks, not 4"),
            (finding(&|g| g.stages[1].name = g.stages[0].name.clone()), "two stages are named bids_by_name"),
            (finding(&|g| g.stages[1].name = "a b".into()), "no plain identifier"),
            (finding(&|g| g.edges[0].to = StageId(0)), "edge from stage 0 to 0"),
            (finding(&|g| drop(g.edges.pop())), "nothing flows in"),
            (finding(&|g| g.stages[1].ops.swap_remove(0).schema.fields.clear()), "its output schema is not"),
            (finding(&|g| g.stages[1].input = g.stages[0].input.clone()), "it has a source and edges in"),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected), "{said}\nshould say: {expected}");
        }
    }
}
