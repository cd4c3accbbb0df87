//! Removes what nothing needs: columns, struct members, computed values, aggregates, watermarks.
//!
//! One walk backwards finds what the consumers of every operator read of it, one walk forwards makes the operators
//! anew. Of a struct column only the members that are read remain, if every use is of members; a test for null alone
//! needs one member, any. A projection that has become its input is dropped.
//!
//! A watermark is needed where a time window follows. A source always keeps one column: rows without any are easily
//! lost. A changelog always keeps the column that makes it one.

use std::collections::BTreeMap;

use compiler_ir::{
    Aggregate, ChangelogMode, Column, Expr, ExprKind, KernelColumn, Node, NodeId, Op, Plan, SinkDef, SourceField,
    UnaryOp, WindowJoin,
};
use schema::{Field, ScalarType, Schema};

/// What is read of a column.
#[derive(Clone, Debug, PartialEq)]
enum Need {
    Nothing,
    /// These members; none: only whether it is null.
    Members(BTreeMap<usize, Need>),
    Whole,
}

impl Need {
    fn add(&mut self, other: Need) {
        match (&mut *self, other) {
            (_, Need::Nothing) | (Need::Whole, _) => {}
            (Need::Nothing, other) => *self = other,
            (_, Need::Whole) => *self = Need::Whole,
            (Need::Members(members), Need::Members(others)) => {
                for (index, need) in others {
                    members.entry(index).or_insert(Need::Nothing).add(need);
                }
            }
        }
    }

    fn is_nothing(&self) -> bool {
        *self == Need::Nothing
    }
}

/// How a kept column differs from what it was.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Same,
    /// Old member to new member.
    Members(BTreeMap<usize, (usize, Shape)>),
}

/// Old column to new column.
type Columns = BTreeMap<usize, (usize, Shape)>;

pub(super) fn prune(plan: &Plan) -> Plan {
    let needs = needs(plan);
    let timed = leads_to_window(plan);
    let mut pruner = Pruner { old: plan, new: Plan::default(), places: Vec::with_capacity(plan.nodes.len()) };
    for (index, node) in plan.nodes.iter().enumerate() {
        let place = pruner.node(node, &needs[index], timed[index]);
        pruner.places.push(place);
    }
    pruner.new
}

/// By node: whether its watermark matters.
fn leads_to_window(plan: &Plan) -> Vec<bool> {
    let mut timed = vec![false; plan.nodes.len()];
    for (index, node) in plan.nodes.iter().enumerate().rev() {
        let passes = matches!(node.op, Op::Tumble(_) | Op::WindowJoin(_)) || timed[index];
        if passes {
            for input in &node.inputs {
                timed[input.0] = true;
            }
        }
    }
    timed
}

/// By node and column of its output: what is read of it.
fn needs(plan: &Plan) -> Vec<Vec<Need>> {
    let timed = leads_to_window(plan);
    let mut needs: Vec<Vec<Need>> = plan.nodes.iter().map(|node| vec![Need::Nothing; node.schema.len()]).collect();
    for (index, node) in plan.nodes.iter().enumerate().rev() {
        // One column stays, so that rows do.
        if matches!(node.op, Op::Project { .. } | Op::Union | Op::WindowJoin(_))
            && needs[index].iter().all(Need::is_nothing)
            && let Some(first) = needs[index].first_mut()
        {
            *first = Need::Whole;
        }
        if let (ChangelogMode::Retract, Some(first)) = (node.mode, needs[index].first_mut()) {
            *first = Need::Whole;
        }
        let mine = needs[index].clone();
        for (side, &input) in node.inputs.iter().enumerate() {
            let below = &mut needs[input.0];
            match &node.op {
                Op::Source(_) => {}
                Op::Watermark { expr } => {
                    pass(&mine, below);
                    if timed[index] {
                        read(expr, below);
                    }
                }
                Op::Filter { predicate } => {
                    pass(&mine, below);
                    read(predicate, below);
                }
                Op::Compute { columns } => compute_needs(columns, &mine, below),
                Op::Project { columns } => {
                    for (column, need) in columns.iter().zip(mine.iter()) {
                        project_needs(&column.expr, need, below);
                    }
                }
                Op::Tumble(tumble) => {
                    read(&tumble.event_time, below);
                    group_needs(&tumble.keys, &tumble.aggregates, &mine, below);
                }
                Op::Updating(updating) => group_needs(&updating.keys, &updating.aggregates, &mine, below),
                // All inputs must keep the same members: all of them.
                Op::Union => mine.iter().zip(below.iter_mut()).for_each(|(need, below)| {
                    below.add(if need.is_nothing() { Need::Nothing } else { Need::Whole });
                }),
                Op::Sink(_) => below.iter_mut().for_each(|need| *need = Need::Whole),
                Op::WindowJoin(join) => {
                    let first = if side == 0 { 0 } else { join.left };
                    join_needs(join, first, &mine, below);
                }
            }
        }
    }
    needs
}

fn pass(mine: &[Need], below: &mut [Need]) {
    for (need, below) in mine.iter().zip(below) {
        below.add(need.clone());
    }
}

/// Of an aggregate, whose output is the keys, one more column, and the aggregates.
fn group_needs(keys: &[Column], aggregates: &[Aggregate], mine: &[Need], below: &mut [Need]) {
    for key in keys {
        read(&key.expr, below);
    }
    let results = mine.iter().skip(keys.len() + 1);
    for (aggregate, _) in aggregates.iter().zip(results).filter(|(_, need)| !need.is_nothing()) {
        aggregate.filter.iter().chain(&aggregate.arg).for_each(|expr| read(expr, below));
    }
}

/// Of a side of a join: its keys and its window, what leaves of its other columns, and what the condition reads.
/// `first`: the number that the join gives to the side's first column.
fn join_needs(join: &WindowJoin, first: usize, mine: &[Need], below: &mut [Need]) {
    below[..=join.keys].fill(Need::Whole);
    for (&column, need) in join.output.iter().zip(mine) {
        if let Some(below) = column.checked_sub(first).and_then(|column| below.get_mut(column)) {
            below.add(need.clone());
        }
    }
    if let Some(condition) = &join.condition {
        let mut columns = Vec::new();
        condition.collect_columns(&mut columns);
        let mut both = vec![Need::Nothing; columns.iter().max().map_or(0, |last| last + 1)];
        read(condition, &mut both);
        for (below, need) in below.iter_mut().zip(both.into_iter().skip(first)) {
            below.add(need);
        }
    }
}

fn compute_needs(columns: &[KernelColumn], mine: &[Need], below: &mut [Need]) {
    let width = below.len();
    pass(&mine[..width], below);
    for (column, _) in columns.iter().zip(&mine[width..]).filter(|(_, need)| !need.is_nothing()) {
        column.call.children().into_iter().chain(&column.guard).for_each(|expr| read(expr, below));
    }
}

/// A column or member that a projection only passes on is needed as its consumers need it.
fn project_needs(expr: &Expr, need: &Need, below: &mut [Need]) {
    match (need, path(expr)) {
        (Need::Nothing, _) => {}
        (need, Some((column, members))) => below[column].add(wrap(&members, need.clone())),
        (_, None) => read(expr, below),
    }
}

/// Marks what an expression reads.
fn read(expr: &Expr, needs: &mut [Need]) {
    if let Some((column, members)) = path(expr) {
        return needs[column].add(wrap(&members, Need::Whole));
    }
    if let ExprKind::Unary { op: UnaryOp::IsNull | UnaryOp::IsNotNull, arg } = &expr.kind
        && matches!(arg.ty, ScalarType::Struct(_))
        && let Some((column, members)) = path(arg)
    {
        return needs[column].add(wrap(&members, Need::Members(BTreeMap::new())));
    }
    for child in expr.children() {
        read(child, needs);
    }
}

/// `column.member.member`.
fn path(expr: &Expr) -> Option<(usize, Vec<usize>)> {
    match &expr.kind {
        ExprKind::Column(index) => Some((*index, vec![])),
        ExprKind::Field { base, index } => {
            let (column, mut members) = path(base)?;
            members.push(*index);
            Some((column, members))
        }
        _ => None,
    }
}

fn wrap(members: &[usize], need: Need) -> Need {
    members.iter().rev().fold(need, |need, &member| Need::Members(BTreeMap::from([(member, need)])))
}

struct Pruner<'a> {
    old: &'a Plan,
    new: Plan,
    /// By old node.
    places: Vec<(NodeId, Columns)>,
}

impl Pruner<'_> {
    fn push(&mut self, old: &Node, op: Op, inputs: Vec<NodeId>, schema: Schema, columns: Columns) -> (NodeId, Columns) {
        let event_time = old.event_time.and_then(|index| columns.get(&index)).map(|(index, _)| *index);
        let id = self.new.push(Node { op, inputs, schema, event_time, mode: old.mode, note: old.note.clone() });
        (id, columns)
    }

    fn node(&mut self, old: &Node, needs: &[Need], timed: bool) -> (NodeId, Columns) {
        let input = old.inputs.first().map(|input| self.places[input.0].clone());
        match (&old.op, input) {
            (Op::Source(source), _) => {
                let (kept, columns) = keep_fields(&source.fields, needs);
                let schema = Schema::new(kept.iter().map(|field| field.field.clone()).collect());
                let mut source = source.clone();
                source.fields = kept;
                self.push(old, Op::Source(source), vec![], schema, columns)
            }
            (Op::Watermark { expr }, Some((input, columns))) => {
                if !timed {
                    return (input, columns);
                }
                let schema = self.new.node(input).schema.clone();
                let expr = rewrite(expr, &columns, &schema);
                self.push(old, Op::Watermark { expr }, vec![input], schema, columns)
            }
            (Op::Filter { predicate }, Some((input, columns))) => {
                let schema = self.new.node(input).schema.clone();
                let predicate = rewrite(predicate, &columns, &schema);
                self.push(old, Op::Filter { predicate }, vec![input], schema, columns)
            }
            (Op::Compute { columns: calls }, Some(input)) => self.compute(old, calls, input, needs),
            (Op::Project { columns }, Some(input)) => self.project(old, columns, input, needs),
            (Op::Tumble(_), Some(input)) => self.tumble(old, input, needs),
            (Op::Updating(_), Some(input)) => self.updating(old, input, needs),
            (Op::Union, Some(_)) => self.union(old, needs),
            (Op::WindowJoin(join), Some(_)) => self.window_join(old, join, needs),
            (Op::Sink(sink), Some((input, _))) => {
                // Of columns that were there twice, another one may be left.
                let sink = SinkDef { changelog: self.new.changelog(input), ..sink.clone() };
                self.push(old, Op::Sink(sink), vec![input], Schema::default(), Columns::new())
            }
            // Only a source has no input.
            (_, None) => self.push(old, old.op.clone(), vec![], old.schema.clone(), identity(old.schema.len())),
        }
    }

    fn compute(
        &mut self,
        old: &Node,
        calls: &[KernelColumn],
        (input, mut columns): (NodeId, Columns),
        needs: &[Need],
    ) -> (NodeId, Columns) {
        let below = self.new.node(input).schema.clone();
        let width = self.old.node(old.inputs[0]).schema.len();
        let mut schema = below.clone();
        let mut kept = Vec::new();
        for (position, call) in calls.iter().enumerate() {
            if needs[width + position].is_nothing() {
                continue;
            }
            let mut column = call.clone();
            column.call.children_mut().into_iter().for_each(|arg| *arg = rewrite(arg, &columns, &below));
            column.guard = column.guard.map(|guard| rewrite(&guard, &columns, &below));
            schema.fields.push(Field::new(&column.name, column.call.ty.clone(), column.call.nullable));
            kept.push((width + position, column));
        }
        if kept.is_empty() {
            return (input, columns);
        }
        for (position, (index, _)) in kept.iter().enumerate() {
            columns.insert(*index, (below.len() + position, Shape::Same));
        }
        let kept = kept.into_iter().map(|(_, column)| column).collect();
        self.push(old, Op::Compute { columns: kept }, vec![input], schema, columns)
    }

    fn project(
        &mut self,
        old: &Node,
        exprs: &[Column],
        (input, below): (NodeId, Columns),
        needs: &[Need],
    ) -> (NodeId, Columns) {
        let schema = self.new.node(input).schema.clone();
        let mut columns = Columns::new();
        let mut kept: Vec<Column> = Vec::new();
        for (index, (column, _)) in exprs.iter().zip(needs).enumerate().filter(|(_, (_, need))| !need.is_nothing()) {
            let (expr, shape) = match resolve(&column.expr, &below, &schema) {
                Some(resolved) => resolved,
                None => (rewrite(&column.expr, &below, &schema), Shape::Same),
            };
            columns.insert(index, (kept.len(), shape));
            kept.push(Column { name: column.name.clone(), expr });
        }
        let output = Schema::new(
            kept.iter().map(|column| Field::new(&column.name, column.expr.ty.clone(), column.expr.nullable)).collect(),
        );
        let same = kept.iter().enumerate().all(|(index, column)| column.expr.kind == ExprKind::Column(index));
        if same && output == schema {
            return (input, columns);
        }
        self.push(old, Op::Project { columns: kept }, vec![input], output, columns)
    }

    fn tumble(&mut self, old: &Node, (input, below): (NodeId, Columns), needs: &[Need]) -> (NodeId, Columns) {
        let Op::Tumble(tumble) = &old.op else { return (input, below) };
        let schema = self.new.node(input).schema.clone();
        let mut tumble = tumble.clone();
        tumble.event_time = rewrite(&tumble.event_time, &below, &schema);
        let columns = keep_groups(&mut tumble.keys, &mut tumble.aggregates, needs, &below, &schema);
        let output = tumble.output_schema();
        self.push(old, Op::Tumble(tumble), vec![input], output, columns)
    }

    fn updating(&mut self, old: &Node, (input, below): (NodeId, Columns), needs: &[Need]) -> (NodeId, Columns) {
        let Op::Updating(updating) = &old.op else { return (input, below) };
        let schema = self.new.node(input).schema.clone();
        let mut updating = updating.clone();
        let columns = keep_groups(&mut updating.keys, &mut updating.aggregates, needs, &below, &schema);
        let output = updating.output_schema();
        self.push(old, Op::Updating(updating), vec![input], output, columns)
    }

    fn union(&mut self, old: &Node, needs: &[Need]) -> (NodeId, Columns) {
        let inputs: Vec<NodeId> = old.inputs.iter().map(|input| self.places[input.0].0).collect();
        let mut columns = Columns::new();
        let mut fields = Vec::new();
        for (index, field) in old.schema.fields.iter().enumerate() {
            if !needs[index].is_nothing() {
                columns.insert(index, (fields.len(), Shape::Same));
                fields.push(field.clone());
            }
        }
        self.push(old, Op::Union, inputs, Schema::new(fields), columns)
    }

    fn window_join(&mut self, old: &Node, join: &WindowJoin, needs: &[Need]) -> (NodeId, Columns) {
        let [left, right] = [0, 1].map(|side: usize| self.places[old.inputs[side].0].clone());
        let schemas = [left.0, right.0].map(|input| &self.new.node(input).schema);
        let width = schemas[0].len();
        let input = Schema::new(schemas.iter().flat_map(|schema| schema.fields.clone()).collect());
        let mut below = left.1;
        below.extend(right.1.into_iter().map(|(index, (place, shape))| (join.left + index, (width + place, shape))));
        let condition = join.condition.as_ref().map(|condition| rewrite(condition, &below, &input));
        let mut columns = Columns::new();
        let mut output = Vec::new();
        for (index, (column, _)) in
            join.output.iter().zip(needs).enumerate().filter(|(_, (_, need))| !need.is_nothing())
        {
            let (place, shape) = below[column].clone();
            columns.insert(index, (output.len(), shape));
            output.push(place);
        }
        let join = WindowJoin { left: width, condition, output, ..join.clone() };
        let schema = join.output_schema(&input);
        self.push(old, Op::WindowJoin(join), vec![left.0, right.0], schema, columns)
    }
}

/// Keys and aggregates over the new columns, without the aggregates that nobody needs. As for [`group_needs`], the output
/// has one more column than these.
fn keep_groups(
    keys: &mut [Column],
    aggregates: &mut Vec<Aggregate>,
    needs: &[Need],
    below: &Columns,
    schema: &Schema,
) -> Columns {
    for key in keys.iter_mut() {
        key.expr = rewrite(&key.expr, below, schema);
    }
    let groups = keys.len() + 1;
    let mut columns = identity(groups);
    let mut kept: Vec<Aggregate> = Vec::new();
    for (position, mut aggregate) in std::mem::take(aggregates).into_iter().enumerate() {
        if needs[groups + position].is_nothing() {
            continue;
        }
        for expr in aggregate.filter.iter_mut().chain(aggregate.arg.as_mut()) {
            *expr = rewrite(expr, below, schema);
        }
        columns.insert(groups + position, (groups + kept.len(), Shape::Same));
        kept.push(aggregate);
    }
    *aggregates = kept;
    columns
}

fn identity(width: usize) -> Columns {
    (0..width).map(|index| (index, (index, Shape::Same))).collect()
}

/// The new form of a column or member, and how it changed.
fn resolve(expr: &Expr, columns: &Columns, schema: &Schema) -> Option<(Expr, Shape)> {
    match &expr.kind {
        ExprKind::Column(index) => {
            let (place, shape) = columns.get(index)?;
            let ty = schema.fields[*place].ty.clone();
            Some((Expr::column(*place, ty, expr.nullable), shape.clone()))
        }
        ExprKind::Field { base, index } => {
            let (base, shape) = resolve(base, columns, schema)?;
            let (index, shape) = match shape {
                Shape::Same => (*index, Shape::Same),
                Shape::Members(members) => members.get(index)?.clone(),
            };
            let ScalarType::Struct(fields) = &base.ty else { return None };
            let ty = fields.get(index)?.ty.clone();
            let kind = ExprKind::Field { base: Box::new(base), index };
            Some((Expr { kind, ty, nullable: expr.nullable }, shape))
        }
        _ => None,
    }
}

/// The expression over the new columns.
fn rewrite(expr: &Expr, columns: &Columns, schema: &Schema) -> Expr {
    if let Some((expr, _)) = resolve(expr, columns, schema) {
        return expr;
    }
    let mut expr = expr.clone();
    for child in expr.children_mut() {
        *child = rewrite(child, columns, schema);
    }
    expr
}

fn keep_fields(fields: &[SourceField], needs: &[Need]) -> (Vec<SourceField>, Columns) {
    let mut kept = Vec::new();
    let mut columns = Columns::new();
    let mut keep = |index: usize, need: &Need| {
        let mut field: SourceField = fields[index].clone();
        let (ty, shape) = narrow(&field.field.ty, need);
        field.field.ty = ty;
        columns.insert(index, (kept.len(), shape));
        kept.push(field);
    };
    for (index, need) in needs.iter().enumerate().filter(|(_, need)| !need.is_nothing()) {
        keep(index, need);
    }
    if needs.iter().all(Need::is_nothing)
        && let Some(cheapest) = cheapest(fields.iter().map(|field| &field.field.ty))
    {
        keep(cheapest, &Need::Members(BTreeMap::new()));
    }
    (kept, columns)
}

/// The type with only the members that are needed.
fn narrow(ty: &ScalarType, need: &Need) -> (ScalarType, Shape) {
    let (ScalarType::Struct(fields), Need::Members(members)) = (ty, need) else { return (ty.clone(), Shape::Same) };
    let mut members = members.clone();
    if members.is_empty()
        && let Some(cheapest) = cheapest(fields.iter().map(|field| &field.ty))
    {
        members.insert(cheapest, Need::Members(BTreeMap::new()));
    }
    let mut kept = Vec::new();
    let mut shapes = BTreeMap::new();
    for (index, need) in members {
        let (ty, shape) = narrow(&fields[index].ty, &need);
        shapes.insert(index, (kept.len(), shape));
        kept.push(Field { ty, ..fields[index].clone() });
    }
    if kept.len() == fields.len() && shapes.values().all(|(_, shape)| *shape == Shape::Same) {
        return (ty.clone(), Shape::Same);
    }
    (ScalarType::Struct(kept), Shape::Members(shapes))
}

/// The first of the types that costs least to decode and carry.
fn cheapest<'a>(types: impl Iterator<Item = &'a ScalarType>) -> Option<usize> {
    let cost = |ty: &ScalarType| match ty {
        ty if ty.is_integer() || ty.is_float() => 0,
        ScalarType::Bool | ScalarType::Timestamp { .. } | ScalarType::Date | ScalarType::Time => 1,
        ScalarType::Struct(_) => 3,
        ScalarType::List(_) | ScalarType::Map { .. } => 4,
        _ => 2,
    };
    types.enumerate().min_by_key(|(_, ty)| cost(ty)).map(|(index, _)| index)
}
