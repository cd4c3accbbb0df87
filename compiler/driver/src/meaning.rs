//! What state means: names for tables and their columns that other parts of the query do not change.
//!
//! The graph calls columns by what the query happens to call them (`sum_value_1`), and stages by number. State outlives the
//! query that wrote it, so it is named by what it was computed from, in SQL's spelling over the columns of sources:
//!
//! ```text
//!   rows     bids WHERE price > 100 on dt
//!   columns  auction, window_start, count(*), sum(price * 2), avg(CAST(price AS DOUBLE)).sum
//! ```
//!
//! So another alias, another order of columns, another query beside it change nothing; another expression does. Every column
//! of the graph is followed back to the sources, through projections and exchanges; a filter becomes part of what the rows
//! are. Casts that only widen a number are left out: a column of a wider type is the same column. Whether something runs as
//! native code or as a kernel is left out too: a later compiler may decide otherwise.
//!
//! Texts are bounded: of a long one the beginning is kept, and a digest of the whole. A text that stands for several is
//! the same at every compilation; two equal texts mean the same, two different ones may too (the rules rewrite expressions).
//!
//! An operator that takes back what it has written is named by that, too: by what each sink gets of its results
//! ([`Operator::results`]), for a row can be taken back only as it was written.
//!
//! Not here: what becomes of state whose meaning has changed (the controller's).

use std::collections::BTreeSet;

use compiler_ir::{
    Aggregate, BinaryOp, Changelog, Column, DateField, Expr, ExprKind, Field, Graph, Literal, NativeFn, Phase,
    ScalarType, Schema, SinkDef, SourceField, Stage, StageInput, StageOp, StageOpKind, Tumble, UnaryOp, Updating,
    WindowJoin, print,
};
use protocol::checkpoint::{Operator, TableKind, TableSpec};
use sha2::{Digest, Sha256};

/// Longest text of a column, and of what the rows are.
const COLUMN_CHARS: usize = 120;
const ROWS_CHARS: usize = 240;
/// Expressions of more parts than this are followed no further: as views of views they could double at each step.
const EXPRESSION_PARTS: usize = 64;

/// The column of a table that has the beginning of the window.
const WINDOW: &str = "window_start";
/// The kind of an operator that takes back what it has written.
const UPDATING: &str = "updating";
/// What the first column of an average's state has behind its name.
const SUM: &str = ".sum";

/// The tables of each stage, with the names that they get here; `tables` says which an operator has.
pub(crate) fn stage_tables(graph: &Graph, tables: fn(&Stage, &StageOp) -> Vec<TableSpec>) -> Vec<Vec<TableSpec>> {
    let sinks = in_the_end(graph, |_, sink| sink.table.clone());
    let mut meanings = Meanings::default();
    // By stage: what leaves it.
    let mut left: Vec<Rows> = Vec::with_capacity(graph.stages.len());
    let mut all = Vec::with_capacity(graph.stages.len());
    for stage in &graph.stages {
        let mut rows = meanings.input(graph, stage, &left);
        let mut of_stage = Vec::new();
        for op in &stage.ops {
            let mut of_op = tables(stage, op);
            meanings.name(op, &rows, &sinks[stage.id.0], &mut of_op);
            of_stage.extend(of_op);
            rows = meanings.apply(op, rows);
        }
        all.push(of_stage);
        left.push(rows);
    }
    let results = in_the_end(graph, |stage, sink| meanings.result(stage, sink, &left[stage.id.0]));
    for (of_stage, results) in all.iter_mut().zip(results) {
        for table in of_stage.iter_mut().filter(|table| table.operator.kind == UPDATING) {
            table.operator.results = results.iter().cloned().collect();
        }
    }
    all
}

/// By stage: what is said of the sinks that its rows go to in the end.
fn in_the_end(graph: &Graph, say: impl Fn(&Stage, &SinkDef) -> String) -> Vec<BTreeSet<String>> {
    let mut all: Vec<BTreeSet<String>> = vec![BTreeSet::new(); graph.stages.len()];
    for stage in graph.stages.iter().rev() {
        let own = stage.sink.iter().map(|sink| say(stage, sink));
        let behind = graph.edges_from(stage.id).flat_map(|edge| all[edge.to.0].clone());
        let found: BTreeSet<String> = own.chain(behind).collect();
        all[stage.id.0] = found;
    }
    all
}

/// What flows at some place of the graph.
#[derive(Clone)]
struct Rows {
    text: String,
    sources: BTreeSet<String>,
    /// Over [`Meanings::atoms`].
    columns: Vec<Expr>,
}

#[derive(Default)]
struct Meanings {
    /// What is followed no further: columns of sources, results of aggregates, whatever is long.
    atoms: Schema,
}

impl Meanings {
    fn atom(&mut self, text: String, ty: &ScalarType) -> Expr {
        let known = self.atoms.fields.iter().position(|atom| atom.name == text && atom.ty == *ty);
        let index = known.unwrap_or_else(|| {
            self.atoms.fields.push(Field::new(text, ty.clone(), true));
            self.atoms.len() - 1
        });
        Expr::column(index, ty.clone(), true)
    }

    /// The text of an expression over atoms.
    fn text(&self, expr: &Expr) -> String {
        bounded(self.unbounded(expr), COLUMN_CHARS)
    }

    fn unbounded(&self, expr: &Expr) -> String {
        match expr.kind {
            ExprKind::Column(index) => self.atoms.fields[index].name.clone(),
            _ => print::meaning(expr, &self.atoms),
        }
    }

    /// An expression over rows, over atoms.
    fn follow(&mut self, expr: &Expr, rows: &Rows) -> Expr {
        let mut expr = expr.clone();
        expr.rewrite(&mut |part| {
            if let ExprKind::Column(index) = part.kind
                && let Some(column) = rows.columns.get(index)
            {
                *part = column.clone();
                return;
            }
            normalize(part);
        });
        let mut parts = 0;
        expr.walk(&mut |_| parts += 1);
        if parts <= EXPRESSION_PARTS { expr } else { self.atom(self.text(&expr), &expr.ty) }
    }

    fn text_of(&mut self, expr: &Expr, rows: &Rows) -> String {
        let expr = self.follow(expr, rows);
        self.text(&expr)
    }

    fn aggregate(&mut self, aggregate: &Aggregate, rows: &Rows) -> String {
        let arg = aggregate.arg.as_ref().map(|arg| self.follow(arg, rows));
        let filter = aggregate.filter.as_ref().map(|filter| self.follow(filter, rows));
        let followed = Aggregate { arg, filter, ..aggregate.clone() };
        bounded(print::aggregate_meaning(&followed, &self.atoms), COLUMN_CHARS)
    }

    // --- what flows ------------------------------------------------------------------------------------------------

    fn input(&mut self, graph: &Graph, stage: &Stage, left: &[Rows]) -> Rows {
        if let StageInput::Source(source) = &stage.input {
            let columns = source.fields.iter().map(|SourceField { field, metadata }| match metadata {
                Some(key) => self.atom(format!("metadata.{key}"), &field.ty),
                None => self.atom(field.name.clone(), &field.ty),
            });
            return Rows {
                columns: columns.collect(),
                text: print::identifier(&source.table),
                sources: BTreeSet::from([source.table.clone()]),
            };
        }
        let sides = stage.ports().len();
        if sides == 1 {
            return self.port(graph, stage, 0, left);
        }
        let sides: Vec<Rows> = (0..sides).map(|port| self.port(graph, stage, port, left)).collect();
        let texts: Vec<String> = sides.iter().map(|side| format!("({})", side.text)).collect();
        Rows {
            text: bounded(texts.join(" JOIN "), ROWS_CHARS),
            sources: sides.iter().flat_map(|side| side.sources.clone()).collect(),
            columns: sides.into_iter().flat_map(|side| side.columns).collect(),
        }
    }

    fn port(&mut self, graph: &Graph, stage: &Stage, port: usize, left: &[Rows]) -> Rows {
        let edges = graph.edges_to(stage.id).filter(|edge| edge.port == port);
        let mut inputs: Vec<&Rows> = edges.map(|edge| &left[edge.from.0]).collect();
        // The inputs of a union have no order.
        inputs.sort_by(|a, b| a.text.cmp(&b.text));
        match inputs.as_slice() {
            [] => Rows { text: String::new(), sources: BTreeSet::new(), columns: Vec::new() },
            [input] => (*input).clone(),
            inputs => self.union(inputs),
        }
    }

    fn union(&mut self, inputs: &[&Rows]) -> Rows {
        let columns = inputs[0].columns.iter().enumerate().map(|(index, first)| {
            let columns = inputs.iter().filter_map(|input| input.columns.get(index));
            let texts: Vec<String> = columns.map(|column| self.text(column)).collect();
            match texts.windows(2).all(|pair| pair[0] == pair[1]) {
                true => first.clone(),
                false => self.atom(bounded(texts.join(" | "), COLUMN_CHARS), &first.ty),
            }
        });
        let columns = columns.collect();
        let texts: Vec<String> = inputs.iter().map(|input| format!("({})", input.text)).collect();
        let sources = inputs.iter().flat_map(|input| input.sources.clone()).collect();
        Rows { text: bounded(texts.join(" UNION ALL "), ROWS_CHARS), sources, columns }
    }

    fn apply(&mut self, op: &StageOp, rows: Rows) -> Rows {
        match &op.kind {
            StageOpKind::Watermark { .. } => rows,
            StageOpKind::Filter { predicate } => {
                let predicate = self.text_of(predicate, &rows);
                Rows { text: bounded(format!("{} WHERE {predicate}", rows.text), ROWS_CHARS), ..rows }
            }
            StageOpKind::Compute { columns } => {
                // A guard says for which rows something is computed; whoever reads it asks for no others.
                let computed: Vec<Expr> = columns.iter().map(|column| self.follow(&column.call, &rows)).collect();
                let columns = rows.columns.into_iter().chain(computed).collect();
                Rows { columns, ..rows }
            }
            StageOpKind::Project { columns } => {
                let columns = columns.iter().map(|column| self.follow(&column.expr, &rows)).collect();
                Rows { columns, ..rows }
            }
            StageOpKind::Tumble { tumble, phase: Phase::Partial } => {
                let columns = self.partial(tumble, &rows);
                Rows { columns, ..rows }
            }
            StageOpKind::Tumble { tumble, phase } => self.results(tumble, *phase, rows),
            StageOpKind::Updating(updating) => self.groups(updating, rows),
            StageOpKind::WindowJoin(join) => {
                let text = self.joined(join, &rows);
                let columns = join.output.iter().filter_map(|column| rows.columns.get(*column).cloned()).collect();
                Rows { text, columns, ..rows }
            }
        }
    }

    /// Keys, event time, states.
    fn partial(&mut self, tumble: &Tumble, rows: &Rows) -> Vec<Expr> {
        let mut columns: Vec<Expr> = tumble.keys.iter().map(|key| self.follow(&key.expr, rows)).collect();
        columns.push(self.follow(&tumble.event_time, rows));
        for aggregate in &tumble.aggregates {
            let texts = self.state_texts(aggregate, rows);
            let fields = aggregate.state_fields().into_iter().zip(texts);
            columns.extend(fields.map(|(field, text)| self.atom(text, &field.ty)));
        }
        columns
    }

    /// Names for the columns of an aggregate's state.
    fn state_texts(&mut self, aggregate: &Aggregate, rows: &Rows) -> Vec<String> {
        let text = self.aggregate(aggregate, rows);
        match aggregate.state_fields().len() {
            1 => vec![text],
            // Of an average.
            _ => vec![format!("{text}{SUM}"), format!("{text}.count")],
        }
    }

    /// Keys, window, results. What comes out of a window is followed no further.
    fn results(&mut self, tumble: &Tumble, phase: Phase, rows: Rows) -> Rows {
        // Those of a final one came through the exchange.
        let before = if phase == Phase::Final { rows.columns.clone() } else { self.partial(tumble, &rows) };
        let mut columns = before[..tumble.keys.len().min(before.len())].to_vec();
        let keys: Vec<String> = columns.iter().map(|key| self.text(key)).collect();
        columns.push(self.atom("window".to_owned(), &ScalarType::window()));
        let mut state = columns.len();
        for aggregate in &tumble.aggregates {
            let text = before.get(state).map_or_else(String::new, |state| self.text(state));
            columns.push(self.atom(text.trim_end_matches(SUM).to_owned(), &aggregate.ty));
            state += aggregate.state_fields().len();
        }
        let text = format!("tumble({}) of ({}) by {}", print::duration(tumble.width), rows.text, keys.join(", "));
        Rows { text: bounded(text, ROWS_CHARS), columns, ..rows }
    }

    /// What has become of a row, keys, results, which are followed no further either.
    fn groups(&mut self, updating: &Updating, rows: Rows) -> Rows {
        let retract = Changelog::retract_field();
        let mut columns = vec![self.atom(retract.name, &retract.ty)];
        columns.extend(updating.keys.iter().map(|key| self.follow(&key.expr, &rows)));
        let keys: Vec<String> = columns[1..].iter().map(|key| self.text(key)).collect();
        for aggregate in &updating.aggregates {
            let text = self.aggregate(aggregate, &rows);
            columns.push(self.atom(text, &aggregate.ty));
        }
        let text = format!("groups of ({}) by {}", rows.text, keys.join(", "));
        Rows { text: bounded(text, ROWS_CHARS), columns, ..rows }
    }

    /// What a sink gets of a changelog: `auction, count(*) AS n of groups of (bids) by auction into totals`.
    fn result(&self, stage: &Stage, sink: &SinkDef, rows: &Rows) -> String {
        let column = |(column, field): (&Expr, &Field)| {
            let (text, name) = (self.text(column), print::identifier(&field.name));
            if text == name { text } else { format!("{text} AS {name}") }
        };
        // The first one says what has become of a row.
        let columns: Vec<String> = rows.columns.iter().zip(&stage.output_schema.fields).skip(1).map(column).collect();
        let table = print::identifier(&sink.table);
        bounded(format!("{} of {} into {table}", columns.join(", "), rows.text), ROWS_CHARS)
    }

    /// What the pairs of a join are: `inner join of (a) JOIN (b) on auction = auction`.
    fn joined(&mut self, join: &WindowJoin, rows: &Rows) -> String {
        let text = |column: usize| rows.columns.get(column).map_or_else(String::new, |column| self.text(column));
        let equal = (0..=join.keys).map(|key| format!("{} = {}", text(key), text(join.left + key)));
        let mut conditions: Vec<String> = equal.collect();
        conditions.extend(join.condition.as_ref().map(|condition| self.text_of(condition, rows)));
        let kind = print::join_kind(join.kind);
        bounded(format!("{kind} join of {} on {}", rows.text, conditions.join(" AND ")), ROWS_CHARS)
    }

    // --- names -----------------------------------------------------------------------------------------------------

    /// Names what an operator keeps of the rows that it gets.
    fn name(&mut self, op: &StageOp, rows: &Rows, sinks: &BTreeSet<String>, tables: &mut [TableSpec]) {
        let operator = |kind: &str, text: String| Operator {
            kind: kind.to_owned(),
            sources: rows.sources.iter().cloned().collect(),
            sinks: sinks.iter().cloned().collect(),
            rows: bounded(text, ROWS_CHARS),
            results: Vec::new(),
        };
        match &op.kind {
            StageOpKind::Watermark { .. }
            | StageOpKind::Filter { .. }
            | StageOpKind::Compute { .. }
            | StageOpKind::Project { .. } => {}
            StageOpKind::Tumble { tumble, phase } => {
                let mut columns = self.group_texts(tumble, *phase, rows);
                let time = columns.get_mut(tumble.keys.len()).map(|time| std::mem::replace(time, WINDOW.to_owned()));
                let text = format!("{} on {}", rows.text, time.unwrap_or_default());
                for table in tables {
                    table.operator = operator("tumble", text.clone());
                    self.name_tumble(tumble, rows, &columns, table);
                }
            }
            StageOpKind::Updating(updating) => {
                let mut columns = self.key_texts(&updating.keys, rows);
                for aggregate in &updating.aggregates {
                    columns.extend(self.state_texts(aggregate, rows));
                }
                for table in tables {
                    table.operator = operator(UPDATING, rows.text.clone());
                    rename(columns.clone(), &mut table.columns);
                }
            }
            StageOpKind::WindowJoin(join) => {
                let text = self.joined(join, rows);
                let texts: Vec<String> = rows.columns.iter().map(|column| self.text(column)).collect();
                let (left, right) = texts.split_at(join.left.min(texts.len()));
                for (table, columns) in tables.iter_mut().zip([left, right]) {
                    table.operator = operator("join", text.clone());
                    rename(columns.to_vec(), &mut table.columns);
                }
            }
        }
    }

    /// Of a tumble's groups: keys, event time, states.
    fn group_texts(&mut self, tumble: &Tumble, phase: Phase, rows: &Rows) -> Vec<String> {
        if phase == Phase::Final {
            return rows.columns.iter().map(|column| self.text(column)).collect();
        }
        let mut texts = self.key_texts(&tumble.keys, rows);
        texts.push(self.text_of(&tumble.event_time, rows));
        // Distinct aggregates have tables of their own.
        for aggregate in tumble.aggregates.iter().filter(|aggregate| !aggregate.distinct) {
            texts.extend(self.state_texts(aggregate, rows));
        }
        texts
    }

    fn key_texts(&mut self, keys: &[Column], rows: &Rows) -> Vec<String> {
        keys.iter().map(|key| self.text_of(&key.expr, rows)).collect()
    }

    fn name_tumble(&mut self, tumble: &Tumble, rows: &Rows, columns: &[String], table: &mut TableSpec) {
        if table.kind == TableKind::TimeKeyed {
            return rename(columns.to_vec(), &mut table.columns);
        }
        let value = table.columns.fields.last().map(|field| field.name.as_str());
        let aggregate = tumble.aggregates.iter().find(|aggregate| Some(aggregate.name.as_str()) == value);
        if let Some(Aggregate { arg: Some(arg), .. }) = aggregate {
            let keys_and_time = columns.iter().take(tumble.keys.len() + 1).cloned();
            let names = keys_and_time.chain([self.text_of(arg, rows)]).collect();
            rename(names, &mut table.columns);
        }
        if let Some(aggregate) = aggregate {
            table.name = self.aggregate(aggregate, rows);
        }
    }
}

/// Brings an operation, of operands that have been, into the one form that it has in texts.
fn normalize(expr: &mut Expr) {
    if let Some(kind) = as_native(expr) {
        expr.kind = kind;
    }
    match &mut expr.kind {
        ExprKind::Cast { arg, .. } if arg.ty.widens_to(&expr.ty) => *expr = (**arg).clone(),
        ExprKind::Unary { op: UnaryOp::Not, arg } => {
            if let ExprKind::InList { arg, items, negated: false } = &arg.kind {
                expr.kind = ExprKind::InList { arg: arg.clone(), items: items.clone(), negated: true };
            }
        }
        _ => {}
    }
}

/// What native code calls the operation of a kernel, which has it for other types. Functions have one name.
fn as_native(expr: &Expr) -> Option<ExprKind> {
    let ExprKind::Kernel { name, args } = &expr.kind else { return None };
    let boxed = |arg: &Expr| Box::new(arg.clone());
    let unary = |op, arg| Some(ExprKind::Unary { op, arg: boxed(arg) });
    let field = |field: &Expr| match &field.kind {
        ExprKind::Literal(Literal::Utf8(name)) => DateField::by_name(name),
        _ => None,
    };
    match (name.as_str(), args.as_slice()) {
        ("op_negate", [arg]) => unary(UnaryOp::Negate, arg),
        ("op_not", [arg]) => unary(UnaryOp::Not, arg),
        ("is_null", [arg]) => unary(UnaryOp::IsNull, arg),
        ("is_not_null", [arg]) => unary(UnaryOp::IsNotNull, arg),
        ("cast" | "try_cast", [arg]) => Some(ExprKind::Cast { arg: boxed(arg), fallible_as_null: name == "try_cast" }),
        ("in_list" | "not_in_list", [arg, items @ ..]) => {
            let items = items.iter().map(|item| match &item.kind {
                ExprKind::Literal(value) if item.ty == arg.ty => Some(value.clone()),
                _ => None,
            });
            Some(ExprKind::InList { arg: boxed(arg), items: items.collect::<Option<_>>()?, negated: name != "in_list" })
        }
        ("op_case", args) => {
            let (pairs, otherwise) = args.as_chunks::<2>();
            let branches = pairs.iter().map(|[when, then]| (when.clone(), then.clone())).collect();
            Some(ExprKind::Case { branches, otherwise: otherwise.first().map(boxed) })
        }
        ("date_trunc", [unit, time]) => {
            Some(ExprKind::Native { function: NativeFn::DateTrunc(field(unit)?), args: vec![time.clone()] })
        }
        ("date_part", [part, time]) => {
            Some(ExprKind::Native { function: NativeFn::DatePart(field(part)?), args: vec![time.clone()] })
        }
        (name, [left, right]) => {
            let op = BinaryOp::ALL.into_iter().find(|op| op.kernel() == name)?;
            Some(ExprKind::Binary { op, left: boxed(left), right: boxed(right) })
        }
        _ => None,
    }
}

/// Gives the first columns these names, and each another one. Columns behind them keep theirs.
fn rename(names: Vec<String>, columns: &mut Schema) {
    let count = names.len().min(columns.len());
    let (named, others) = columns.fields.split_at_mut(count);
    let mut taken: BTreeSet<String> = others.iter().map(|field| field.name.clone()).collect();
    for (field, name) in named.iter_mut().zip(names) {
        let mut unlike = name.clone();
        let mut number = 2;
        while !taken.insert(unlike.clone()) {
            unlike = format!("{name} #{number}");
            number += 1;
        }
        field.name = unlike;
    }
}

/// The text, or its beginning and a digest of it all.
fn bounded(text: String, most: usize) -> String {
    if text.chars().count() <= most {
        return text;
    }
    let digest: String = Sha256::digest(&text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let beginning: String = text.chars().take(most.saturating_sub(20)).collect();
    format!("{beginning}...#{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CompileOptions, CompileRequest, compile};

    const TABLES: &str = "\
        CREATE TABLE bids (auction BIGINT NOT NULL, bidder INT, price INT NOT NULL, rate REAL, dt TIMESTAMP,
            WATERMARK FOR dt) WITH (connector = 'single_file', path = 'b.json', format = 'json', type = 'source');
        CREATE TABLE asks (auction BIGINT NOT NULL, price INT NOT NULL, dt TIMESTAMP, WATERMARK FOR dt)
            WITH (connector = 'single_file', path = 'a.json', format = 'json', type = 'source');
        CREATE TABLE totals WITH (connector = 'blackhole', type = 'sink');
        CREATE TABLE others WITH (connector = 'blackhole', type = 'sink');
    ";

    /// The tables of a script's plan.
    fn tables_of(script: &str) -> Vec<TableSpec> {
        let request = CompileRequest::new(script, CompileOptions::default());
        let compiled = compile(&request).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        compiled.plan.stages.into_iter().flat_map(|stage| stage.tables).collect()
    }

    fn tables(query: &str) -> Vec<TableSpec> {
        tables_of(&format!("{TABLES}{query}"))
    }

    fn names(table: &TableSpec) -> Vec<&str> {
        table.columns.fields.iter().map(|field| field.name.as_str()).collect()
    }

    fn windows(columns: &str, from: &str, keys: &str) -> String {
        format!("SELECT tumble(INTERVAL '1 minute') AS w, {keys}, {columns} FROM {from} GROUP BY w, {keys};")
    }

    #[test]
    fn state_is_called_by_what_it_was_computed_from() {
        let columns = "count(*) AS n, sum(price * 2), avg(rate) AS mean, max(price) FILTER (WHERE bidder > 3) AS top";
        let query = windows(columns, "bids WHERE price > 100", "auction");
        let [groups] = tables(&query).try_into().unwrap();
        assert_eq!(groups.name, "groups");
        assert_eq!(groups.operator.kind, "tumble");
        assert_eq!((groups.operator.sources, groups.operator.sinks), (vec!["bids".into()], vec!["stdout".into()]));
        assert_eq!(groups.operator.rows, "bids WHERE price > 100 on dt");
        let columns = groups.columns.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>();
        assert_eq!(columns[..2], ["auction", "window_start"]);
        for name in ["count(*)", "sum(price * 2)", "max(price) FILTER (WHERE bidder > 3)"] {
            assert!(columns.contains(&name), "{name} in {columns:?}");
        }
        assert_eq!(columns.iter().filter(|name| name.starts_with("avg(")).count(), 2, "{columns:?}");
    }

    #[test]
    fn what_has_no_part_in_it_changes_nothing() {
        let plain = windows("count(*) AS n, sum(price) AS total", "bids", "auction");
        let [expected] = tables(&plain).try_into().unwrap();
        let view = format!("CREATE VIEW v AS SELECT dt, price AS p, auction AS a FROM bids; {}", {
            windows("sum(p) AS x, count(*) AS y", "v", "a")
        });
        let beside = format!("INSERT INTO others SELECT price FROM bids WHERE price > 7; {plain}");
        for query in [view, beside, plain.replace("AS total", "AS sum_of_all")] {
            let [mut found] = tables(&query).try_into().unwrap();
            // The order of columns is the query's.
            found.columns.fields.sort_by_key(|field| expected.columns.index_of(&field.name));
            assert_eq!(found.columns, expected.columns, "{query}");
            assert_eq!(found.operator.rows, expected.operator.rows, "{query}");
        }
        // A column of a wider type is the same column.
        let [wide] = tables_of(&format!("{TABLES}{plain}").replace("price INT", "price BIGINT")).try_into().unwrap();
        assert_eq!(names(&wide), names(&expected));
    }

    #[test]
    fn distinct_values_are_named_too() {
        let columns = "count(*) AS n, count(DISTINCT price % 10) AS ends, count(DISTINCT bidder) AS bidders";
        let [groups, mut first, mut second] = tables(&windows(columns, "bids", "auction")).try_into().unwrap();
        assert_eq!(names(&groups), ["auction", "window_start", "count(*)"]);
        if first.name > second.name {
            std::mem::swap(&mut first, &mut second);
        }
        assert_eq!(
            (first.name.as_str(), second.name.as_str()),
            ("count(DISTINCT bidder)", "count(DISTINCT price % 10)")
        );
        assert_eq!(names(&first), ["auction", "window_start", "bidder"]);
        assert_eq!(names(&second), ["auction", "window_start", "price % 10"]);
        assert_eq!(first.operator, groups.operator);
    }

    #[test]
    fn names_do_not_say_what_runs_as_a_kernel() {
        let mut meanings = Meanings::default();
        let columns = ["a", "b", "c"].map(|name| meanings.atom(name.to_owned(), &ScalarType::Int64)).to_vec();
        let rows = Rows { text: String::new(), sources: BTreeSet::new(), columns };
        let [a, b, c] = [0, 1, 2].map(|index| Expr::column(index, ScalarType::Int64, true));
        let (one, two) = (int(1), int(2));
        let mut same = |native: ExprKind, kernel: &str, args: &[&Expr], text: &str| {
            let call =
                ExprKind::Kernel { name: kernel.to_owned(), args: args.iter().map(|arg| (*arg).clone()).collect() };
            let [native, call] = [native, call].map(|kind| {
                // An operand of something else, so that parentheses count.
                let expr = Box::new(Expr { kind, ty: ScalarType::Int64, nullable: true });
                let expr = ExprKind::Unary { op: UnaryOp::Negate, arg: expr };
                meanings.text_of(&Expr { kind: expr, ty: ScalarType::Int64, nullable: true }, &rows)
            });
            assert_eq!((native.as_str(), call.as_str()), (text, text), "{kernel}");
        };
        let boxed = |expr: &Expr| Box::new(expr.clone());
        for op in BinaryOp::ALL {
            let native = ExprKind::Binary { op, left: boxed(&a), right: boxed(&b) };
            same(native, op.kernel(), &[&a, &b], &format!("-(a {} b)", op.symbol()));
        }
        for (op, kernel, text) in [
            (UnaryOp::Negate, "op_negate", "-(-a)"),
            (UnaryOp::Not, "op_not", "-(NOT a)"),
            (UnaryOp::IsNull, "is_null", "-(a IS NULL)"),
            (UnaryOp::IsNotNull, "is_not_null", "-(a IS NOT NULL)"),
        ] {
            same(ExprKind::Unary { op, arg: boxed(&a) }, kernel, &[&a], text);
        }
        for (fallible_as_null, kernel, text) in [(false, "cast", "-a"), (true, "try_cast", "-a")] {
            // From `BIGINT` to `BIGINT`, which only widens.
            same(ExprKind::Cast { arg: boxed(&a), fallible_as_null }, kernel, &[&a], text);
            let x = Expr::literal(Literal::Utf8("x".into()), ScalarType::Utf8);
            let text = format!("-{}('x' AS BIGINT)", kernel.to_uppercase());
            same(ExprKind::Cast { arg: boxed(&x), fallible_as_null }, kernel, &[&x], &text);
        }
        for (negated, kernel, text) in
            [(false, "in_list", "-(a IN (1, 2))"), (true, "not_in_list", "-(a NOT IN (1, 2))")]
        {
            let native = ExprKind::InList { arg: boxed(&a), items: vec![Literal::Int(1), Literal::Int(2)], negated };
            same(native, kernel, &[&a, &one, &two], text);
        }
        let branches = vec![(a.clone(), b.clone()), (b.clone(), c.clone())];
        let case = |otherwise| ExprKind::Case { branches: branches.clone(), otherwise };
        same(case(None), "op_case", &[&a, &b, &b, &c], "-CASE WHEN a THEN b WHEN b THEN c END");
        same(
            case(Some(boxed(&one))),
            "op_case",
            &[&a, &b, &b, &c, &one],
            "-CASE WHEN a THEN b WHEN b THEN c ELSE 1 END",
        );
        for (function, args) in FUNCTIONS {
            let args = &[&a, &b, &c][..*args];
            let native =
                ExprKind::Native { function: *function, args: args.iter().map(|arg| (*arg).clone()).collect() };
            let name = print::function_name(*function);
            let text = format!("-{name}({})", ["a", "b", "c"][..args.len()].join(", "));
            same(native, name, args, &text);
        }
        for (spelling, field) in [("hour", DateField::Hour), ("QTR", DateField::Quarter), ("Epoch", DateField::Epoch)] {
            let spelled = Expr::literal(Literal::Utf8(spelling.into()), ScalarType::Utf8);
            for function in [NativeFn::DateTrunc(field), NativeFn::DatePart(field)] {
                let name = print::function_name(function);
                let text = format!("-{name}('{}', a)", print::date_field(field));
                same(ExprKind::Native { function, args: vec![a.clone()] }, name, &[&spelled, &a], &text);
            }
        }
    }

    /// The native functions that are called as they stand, with a number of arguments.
    const FUNCTIONS: &[(NativeFn, usize)] = &[
        (NativeFn::Coalesce, 3),
        (NativeFn::NullIf, 2),
        (NativeFn::Greatest, 2),
        (NativeFn::Least, 2),
        (NativeFn::Abs, 1),
        (NativeFn::Ceil, 1),
        (NativeFn::Floor, 1),
        (NativeFn::Round, 1),
        (NativeFn::Trunc, 1),
        (NativeFn::Sqrt, 1),
        (NativeFn::Exp, 1),
        (NativeFn::Ln, 1),
        (NativeFn::Log2, 1),
        (NativeFn::Log10, 1),
        (NativeFn::Power, 2),
        (NativeFn::CharLength, 1),
        (NativeFn::OctetLength, 1),
        (NativeFn::StartsWith, 2),
        (NativeFn::EndsWith, 2),
        (NativeFn::Contains, 2),
        (NativeFn::StrPos, 2),
        (NativeFn::Substr, 3),
        (NativeFn::Left, 2),
        (NativeFn::Right, 2),
        (NativeFn::Trim, 1),
        (NativeFn::TrimStart, 1),
        (NativeFn::TrimEnd, 1),
        (NativeFn::SplitPart, 3),
    ];

    fn int(value: i64) -> Expr {
        Expr::literal(Literal::Int(value), ScalarType::Int64)
    }

    #[test]
    fn keys_that_kernels_compute_are_named_as_others() {
        let debts = "CREATE TABLE debts (owed DECIMAL(10,2), note TEXT, at TIMESTAMP, WATERMARK FOR at)
            WITH (connector = 'single_file', path = 'd.json', format = 'json', type = 'source');";
        let query = "SELECT count(*) AS n, max(owed + 1) FILTER (WHERE lower(note) <> 'x') AS top FROM debts
            WHERE reverse(note) <> 'y'
            GROUP BY tumble(INTERVAL '1 minute'), owed % 3, upper(note), CASE WHEN owed > 1 THEN reverse(note) END;";
        let [groups] = tables_of(&format!("{debts}{query}")).try_into().unwrap();
        let columns = names(&groups);
        assert!(columns.iter().all(|name| !name.contains("kernel:") && !name.contains("op_")), "{columns:?}");
        assert!(columns[0].starts_with("owed % 3"), "{columns:?}");
        assert_eq!(columns[1], "upper(note)");
        assert!(
            columns[2].starts_with("CASE WHEN owed > 1") && columns[2].ends_with("THEN reverse(note) END"),
            "{columns:?}"
        );
        assert!(columns.iter().any(|name| name.ends_with("FILTER (WHERE lower(note) <> 'x')")), "{columns:?}");
        assert_eq!(groups.operator.rows, "debts WHERE reverse(note) <> 'y' on at");
    }

    #[test]
    fn groups_without_a_window_are_named_too() {
        let query = "SELECT auction % 10 AS a, count(*) AS n, avg(rate) AS mean FROM bids WHERE price > 100 GROUP BY a";
        let [groups] = tables(query).try_into().unwrap();
        assert_eq!((groups.name.as_str(), groups.operator.kind.as_str()), ("groups", "updating"));
        assert_eq!(groups.operator.rows, "bids WHERE price > 100");
        let columns = names(&groups);
        assert_eq!((columns[0], &columns[columns.len() - 2..]), ("auction % 10", &["_updated", "_deleted"][..]));
        assert!(columns.contains(&"count(*)"), "{columns:?}");
        assert_eq!(columns.iter().filter(|name| name.starts_with("avg(")).count(), 2, "{columns:?}");
        let [result] = groups.operator.results.as_slice() else { panic!("{:?}", groups.operator) };
        let written = "of groups of (bids WHERE price > 100) by auction % 10 into stdout";
        assert!(result.contains("count(*) AS n, ") && result.ends_with(written), "{result}");
        // A row is taken back by the names that it was written with.
        let renamed = query.replace("AS n,", "AS lines,").replace("AS a,", "AS ending,").replace("BY a", "BY ending");
        let [mut other] = tables(&renamed).try_into().unwrap();
        assert!(other.operator.results[0].contains("count(*) AS lines, "), "{:?}", other.operator);
        other.operator.results.clone_from(&groups.operator.results);
        assert_eq!(other, groups);
    }

    #[test]
    fn what_is_made_of_updated_rows_is_part_of_what_they_are() {
        let results = |query: &str| {
            let [groups] = tables(query).try_into().unwrap();
            groups.operator.results
        };
        let view = "CREATE VIEW counts AS SELECT auction, count(*) AS n FROM bids GROUP BY auction;";
        let all = results(&format!("{view} SELECT auction, n FROM counts;"));
        let often = results(&format!("{view} SELECT auction, n FROM counts WHERE n > 1;"));
        let both = results(&format!("{view} SELECT auction, n FROM counts; INSERT INTO totals SELECT n FROM counts;"));
        assert_eq!(all, ["auction, count(*) AS n of groups of (bids) by auction into stdout"]);
        let condition = "WHERE \"count(*)\" > 1";
        assert_eq!(often, [format!("auction, count(*) AS n of groups of (bids) by auction {condition} into stdout")]);
        assert_eq!(both, [all[0].as_str(), "count(*) AS n of groups of (bids) by auction into totals"]);
    }

    #[test]
    fn rows_of_a_union_have_no_order() {
        let union = |first: &str, second: &str| {
            let view = format!(
                "CREATE VIEW v AS SELECT dt, auction, price FROM {first} UNION ALL SELECT dt, auction, price FROM {second}; "
            );
            let [groups] = tables(&format!("{view}{}", windows("sum(price) AS n", "v", "auction"))).try_into().unwrap();
            groups.operator
        };
        let there = union("bids", "asks");
        assert_eq!(there.rows, "(asks) UNION ALL (bids) on dt");
        assert_eq!(there.sources, ["asks", "bids"]);
        assert_eq!(there, union("asks", "bids"));
    }

    #[test]
    fn an_operator_knows_where_its_results_go() {
        let query = "CREATE VIEW counts AS SELECT tumble(INTERVAL '1 minute') AS w, auction, count(*) AS n FROM bids GROUP BY w, auction;
            INSERT INTO totals SELECT auction, n FROM counts; INSERT INTO others SELECT n FROM counts WHERE n > 1;";
        let tables = tables(query);
        let sinks: BTreeSet<String> = tables.iter().flat_map(|table| table.operator.sinks.clone()).collect();
        assert_eq!(sinks, BTreeSet::from(["others".to_owned(), "totals".to_owned()]));
    }

    #[test]
    fn long_texts_end_in_a_digest() {
        let long = "price + 1".repeat(40);
        let text = bounded(long.clone(), 120);
        assert_eq!(text.len(), 120);
        assert!(text.starts_with("price + 1price") && text[100..].starts_with("...#"), "{text}");
        assert_ne!(text, bounded(format!("{long} "), 120));
        assert_eq!(bounded("short".to_owned(), 120), "short");
        let mut columns = Schema::new(vec![Field::new("a", ScalarType::Bool, true); 3]);
        rename(vec!["x".into(), "x".into(), "y".into()], &mut columns);
        let names: Vec<_> = columns.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["x", "x #2", "y"]);
        rename(vec!["y".into()], &mut columns);
        assert_eq!(columns.fields[0].name, "y #2");
    }

    /// Each view reads its column twice, and would double it.
    #[test]
    fn views_of_views_do_not_explode() {
        let mut query = "CREATE VIEW v0 AS SELECT dt, auction, price AS p FROM bids; ".to_owned();
        for view in 1..10 {
            let before = view - 1;
            query += &format!(
                "CREATE VIEW v{view} AS SELECT dt, auction, p * 3 + p % 7 AS p FROM v{before} WHERE p > {view}; "
            );
        }
        query += &windows("sum(p) AS total", "v9", "auction");
        for table in tables(&query) {
            assert!(table.columns.fields.iter().all(|field| field.name.chars().count() <= COLUMN_CHARS));
            assert!(table.operator.rows.chars().count() <= ROWS_CHARS);
        }
    }
}
