//! Logical plans to the IR's plan.
//!
//! ```text
//!  outputs ── lower ──▶ operators over whole tables, event time always along ── prune ──▶ only what is used
//! ```
//!
//! Lowering is one walk over each logical plan. It decides where expressions run ([`expr`], [`hoist`]), makes event
//! time and the mode of rows explicit, and gives every table one source and every repeated subplan one operator, however
//! many queries read it. It keeps every column; [`prune`] then removes, over the whole plan, the columns, struct members and
//! watermarks that nothing needs.
//!
//! What a pipeline cannot do, and the syntax tree did not show, is said here.
//!
//! Not here: where operators run (placement).

mod call;
mod expr;
mod hoist;
mod literal;
mod note;
mod prune;

use std::collections::BTreeMap;

use compiler_ir::{
    Aggregate, AggregateFn, ChangelogMode, Column, Expr, ExprKind, JoinKind, Literal, NativeFn, Node, NodeId, Op, Plan,
    SinkDef, SourceDef, SourceField, Tumble, Updating, WindowJoin, WindowPart, verify,
};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::logical_plan::Aggregate as DfAggregate;
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Expr as DfExpr, Join, LogicalPlan};
use schema::{EVENT_TIME, Field, RETRACT, ScalarType, Schema, TimeUnit};

use crate::bind::{Bound, Output, SourceTable};
use crate::catalog::{Origin, hidden_event_time};
use crate::check::join_name;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::functions::FRESH_PER_CALL;
use crate::hints;
use crate::join::Conditions;
use crate::stack::on_big_stack;
use crate::translate::place;
use crate::window::TumbleNode;

use expr::{Scope, column_ref};
use hoist::Hoist;

/// Lowers all outputs of a script to one plan, which the verifier is to look at.
///
/// # Errors
/// What has no place in a pipeline, for every output.
pub fn lower(bound: &Bound) -> Result<Plan, Vec<Diagnostic>> {
    on_big_stack(|| lower_here(bound)).map_err(hints::complete)
}

fn lower_here(bound: &Bound) -> Result<Plan, Vec<Diagnostic>> {
    let mut lowerer = Lowerer { bound, plan: Plan::default(), sources: BTreeMap::new(), span: None };
    let mut errors = Vec::new();
    let mut sinks: Vec<(&Output, Vec<NodeId>)> = Vec::new();
    for output in &bound.outputs {
        lowerer.span = output.span;
        match lowerer.output(output) {
            Ok(node) => match sinks.iter_mut().find(|(first, _)| first.table == output.table) {
                Some((_, nodes)) => nodes.push(node),
                None => sinks.push((output, vec![node])),
            },
            Err(error) => errors.push(*error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    for (output, nodes) in sinks {
        lowerer.sink(output, &nodes);
    }
    Ok(prune::prune(&lowerer.plan))
}

/// Name of the column that holds a time window, until the query gives it another.
const WINDOW: &str = "window";

/// Columns that an aggregate without a window has beside the query's, in its rows or in its state.
const RESERVED: [&str; 3] = [RETRACT, "_updated", "_deleted"];

/// Diagnostics are large; results are passed often.
type Result2<T> = Result<T, Box<Diagnostic>>;

struct Lowerer<'a> {
    bound: &'a Bound,
    plan: Plan,
    sources: BTreeMap<String, Relation>,
    /// Of the statement that is being lowered.
    span: Option<Span>,
}

/// What a logical plan became.
#[derive(Clone, Debug)]
struct Relation {
    node: NodeId,
    /// For each column of the logical plan its place in the node's schema, which may have more.
    columns: Vec<usize>,
    event_time: Option<usize>,
    /// Kernel calls whose values the node carries.
    computed: Vec<(Expr, usize)>,
}

impl Lowerer<'_> {
    fn unsupported<T>(&self, what: impl std::fmt::Display) -> Result2<T> {
        Err(Box::new(Diagnostic::error(code::NO_PLACE, self.span, format!("{what} is not supported yet"))))
    }

    fn schema(&self, node: NodeId) -> &Schema {
        &self.plan.node(node).schema
    }

    fn mode(&self, node: NodeId) -> ChangelogMode {
        self.plan.node(node).mode
    }

    /// The first column of a node that is the query's.
    fn first(&self, node: NodeId) -> usize {
        match self.mode(node) {
            ChangelogMode::Append => 0,
            ChangelogMode::Retract => 1,
        }
    }

    /// The node, or an equal one that is there already.
    fn add(&mut self, node: Node) -> NodeId {
        let shared = !matches!(node.op, Op::Sink(_)) && !is_fresh(&node.op);
        let equal = |known: &Node| known.op == node.op && known.inputs == node.inputs && known.schema == node.schema;
        match self.plan.nodes.iter().position(equal) {
            Some(index) if shared => NodeId(index),
            _ => self.plan.push(node),
        }
    }

    fn output(&mut self, output: &Output) -> Result2<NodeId> {
        let relation = self.plan(&output.plan)?;
        if self.mode(relation.node) == ChangelogMode::Retract && !output.validated.updates {
            let message = format!("table \"{}\" takes new rows only, but those of the query are updated", output.table);
            return Err(Box::new(
                Diagnostic::error(code::NO_PLACE, output.target, message)
                    .with_hint("write format = 'debezium_json', which has updates, or group by a time window"),
            ));
        }
        let schema = self.schema(relation.node).clone();
        let mut columns = Vec::with_capacity(output.columns.len());
        for (field, &index) in output.columns.iter().zip(&relation.columns) {
            let mut expr = column_ref(index, &schema);
            if output.declared && expr.ty != field.ty && expr.ty.is_text() && field.ty.is_text() {
                expr = cast(expr, field.ty.clone());
            }
            columns.push(Column { name: field.name.clone(), expr });
        }
        let note = format!("INSERT INTO {}", output.table);
        Ok(self.project_unshared(relation.node, columns, None, note))
    }

    fn sink(&mut self, output: &Output, nodes: &[NodeId]) {
        let input = match nodes {
            [node] => *node,
            nodes => self.union(nodes.to_vec(), None),
        };
        let sink = SinkDef {
            table: output.table.clone(),
            connector: output.connector.clone(),
            options: output.validated.config.clone(),
            max_parallelism: output.validated.max_parallelism,
            changelog: self.plan.changelog(input),
        };
        let note = format!("INSERT INTO {}", output.table);
        self.plan.push(Node {
            op: Op::Sink(sink),
            inputs: vec![input],
            schema: Schema::default(),
            event_time: None,
            mode: self.mode(input),
            note,
        });
    }

    fn plan(&mut self, plan: &LogicalPlan) -> Result2<Relation> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let mut relation = self.source(scan.table_name.table())?;
                if let Some(projection) = &scan.projection {
                    relation.columns = projection.iter().map(|&index| relation.columns[index]).collect();
                }
                match scan.filters.is_empty() && scan.fetch.is_none() {
                    true => Ok(relation),
                    false => self.unsupported("a filter inside a scan"),
                }
            }
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Projection(projection) => {
                let input = self.plan(&projection.input)?;
                self.projection(input, projection.input.schema(), &projection.expr, &projection.schema)
            }
            LogicalPlan::Filter(filter) => {
                let input = self.plan(&filter.input)?;
                self.filter(input, filter.input.schema(), &filter.predicate)
            }
            LogicalPlan::Union(union) => {
                let mut inputs = Vec::with_capacity(union.inputs.len());
                for input in &union.inputs {
                    inputs.push(self.plan(input)?);
                }
                self.union_of(inputs, &union.schema)
            }
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<TumbleNode>() {
                Some(node) => {
                    let input = self.plan(&node.input)?;
                    self.tumble(input, node)
                }
                None => self.unsupported(extension.node.name()),
            },
            LogicalPlan::Aggregate(aggregate) => {
                let input = self.plan(&aggregate.input)?;
                self.updating(input, aggregate)
            }
            LogicalPlan::Distinct(_) => self.unsupported("DISTINCT"),
            LogicalPlan::Sort(_) => self.unsupported("ORDER BY"),
            LogicalPlan::Limit(_) => self.unsupported("LIMIT"),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Window(_) => self.unsupported("a window function"),
            LogicalPlan::EmptyRelation(_) => self.unsupported("a query without rows of a table"),
            LogicalPlan::Values(_) => self.unsupported("VALUES"),
            LogicalPlan::Unnest(_) => self.unsupported("unnest"),
            LogicalPlan::RecursiveQuery(_) => self.unsupported("WITH RECURSIVE"),
            other => self.unsupported(other.display()),
        }
    }

    // --- sources ---------------------------------------------------------------------------------------------------

    /// Source, virtual columns, watermark; once for each table.
    fn source(&mut self, name: &str) -> Result2<Relation> {
        if let Some(relation) = self.sources.get(name) {
            return Ok(relation.clone());
        }
        let Some(source) = self.bound.tables.get(name).cloned() else {
            return self.unsupported(format!("table \"{name}\""));
        };
        let relation = self.scan(&source);
        let relation = self.virtual_columns(relation, &source)?;
        let relation = self.watermark(relation, &source)?;
        self.sources.insert(name.to_owned(), relation.clone());
        Ok(relation)
    }

    /// The stored columns, then the hidden event time if no column is it.
    fn scan(&mut self, source: &SourceTable) -> Relation {
        let table = &source.table;
        let mut fields: Vec<SourceField> = table
            .stored()
            .map(|(_, column)| SourceField {
                field: column.field.clone(),
                metadata: match &column.origin {
                    Origin::Metadata(key) => Some(key.clone()),
                    Origin::Data | Origin::Virtual(_) => None,
                },
            })
            .collect();
        let columns = (0..fields.len()).collect();
        let event_time = table.event_time.is_none().then_some(fields.len());
        if event_time.is_some() {
            fields.push(SourceField { field: hidden_event_time(), metadata: Some(EVENT_TIME.to_owned()) });
        }
        let schema = Schema::new(fields.iter().map(|field| field.field.clone()).collect());
        let def = SourceDef {
            table: table.name.clone(),
            connector: table.connector.name().to_owned(),
            options: source.validated.config.clone(),
            fields,
            idle_micros: table.idle_micros,
        };
        let note = format!("FROM {}", table.name);
        let mode = ChangelogMode::Append;
        let node = self.plan.push(Node { op: Op::Source(def), inputs: vec![], schema, event_time, mode, note });
        Relation { node, columns, event_time, computed: vec![] }
    }

    /// Relation's columns become all columns of the table, in its order.
    fn virtual_columns(&mut self, input: Relation, source: &SourceTable) -> Result2<Relation> {
        let table = &source.table;
        let names = table.stored_df_schema();
        let mut exprs = Vec::new();
        for column in &table.columns {
            if let Origin::Virtual(expr) = &column.origin {
                exprs.push(self.scope(&input, &names).lower(expr)?);
            }
        }
        let event_time_of = |columns: &[usize]| table.event_time.map(|index| columns[index]);
        if exprs.is_empty() {
            let event_time = event_time_of(&input.columns).or(input.event_time);
            self.plan.nodes[input.node.0].event_time = event_time;
            return Ok(Relation { event_time, ..input });
        }
        let relation = self.computed(input, &mut exprs, "GENERATED ALWAYS AS")?;
        let schema = self.schema(relation.node).clone();
        let (mut stored, mut made) = (relation.columns.iter(), exprs.into_iter());
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let expr = match &column.origin {
                Origin::Virtual(_) => made.next(),
                _ => stored.next().map(|&index| column_ref(index, &schema)),
            };
            let expr = expr.expect("each column is stored or made");
            columns.push(Column { name: column.field.name.clone(), expr });
        }
        let event_time = match table.event_time {
            Some(index) => index,
            None => {
                let hidden = relation.event_time.expect("a table without an event time column has the hidden one");
                columns.push(Column { name: EVENT_TIME.to_owned(), expr: column_ref(hidden, &schema) });
                columns.len() - 1
            }
        };
        let note = note::generated(table);
        let node = self.project(relation.node, columns, Some(event_time), note);
        let columns = (0..table.columns.len()).collect();
        Ok(Relation { node, columns, event_time: Some(event_time), computed: vec![] })
    }

    fn watermark(&mut self, input: Relation, source: &SourceTable) -> Result2<Relation> {
        let table = &source.table;
        let Some(event_time) = input.event_time else { return Ok(input) };
        let mut exprs = vec![match &table.watermark {
            Some(expr) => self.scope(&input, &table.df_schema()).lower(expr)?,
            None => shifted(column_ref(event_time, self.schema(input.node)), -TimeUnit::Second.nanos()),
        }];
        let note = note::watermark(table);
        let relation = self.computed(input, &mut exprs, &note)?;
        let expr = exprs.pop().expect("one watermark");
        let schema = self.schema(relation.node).clone();
        let node = Node {
            op: Op::Watermark { expr },
            inputs: vec![relation.node],
            schema,
            event_time: Some(event_time),
            mode: ChangelogMode::Append,
            note,
        };
        Ok(Relation { node: self.add(node), ..relation })
    }

    // --- rows one by one -------------------------------------------------------------------------------------------

    fn scope<'s>(&'s self, relation: &'s Relation, names: &'s DFSchema) -> Scope<'s> {
        Scope {
            names,
            columns: &relation.columns,
            schema: self.schema(relation.node),
            event_time: relation.event_time,
            span: self.span,
        }
    }

    /// Moves the kernel calls of expressions into `Compute` nodes; what is left of them is native.
    fn computed(&mut self, input: Relation, exprs: &mut [Expr], note: &str) -> Result2<Relation> {
        let mut hoist = Hoist::new(self.schema(input.node), &input.computed);
        for expr in exprs.iter_mut() {
            hoist.expr(expr);
        }
        self.compute(input, hoist, exprs.iter_mut().collect(), note)
    }

    fn compute(
        &mut self,
        mut relation: Relation,
        hoist: Hoist,
        exprs: Vec<&mut Expr>,
        note: &str,
    ) -> Result2<Relation> {
        for (columns, calls) in hoist.finish(exprs) {
            let mut schema = self.schema(relation.node).clone();
            for column in &columns {
                if let Some(fault) = call::fault(&column.call, self.span) {
                    return Err(Box::new(fault));
                }
                schema.fields.push(Field::new(&column.name, column.call.ty.clone(), column.call.nullable));
            }
            relation.computed.extend(calls);
            relation.node = self.add(Node {
                op: Op::Compute { columns },
                inputs: vec![relation.node],
                schema,
                event_time: relation.event_time,
                mode: self.mode(relation.node),
                note: note.to_owned(),
            });
        }
        Ok(relation)
    }

    /// The columns are the query's; those of a changelog come behind what makes it one.
    fn project(&mut self, input: NodeId, columns: Vec<Column>, event_time: Option<usize>, note: String) -> NodeId {
        let node = self.project_node(input, columns, event_time, note);
        self.add(node)
    }

    /// Inputs of unions and sinks have exactly the wanted columns: nobody else may ask them for more.
    fn project_unshared(
        &mut self,
        input: NodeId,
        columns: Vec<Column>,
        event_time: Option<usize>,
        note: String,
    ) -> NodeId {
        let node = self.project_node(input, columns, event_time, note);
        self.plan.push(node)
    }

    fn project_node(&self, input: NodeId, mut columns: Vec<Column>, event_time: Option<usize>, note: String) -> Node {
        let (mode, first) = (self.mode(input), self.first(input));
        if mode == ChangelogMode::Retract {
            columns.insert(0, Column { name: RETRACT.to_owned(), expr: column_ref(0, self.schema(input)) });
        }
        project_node(input, columns, event_time.map(|index| first + index), mode, note)
    }

    /// The rows of a node as those of a changelog, none of which is ever taken back.
    fn as_changelog(&mut self, input: NodeId) -> NodeId {
        if self.mode(input) == ChangelogMode::Retract {
            return input;
        }
        let never = Expr::literal(Literal::Bool(false), ScalarType::Bool);
        let mut columns = vec![Column { name: RETRACT.to_owned(), expr: never }];
        let schema = self.schema(input);
        columns.extend(
            schema
                .fields
                .iter()
                .enumerate()
                .map(|(index, field)| Column { name: field.name.clone(), expr: column_ref(index, schema) }),
        );
        let note = "UNION ALL".to_owned();
        self.plan.push(project_node(input, columns, None, ChangelogMode::Retract, note))
    }

    fn projection(&mut self, input: Relation, names: &DFSchema, exprs: &[DfExpr], out: &DFSchema) -> Result2<Relation> {
        let mut lowered = Vec::with_capacity(exprs.len());
        {
            let scope = self.scope(&input, names);
            for expr in exprs {
                lowered.push(scope.lower(expr)?);
            }
        }
        let plain: Option<Vec<usize>> = lowered
            .iter()
            .map(|expr| match expr.kind {
                ExprKind::Column(index) => Some(index),
                _ => None,
            })
            .collect();
        // A projection that only renames and reorders is a matter of names, which its consumer gives.
        if let Some(columns) = plain {
            return Ok(Relation { columns, ..input });
        }
        let note = note::select(exprs);
        let relation = self.computed(input, &mut lowered, &note)?;
        let mut taken = Names::default();
        let mut columns = Vec::with_capacity(lowered.len() + 1);
        for (expr, field) in lowered.into_iter().zip(out.fields()) {
            columns.push(Column { name: taken.fresh(field.name()), expr });
        }
        let count = columns.len();
        let event_time = relation.event_time.map(|index| {
            let same = columns.iter().position(|column| column.expr.kind == ExprKind::Column(index));
            same.unwrap_or_else(|| {
                let expr = column_ref(index, self.schema(relation.node));
                columns.push(Column { name: taken.fresh(EVENT_TIME), expr });
                count
            })
        });
        let node = self.project(relation.node, columns, event_time, note);
        let first = self.first(node);
        Ok(Relation { node, columns: (first..first + count).collect(), event_time, computed: vec![] })
    }

    /// Conditions that run in the loop go first, so that kernels see fewer rows.
    fn filter(&mut self, input: Relation, names: &DFSchema, predicate: &DfExpr) -> Result2<Relation> {
        let mut first: Vec<(Expr, &DfExpr)> = Vec::new();
        let mut rest: Vec<(Expr, &DfExpr)> = Vec::new();
        {
            let scope = self.scope(&input, names);
            for part in split_conjunction(predicate) {
                let expr = scope.boolean(part)?;
                if expr.is_native() && !expr.is_fallible() {
                    first.push((expr, part));
                } else {
                    rest.push((expr, part));
                }
            }
        }
        let mut relation = input;
        for group in [first, rest] {
            let note = note::filter(group.iter().map(|(_, part)| *part));
            let Some(predicate) = group.into_iter().map(|(expr, _)| expr).reduce(expr::and) else { continue };
            let mut exprs = [predicate];
            relation = self.computed(relation, &mut exprs, &note)?;
            let [predicate] = exprs;
            let schema = self.schema(relation.node).clone();
            relation.node = self.add(Node {
                op: Op::Filter { predicate },
                inputs: vec![relation.node],
                schema,
                event_time: relation.event_time,
                mode: self.mode(relation.node),
                note,
            });
        }
        Ok(relation)
    }

    // --- several rows ----------------------------------------------------------------------------------------------

    fn union_of(&mut self, inputs: Vec<Relation>, names: &DFSchema) -> Result2<Relation> {
        let timed = inputs.iter().all(|input| input.event_time.is_some());
        let width = names.fields().len();
        let mut taken = Names::default();
        let fields: Vec<String> = names.fields().iter().map(|field| taken.fresh(field.name())).collect();
        let mut nodes = Vec::with_capacity(inputs.len());
        for input in inputs {
            let schema = self.schema(input.node).clone();
            let mut columns: Vec<Column> = fields
                .iter()
                .zip(&input.columns)
                .map(|(name, &index)| Column { name: name.clone(), expr: column_ref(index, &schema) })
                .collect();
            if let (true, Some(index)) = (timed, input.event_time) {
                let mut expr = column_ref(index, &schema);
                if expr.ty != ScalarType::TIMESTAMP_NS {
                    expr = cast(expr, ScalarType::TIMESTAMP_NS);
                }
                columns.push(Column { name: taken_event_time(&fields), expr });
            }
            nodes.push(self.project_unshared(input.node, columns, timed.then_some(width), "UNION ALL".to_owned()));
        }
        // Updated rows have no event time, so that it never stands behind more columns than these.
        let event_time = timed.then_some(width);
        let node = self.union(nodes, event_time);
        let first = self.first(node);
        Ok(Relation { node, columns: (first..first + width).collect(), event_time, computed: vec![] })
    }

    /// The rows of nodes with equal types.
    fn union(&mut self, mut nodes: Vec<NodeId>, event_time: Option<usize>) -> NodeId {
        let updated = nodes.iter().any(|&node| self.mode(node) == ChangelogMode::Retract);
        if updated {
            nodes = nodes.into_iter().map(|node| self.as_changelog(node)).collect();
        }
        let mode = self.mode(nodes[0]);
        let mut schema = self.schema(nodes[0]).clone();
        for &node in &nodes[1..] {
            for (field, other) in schema.fields.iter_mut().zip(&self.plan.node(node).schema.fields) {
                field.nullable |= other.nullable;
            }
        }
        self.plan.push(Node { op: Op::Union, inputs: nodes, schema, event_time, mode, note: "UNION ALL".to_owned() })
    }

    /// Each side sends its keys, its window, then its other columns.
    fn join(&mut self, join: &Join) -> Result2<Relation> {
        let found = match Conditions::of(join) {
            Ok(found) => found,
            Err(refusal) => return Err(Box::new(refusal.diagnostic(join, self.span))),
        };
        let sides = [self.plan(&join.left)?, self.plan(&join.right)?];
        let names: [&DFSchema; 2] = [join.left.schema(), join.right.schema()];
        let [mut left, mut right] = [Vec::new(), Vec::new()];
        let mut rest: Vec<DfExpr> = found.rest.iter().map(|part| (*part).clone()).collect();
        for [of_left, of_right] in &found.keys {
            let first = self.scope(&sides[0], names[0]).lower(of_left)?;
            let second = self.scope(&sides[1], names[1]).lower(of_right)?;
            let same = first.ty == second.ty || (first.ty.is_text() && second.ty.is_text());
            if same && !verify::holds_map(&first.ty) {
                left.push((short_name(of_left), first));
                right.push((short_name(of_right), second));
            } else {
                rest.push((*of_left).clone().eq((*of_right).clone()));
            }
        }
        let keys = left.len();
        for (side, first) in [&mut left, &mut right].into_iter().enumerate() {
            let window = self.scope(&sides[side], names[side]).lower(found.window[side])?;
            first.push(match found.part {
                WindowPart::Whole => (WINDOW.to_owned(), window),
                WindowPart::Start => ("window_start".to_owned(), window),
                WindowPart::End => ("window_start".to_owned(), shifted(window, -found.width)),
            });
        }
        let note = note::join(join, found.kind);
        let mut taken = Names::default();
        let [of_left, of_right] = sides;
        let (left, mut columns) = self.joined_side(of_left, left, names[0], &mut taken, &note)?;
        let width = self.schema(left).len();
        let (right, others) = self.joined_side(of_right, right, names[1], &mut taken, &note)?;
        columns.extend(others.into_iter().map(|column| width + column));

        let fields = self.schema(left).fields.iter().chain(&self.schema(right).fields).cloned();
        let input = Schema::new(fields.collect());
        // Of an inner join the rest of the condition is a filter over what leaves.
        let mut condition = None;
        if found.kind != JoinKind::Inner {
            let scope =
                Scope { names: &join.schema, columns: &columns, schema: &input, event_time: None, span: self.span };
            condition = pair_condition(&scope, &std::mem::take(&mut rest), found.kind)?;
        }
        let output = (0..input.len()).collect();
        let op = WindowJoin { kind: found.kind, width: found.width, keys, left: width, condition, output };
        let schema = op.output_schema(&input);
        let (op, mode) = (Op::WindowJoin(op), ChangelogMode::Append);
        let node = self.add(Node { op, inputs: vec![left, right], schema, event_time: None, mode, note });
        let relation = Relation { node, columns, event_time: None, computed: vec![] };
        match conjunction(rest) {
            Some(rest) => self.filter(relation, &join.schema, &rest),
            None => Ok(relation),
        }
    }

    /// What a side of a join sends, and where its columns are in that. `first`: the columns that stand first, by name.
    fn joined_side(
        &mut self,
        side: Relation,
        first: Vec<(String, Expr)>,
        names: &DFSchema,
        taken: &mut Names,
        note: &str,
    ) -> Result2<(NodeId, Vec<usize>)> {
        let (first_names, mut exprs): (Vec<String>, Vec<Expr>) = first.into_iter().unzip();
        let relation = self.computed(side, &mut exprs, note)?;
        let schema = self.schema(relation.node).clone();
        let mut sent: Vec<Column> = Vec::new();
        // Columns of the relation that are sent, and where.
        let mut known: BTreeMap<usize, usize> = BTreeMap::new();
        for (name, expr) in first_names.iter().zip(exprs) {
            if let ExprKind::Column(index) = expr.kind {
                known.entry(index).or_insert(sent.len());
            }
            sent.push(Column { name: taken.fresh(name), expr });
        }
        let mut columns = Vec::with_capacity(relation.columns.len());
        for (&index, field) in relation.columns.iter().zip(names.fields().iter()) {
            let place = *known.entry(index).or_insert(sent.len());
            if place == sent.len() {
                sent.push(Column { name: taken.fresh(field.name()), expr: column_ref(index, &schema) });
            }
            columns.push(place);
        }
        Ok((self.project(relation.node, sent, None, note.to_owned()), columns))
    }

    fn tumble(&mut self, input: Relation, node: &TumbleNode) -> Result2<Relation> {
        if self.mode(input.node) == ChangelogMode::Retract {
            return self.unsupported("a time window over updated rows");
        }
        if input.event_time.is_none() {
            return self.unsupported("a time window over the result of another");
        }
        let note = note::group_by(node);
        let Groups { relation, keys, aggregates } =
            self.groups(input, node.input.schema(), (&node.keys, &node.aggregates), &[WINDOW], &note)?;
        let schema = self.schema(relation.node);
        let event_time =
            relation.event_time.map(|index| column_ref(index, schema)).expect("the event time was checked");
        let window = WINDOW.to_owned();
        let groups = keys.len();
        let tumble = Tumble { width: node.width, event_time, keys, aggregates, window };
        let count = tumble.aggregates.len();
        let mut columns: Vec<usize> = Vec::with_capacity(groups + 1 + count);
        columns.extend(0..groups);
        columns.insert(node.window, groups);
        columns.extend(groups + 1..groups + 1 + count);
        let schema = tumble.output_schema();
        let (op, mode) = (Op::Tumble(tumble), ChangelogMode::Append);
        let node = self.add(Node { op, inputs: vec![relation.node], schema, event_time: None, mode, note });
        Ok(Relation { node, columns, event_time: None, computed: vec![] })
    }

    fn updating(&mut self, input: Relation, aggregate: &DfAggregate) -> Result2<Relation> {
        if self.mode(input.node) == ChangelogMode::Retract {
            return self.unsupported("an aggregate of updated rows");
        }
        let exprs = (aggregate.group_expr.as_slice(), aggregate.aggr_expr.as_slice());
        let note = note::group_by_keys(exprs.0, exprs.1);
        let Groups { relation, keys, aggregates } =
            self.groups(input, aggregate.input.schema(), exprs, &RESERVED, &note)?;
        if aggregates.iter().any(|aggregate| aggregate.distinct) {
            return self.unsupported("count(DISTINCT ...) without a time window");
        }
        let updating = Updating { keys, aggregates, ttl: self.bound.updating_ttl };
        let schema = updating.output_schema();
        let columns = (1..schema.len()).collect();
        let (op, mode) = (Op::Updating(updating), ChangelogMode::Retract);
        let node = self.add(Node { op, inputs: vec![relation.node], schema, event_time: None, mode, note });
        Ok(Relation { node, columns, event_time: None, computed: vec![] })
    }

    /// Keys and aggregates over an input, which gets the values of the kernel calls in them.
    fn groups(
        &mut self,
        input: Relation,
        names: &DFSchema,
        (keys, aggregates): (&[DfExpr], &[DfExpr]),
        reserved: &[&str],
        note: &str,
    ) -> Result2<Groups> {
        let mut parts = Vec::new();
        {
            let scope = self.scope(&input, names);
            for key in keys {
                parts.push(Part::Key(scope.lower(key)?));
            }
            for aggregate in aggregates {
                parts.push(Part::Aggregate(self.aggregate(&scope, aggregate)?));
            }
        }
        let mut hoist = Hoist::new(self.schema(input.node), &input.computed);
        for part in &mut parts {
            match part {
                Part::Key(key) => hoist.expr(key),
                Part::Aggregate(aggregate) => hoist.aggregate(aggregate.filter.as_mut(), aggregate.arg.as_mut()),
            }
        }
        let relation = self.compute(input, hoist, parts.iter_mut().flat_map(Part::exprs).collect(), note)?;
        let mut taken = Names::default();
        for name in reserved {
            taken.fresh(name);
        }
        let (mut named_keys, mut named_aggregates) = (Vec::new(), Vec::new());
        // Names come from the query; two of one name get numbers.
        for (part, expr) in parts.into_iter().zip(keys.iter().chain(aggregates)) {
            let name = taken.fresh(&short_name(expr));
            match part {
                Part::Key(expr) if verify::holds_map(&expr.ty) => {
                    return self.unsupported(format!("a group key of type {}", expr.ty));
                }
                Part::Key(expr) => named_keys.push(Column { name, expr }),
                Part::Aggregate(aggregate) => named_aggregates.push(Aggregate { name, ..aggregate }),
            }
        }
        Ok(Groups { relation, keys: named_keys, aggregates: named_aggregates })
    }

    fn aggregate(&self, scope: &Scope, expr: &DfExpr) -> Result2<Aggregate> {
        let DfExpr::AggregateFunction(call) = expr.clone().unalias() else {
            return self.unsupported("an expression as an aggregate");
        };
        let name = call.func.name().to_owned();
        let params = &call.params;
        if !params.order_by.is_empty() {
            return self.unsupported(format!("ORDER BY in {name}(...)"));
        }
        let filter = params.filter.as_ref().map(|filter| scope.boolean(filter)).transpose()?;
        let [argument] = params.args.as_slice() else {
            return self.unsupported(format!("{name} of several arguments"));
        };
        let counts_rows =
            name == "count" && !params.distinct && matches!(argument, DfExpr::Literal(value, _) if !value.is_null());
        let arg = if counts_rows { None } else { Some(scope.lower(argument)?) };
        let ty = scope.type_of(expr)?;
        let arg_ty = arg.as_ref().map(|arg| arg.ty.clone());
        let wrong =
            || self.unsupported(format!("{name} of {}", arg_ty.as_ref().map_or("*".to_owned(), ToString::to_string)));
        let (function, distinct) = match name.as_str() {
            "count" => (AggregateFn::Count, params.distinct),
            "sum" if !params.distinct => (AggregateFn::Sum, false),
            "avg" if !params.distinct => (AggregateFn::Avg, false),
            // The smallest of distinct values is the smallest.
            "min" => (AggregateFn::Min, false),
            "max" => (AggregateFn::Max, false),
            _ => return self.unsupported(format!("{name}({}...)", if params.distinct { "DISTINCT " } else { "" })),
        };
        let decimal = |ty: &ScalarType| matches!(ty, ScalarType::Decimal { .. });
        let ty = match (function, &arg_ty) {
            (AggregateFn::Count, Some(ty)) if distinct && verify::holds_map(ty) => return wrong(),
            (AggregateFn::Count, _) => ScalarType::Int64,
            (AggregateFn::Sum, Some(arg)) if arg.is_integer() || arg.is_float() || decimal(arg) => ty,
            (AggregateFn::Avg, Some(ScalarType::Float64)) => ty,
            (AggregateFn::Avg, Some(arg)) if decimal(arg) => ty,
            (AggregateFn::Min | AggregateFn::Max, Some(arg)) if verify::is_register_type(arg) => arg.clone(),
            _ => return wrong(),
        };
        Ok(Aggregate { name, function, arg, distinct, filter, ty })
    }
}

/// Keys and aggregates, and the rows that they are over.
struct Groups {
    relation: Relation,
    keys: Vec<Column>,
    aggregates: Vec<Aggregate>,
}

/// What must hold of a pair, over the columns of both sides. It is asked while pairs are made, where no kernel runs.
fn pair_condition(scope: &Scope, parts: &[DfExpr], kind: JoinKind) -> Result2<Option<Expr>> {
    let mut all = None;
    for part in parts {
        let expr = scope.boolean(part)?;
        let mut kernel = None;
        expr.walk(&mut |expr| {
            if let ExprKind::Kernel { name, .. } = &expr.kind {
                kernel = kernel.or(Some(name));
            }
        });
        if let Some(kernel) = kernel {
            let columns = part.column_refs().into_iter();
            let places = columns.filter_map(|column| column.spans().first()).map(place);
            let span = places.reduce(Span::union).or(scope.span);
            let what = format!("the condition of a {} that calls a kernel", join_name(kind));
            let error = Diagnostic::error(code::NO_PLACE, span, format!("{what} is not supported yet"));
            return Err(Box::new(error.with_detail(format!("\"{kernel}\" is one"))));
        }
        all = Some(match all {
            Some(all) => expr::and(all, expr),
            None => expr,
        });
    }
    Ok(all)
}

/// An expression of an aggregate, while its kernel calls are moved out.
enum Part {
    Key(Expr),
    Aggregate(Aggregate),
}

impl Part {
    fn exprs(&mut self) -> Vec<&mut Expr> {
        match self {
            Part::Key(key) => vec![key],
            Part::Aggregate(aggregate) => aggregate.filter.iter_mut().chain(aggregate.arg.as_mut()).collect(),
        }
    }
}

fn project_node(
    input: NodeId,
    columns: Vec<Column>,
    event_time: Option<usize>,
    mode: ChangelogMode,
    note: String,
) -> Node {
    let fields = columns.iter().map(|column| Field::new(&column.name, column.expr.ty.clone(), column.expr.nullable));
    let schema = Schema::new(fields.collect());
    Node { op: Op::Project { columns }, inputs: vec![input], schema, event_time, mode, note }
}

/// A timestamp, so many nanoseconds later.
fn shifted(time: Expr, nanos: i64) -> Expr {
    let (ty, nullable) = (time.ty.clone(), time.nullable);
    Expr { kind: ExprKind::Native { function: NativeFn::AddNanos(nanos), args: vec![time] }, ty, nullable }
}

fn cast(arg: Expr, ty: ScalarType) -> Expr {
    let nullable = arg.nullable;
    Expr { kind: ExprKind::Cast { arg: Box::new(arg), fallible_as_null: false }, ty, nullable }
}

/// Whether a kernel call in it has another value each time, even on the same row.
fn is_fresh(op: &Op) -> bool {
    match op {
        Op::Compute { columns } => columns.iter().any(|column| is_fresh_call(&column.call)),
        _ => false,
    }
}

fn is_fresh_call(call: &Expr) -> bool {
    matches!(&call.kind, ExprKind::Kernel { name, .. } if FRESH_PER_CALL.contains(&name.as_str()))
}

/// A name for the generated code: what is read, or what is called.
fn short_name(expr: &DfExpr) -> String {
    match expr {
        // DataFusion gives aggregates the names of its own plan.
        DfExpr::Alias(alias) if matches!(*alias.expr, DfExpr::AggregateFunction(_)) => short_name(&alias.expr),
        DfExpr::Alias(alias) => alias.name.clone(),
        DfExpr::Column(column) => column.name.clone(),
        DfExpr::Cast(cast) => short_name(&cast.expr),
        DfExpr::ScalarFunction(call) if call.func.name() == "get_field" => match call.args.last() {
            Some(DfExpr::Literal(ScalarValue::Utf8(Some(member)), _)) => member.clone(),
            _ => "member".to_owned(),
        },
        DfExpr::ScalarFunction(call) => call.func.name().to_owned(),
        DfExpr::AggregateFunction(call) => match call.params.args.first() {
            Some(DfExpr::Literal(..)) | None => call.func.name().to_owned(),
            Some(arg) => format!("{}_{}", call.func.name(), short_name(arg)),
        },
        _ => "value".to_owned(),
    }
}

fn taken_event_time(fields: &[String]) -> String {
    let mut taken = Names::default();
    for field in fields {
        taken.fresh(field);
    }
    taken.fresh(EVENT_TIME)
}

/// Column names that are in use.
#[derive(Default)]
struct Names(std::collections::BTreeSet<String>);

impl Names {
    /// The name, with a number if it is taken.
    fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut n = 0;
        while !self.0.insert(name.clone()) {
            n += 1;
            name = format!("{wanted}_{n}");
        }
        name
    }
}
