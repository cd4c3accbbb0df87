//! Statements to one logical plan for each INSERT and bare SELECT.
//!
//! Statements are taken in order; a name must be defined before it is used. Every statement's errors are collected;
//! one that refers to a broken definition is passed over in silence, since its own errors would be consequences.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::iter;
use std::sync::Arc;

use compiler_ir::verify::is_register_type;
use connectors_options::Validated;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Column as DfColumn, ScalarValue};
use datafusion_expr::{Expr as DfExpr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::planner::SqlToRel;
use schema::{Field, ScalarType, Schema, find_name};
use sqlparser::ast::{Expr, Ident, Query, Spanned, Statement as SqlStatement};

use crate::catalog::{Catalog, Direction, Relation, Table, find_connector};
use crate::check::{Check, Place, item_span, table_hint};
use crate::context::{Context, parser_options};
use crate::define::{bind_constant, define};
use crate::diagnostic::{Diagnostic, Span, code, did_you_mean, listed, span_of};
use crate::functions::is_changing;
use crate::hints;
use crate::join;
use crate::names::name_columns;
use crate::parse::{CreateTable, Script, Statement, normalize};
use crate::rules;
use crate::scope::is_updating;
use crate::spelling;
use crate::stack::on_big_stack;
use crate::translate::{column_place, find_call, translate};
use crate::types::assignable;
use crate::typing::wrong_casts;
use crate::using::{self, Merges};
use crate::window::{TumbleNode, length_nanos};

/// A day, in nanoseconds.
const DEFAULT_UPDATING_TTL: i64 = 86_400_000_000_000;

/// Options of a default sink that shows updated rows, unless it has others.
const SHOWN_UPDATES: &[(&str, &str)] =
    &[("format", "debezium_json"), ("json.timestamp_format", "rfc3339"), ("json.decimal_encoding", "number")];

/// What a script does not say itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlOptions {
    /// The connector that a bare SELECT writes to, and its options.
    pub default_sink: String,
    pub default_sink_options: BTreeMap<String, String>,
    /// `idle_micros` of tables that do not set it.
    pub idle_micros: Option<u64>,
}

impl Default for SqlOptions {
    fn default() -> Self {
        SqlOptions {
            default_sink: "stdout".to_owned(),
            default_sink_options: BTreeMap::new(),
            idle_micros: Some(300_000_000),
        }
    }
}

/// A script whose names and types are settled.
#[derive(Clone, Debug)]
pub struct Bound {
    pub(crate) outputs: Vec<Output>,
    /// Those that are read, by name.
    pub(crate) tables: BTreeMap<String, Arc<SourceTable>>,
    /// Nanoseconds that a group without new rows lives, where no window says so.
    pub(crate) updating_ttl: i64,
    warnings: Vec<Diagnostic>,
}

impl Bound {
    /// What the script says in vain or in an old form, in the order of the text.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SourceTable {
    pub(crate) table: Arc<Table>,
    pub(crate) validated: Validated,
}

/// What is written to one table by one statement.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) table: String,
    pub(crate) connector: String,
    pub(crate) validated: Validated,
    /// The columns of the sink, in the plan's order; types that DataFusion does not tell apart are right here.
    pub(crate) columns: Vec<Field>,
    /// Whether the table's definition lists its columns.
    pub(crate) declared: bool,
    pub(crate) plan: LogicalPlan,
    pub(crate) span: Option<Span>,
    /// Where the table is named.
    pub(crate) target: Option<Span>,
}

/// Binds a script.
///
/// # Errors
/// All that is wrong with any statement, in the order of the text.
pub fn bind(script: &Script, options: &SqlOptions) -> Result<Bound, Vec<Diagnostic>> {
    on_big_stack(|| {
        let mut binder = Binder::new(options);
        for statement in &script.statements {
            binder.statement(statement);
        }
        binder.finish()
    })
}

/// Rewrites the plans by rules; what they compute stays the same.
pub fn optimize(bound: Bound) -> Bound {
    on_big_stack(move || {
        let Bound { mut outputs, tables, updating_ttl, warnings } = bound;
        for output in &mut outputs {
            // A rule that fails on a plan that was accepted leaves it as it is: it is right, if slower.
            if let Ok(plan) = rules::rewrite(output.plan.clone())
                && plan.schema().fields().len() == output.plan.schema().fields().len()
                && join::are_supported(&plan)
            {
                output.plan = plan;
            }
        }
        Bound { outputs, tables, updating_ttl, warnings }
    })
}

struct Binder<'a> {
    options: &'a SqlOptions,
    catalog: Catalog,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    outputs: Vec<Output>,
    used: BTreeSet<String>,
    read: BTreeMap<String, Arc<SourceTable>>,
    bare: usize,
    /// What SET says, and where.
    updating_ttl: Option<(i64, Option<Span>)>,
}

impl<'a> Binder<'a> {
    fn new(options: &'a SqlOptions) -> Self {
        Binder {
            options,
            catalog: Catalog::default(),
            errors: vec![],
            warnings: vec![],
            outputs: vec![],
            used: BTreeSet::new(),
            read: BTreeMap::new(),
            bare: 0,
            updating_ttl: None,
        }
    }

    fn statement(&mut self, statement: &Statement) {
        if let Statement::CreateTable(CreateTable { name, if_not_exists: true, .. })
        | Statement::CreateView { name, if_not_exists: true, .. } = statement
            && self.catalog.relations.contains_key(&normalize(name))
        {
            let message = format!("table \"{}\" is there already: this definition has no effect", normalize(name));
            self.warnings.push(Diagnostic::warning(code::NO_EFFECT, span_of(name.span), message));
            return;
        }
        match statement {
            Statement::CreateTable(table) => match &table.query {
                Some(query) if table.columns.is_empty() && table.options.is_empty() => {
                    let relation = self.view(&[], query);
                    self.define(&table.name, relation);
                }
                Some(query) => {
                    let hint = "create the table, then INSERT INTO it";
                    let span = span_of(query.body.span());
                    self.errors.push(
                        Diagnostic::unsupported(span, "CREATE TABLE ... AS with columns or options").with_hint(hint),
                    );
                    self.define(&table.name, Relation::Broken);
                }
                None => {
                    let relation = define(table, self.options, &mut self.errors, &mut self.warnings);
                    self.define(&table.name, relation);
                }
            },
            Statement::CreateView { name, columns, query, .. } => {
                let relation = self.view(columns, query);
                self.define(name, relation);
            }
            Statement::Insert { table, columns, query, span } => self.insert(table, columns, query, *span),
            Statement::Select { query, span } => self.select(query, *span),
            Statement::Set { name, values, span } => self.set(name, values, *span),
            Statement::Unsupported { diagnostic, .. } => self.errors.push(diagnostic.clone()),
        }
    }

    fn set(&mut self, name: &str, values: &[Expr], span: Option<Span>) {
        if name != "updating_ttl" {
            self.errors.push(
                Diagnostic::error(code::OPTION, span, format!("invalid option '{name}'"))
                    .with_hint("supported options are 'updating_ttl'"),
            );
            return;
        }
        if self.updating_ttl.is_some() {
            self.errors.push(Diagnostic::error(code::DUPLICATE, span, "option 'updating_ttl' is given twice"));
            return;
        }
        let hint = "write a number and a unit: SET updating_ttl = interval '1 day'";
        let [value] = values else {
            let message = format!("updating_ttl is one interval, not {} values", values.len());
            self.errors.push(Diagnostic::error(code::OPTION, span, message).with_hint(hint));
            return;
        };
        let known = self.errors.len();
        Check::new(None, &mut self.errors).expr(value, Place::Table);
        if self.errors.len() > known {
            return;
        }
        let value_span = span_of(value.span()).or(span);
        let length = match bind_constant(value, value_span) {
            Ok(DfExpr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)) if interval.months == 0 => {
                length_nanos(interval).filter(|nanos| *nanos > 0)
            }
            Ok(_) => None,
            Err(found) => return self.errors.extend(found),
        };
        match length {
            Some(nanos) => self.updating_ttl = Some((nanos, span)),
            None => {
                let message = "updating_ttl must be a constant interval of more than 0, without months";
                self.errors.push(Diagnostic::error(code::OPTION, value_span, message).with_hint(hint));
            }
        }
    }

    fn define(&mut self, name: &Ident, relation: Relation) {
        let key = normalize(name);
        if self.catalog.relations.contains_key(&key) {
            let message = format!("table \"{key}\" is defined twice");
            self.errors.push(Diagnostic::error(code::DUPLICATE, span_of(name.span), message));
            // Which of them is meant, nobody knows.
            self.catalog.relations.insert(key, Relation::Broken);
            return;
        }
        self.catalog.relations.insert(key, relation);
    }

    fn view(&mut self, columns: &[Ident], query: &Query) -> Relation {
        let Some(plan) = self.query(query) else { return Relation::Broken };
        if columns.is_empty() {
            return Relation::View(plan);
        }
        let fields = plan.schema().columns();
        if columns.len() != fields.len() {
            let span = columns.first().and_then(|column| span_of(column.span));
            let message = format!("the view names {} columns, but its query has {}", columns.len(), fields.len());
            let hint = "name every column of the query, or none";
            self.errors.push(Diagnostic::error(code::INSERT, span, message).with_hint(hint));
            return Relation::Broken;
        }
        let renamed = fields.into_iter().zip(columns).map(|(field, name)| DfExpr::Column(field).alias(normalize(name)));
        match LogicalPlanBuilder::from(plan).project(renamed).and_then(LogicalPlanBuilder::build) {
            Ok(plan) => Relation::View(plan),
            Err(error) => {
                self.errors.extend(translate(error, query, span_of(query.span())));
                Relation::Broken
            }
        }
    }

    /// Binds a query; `None` when there were errors, here or in what it refers to.
    fn query(&mut self, query: &Query) -> Option<LogicalPlan> {
        let known = self.errors.len();
        let (mut found, merges) = self.check(query, false);
        if !found.is_empty() {
            (found, _) = self.check(query, true);
        }
        self.errors.extend(found);
        if !self.use_tables(query) || self.errors.len() > known {
            return None;
        }
        let written = query;
        let mut query = query.clone();
        using::write_out(&mut query, &merges);
        let context = Context { catalog: &self.catalog, options: rules::config() };
        let planner = SqlToRel::new_with_options(&context, parser_options());
        let plan = spelling::resolve(&mut query, |query| {
            let mut named = query.clone();
            name_columns(&mut named);
            planner.sql_statement_to_plan(SqlStatement::Query(Box::new(named)))
        });
        name_columns(&mut query);
        match plan.and_then(rules::analyze) {
            Ok(plan) => {
                if let Some(message) = unsupported_type(&plan) {
                    self.errors.push(Diagnostic::error(code::TYPE, span_of(query.body.span()), message));
                }
                self.errors.extend(wrong_casts(&plan, &query, span_of(query.body.span())));
                self.errors.extend(unordered_aggregates(&plan, &query));
                self.errors.extend(join::refused(&plan, &query));
                changing_calls(&plan, &query, &mut self.errors);
                (self.errors.len() == known).then_some(plan)
            }
            Err(error) => {
                // The binder ends at the first error; what it is about is in the expressions, or in their whole.
                let (mut found, _) = self.check(written, true);
                if found.is_empty() {
                    found = translate(error, &query, span_of(query.body.span()));
                }
                self.errors.extend(found);
                None
            }
        }
    }

    /// What the syntax tree shows, and what its USING clauses mean. `types`: with the type errors of expressions.
    fn check(&self, query: &Query, types: bool) -> (Vec<Diagnostic>, Merges) {
        let mut found = Vec::new();
        let check = Check::new(Some(&self.catalog), &mut found);
        let mut check = if types { check.with_types() } else { check };
        check.query(query);
        let merges = check.merges;
        (found, merges)
    }

    /// Marks the tables that a query reads. False when one of them is broken.
    fn use_tables(&mut self, query: &Query) -> bool {
        let mut names = Vec::new();
        let _ = sqlparser::ast::visit_relations(query, |name| {
            names.extend(crate::parse::single(name));
            std::ops::ControlFlow::<()>::Continue(())
        });
        let mut sound = true;
        for ident in names {
            let name = normalize(&ident);
            let span = span_of(ident.span);
            match self.catalog.relations.get(&name) {
                Some(Relation::Broken) => sound = false,
                Some(Relation::Memory { rows: None, .. }) => {
                    let message = format!("attempted to read from memory table \"{name}\" before it is written");
                    self.errors
                        .push(Diagnostic::error(code::DIRECTION, span, message).with_hint("first INSERT INTO it"));
                }
                Some(Relation::Table(table)) => {
                    let table = Arc::clone(table);
                    sound &= self.read_table(&name, &table, span);
                }
                _ => {}
            }
        }
        sound
    }

    fn read_table(&mut self, name: &str, table: &Arc<Table>, span: Option<Span>) -> bool {
        if self.read.contains_key(name) {
            return true;
        }
        let written = self.outputs.iter().any(|output| output.table == name);
        if table.direction == Some(Direction::Sink) || written {
            let message = format!("attempted to read from table \"{name}\", but it is a sink");
            let hint = match written {
                true => "make a view of what is inserted, and read that",
                false => "define another table with type = 'source'",
            };
            self.errors.push(Diagnostic::error(code::DIRECTION, span, message).with_hint(hint));
            return false;
        }
        self.used.insert(name.to_owned());
        if table.columns.is_empty() {
            let message = format!("table \"{name}\" has no columns to read");
            self.errors.push(Diagnostic::error(code::COLUMN, table.span, message).with_hint("list its columns"));
            return false;
        }
        match table.validate(Direction::Source, &table.schema(), &mut self.warnings) {
            Ok(validated) => {
                let source = SourceTable { table: Arc::clone(table), validated };
                self.read.insert(name.to_owned(), Arc::new(source));
                true
            }
            Err(mut errors) => {
                // The fault is the reading statement's when the connector cannot be read at all.
                for error in errors.iter_mut().filter(|error| error.code == code::DIRECTION) {
                    error.span = span;
                }
                self.errors.extend(errors);
                self.catalog.relations.insert(name.to_owned(), Relation::Broken);
                false
            }
        }
    }

    fn select(&mut self, query: &Query, span: Option<Span>) {
        let Some(plan) = self.query(query) else { return };
        self.bare += 1;
        let table = match self.bare {
            1 => self.options.default_sink.clone(),
            n => format!("{}_{n}", self.options.default_sink),
        };
        let columns = output_columns(&plan);
        let Some(connector) = find_connector(&self.options.default_sink) else {
            let message = format!("the default sink \"{}\" does not exist", self.options.default_sink);
            self.errors.push(Diagnostic::error(code::OPTION, span, message));
            return;
        };
        let mut given = self.options.default_sink_options.clone();
        if is_updating(&plan) {
            // The format that can show what becomes of rows, with values as people read them.
            for (key, value) in SHOWN_UPDATES {
                given.entry((*key).to_owned()).or_insert_with(|| (*value).to_owned());
            }
        }
        let mut options = connectors_options::Options::new(given);
        match connector.sink(&mut options, &Schema::new(columns.clone())) {
            Some(Ok(validated)) => self.outputs.push(Output {
                table,
                connector: connector.name().to_owned(),
                validated,
                columns,
                declared: false,
                plan,
                span,
                target: span,
            }),
            Some(Err(error)) => {
                self.errors.push(Diagnostic::error(code::OPTION, span, error.message).with_hint_opt(error.hint));
            }
            None => {
                let message = format!("the default sink \"{}\" is no sink", connector.name());
                self.errors.push(Diagnostic::error(code::OPTION, span, message));
            }
        }
    }

    fn insert(&mut self, target: &Ident, names: &[Ident], query: &Query, span: Option<Span>) {
        let name = normalize(target);
        let target_span = span_of(target.span);
        let relation = self.catalog.relations.get(&name).cloned();
        let known = self.errors.len();
        let plan = self.query(query);
        match relation {
            None => {
                let known: Vec<&str> = self.catalog.relations.keys().map(String::as_str).collect();
                let hint = table_hint(target, &known);
                self.errors.push(
                    Diagnostic::error(code::UNKNOWN_TABLE, target_span, format!("table \"{name}\" does not exist"))
                        .with_hint(hint),
                );
            }
            Some(Relation::Broken) => {}
            Some(Relation::View(_)) => {
                let message = format!("attempted to insert into \"{name}\", but it is a view");
                let hint = "insert into a table: CREATE TABLE name (columns)";
                self.errors.push(Diagnostic::error(code::DIRECTION, target_span, message).with_hint(hint));
            }
            Some(Relation::Memory { rows: Some(_), .. }) => {
                self.errors.push(
                    Diagnostic::error(code::DIRECTION, target_span, "can only insert into a memory table once")
                        .with_hint("use UNION ALL in one INSERT"),
                );
            }
            Some(Relation::Memory { schema, rows: None }) => {
                let filled = plan.and_then(|plan| self.assign(&schema.fields, names, plan, query, &name, target_span));
                let relation = match filled {
                    Some((plan, columns)) => {
                        self.warn_of_nulls(&name, &columns, &plan, target_span);
                        Relation::Memory { schema, rows: Some(plan) }
                    }
                    None => Relation::Broken,
                };
                self.catalog.relations.insert(name, relation);
            }
            Some(Relation::Table(table)) => {
                self.used.insert(name.clone());
                if table.direction == Some(Direction::Source) || self.read.contains_key(&name) {
                    let message = format!("attempted to insert into table \"{name}\", but it is a source");
                    let hint = "define another table with type = 'sink'";
                    self.errors.push(Diagnostic::error(code::DIRECTION, target_span, message).with_hint(hint));
                    return;
                }
                if let Some(plan) = plan
                    && self.errors.len() == known
                {
                    self.write_table(&table, names, plan, query, target_span, span);
                }
            }
        }
    }

    fn write_table(
        &mut self,
        table: &Arc<Table>,
        names: &[Ident],
        plan: LogicalPlan,
        query: &Query,
        target_span: Option<Span>,
        span: Option<Span>,
    ) {
        let earlier = self.outputs.iter().find(|output| output.table == table.name);
        let declared: Vec<Field> = match (table.columns.is_empty(), earlier) {
            (false, _) => {
                if let Some(column) =
                    table.columns.iter().find(|column| !matches!(column.origin, crate::catalog::Origin::Data))
                {
                    let message =
                        format!("column \"{}\" of sink \"{}\" cannot be virtual", column.field.name, table.name);
                    self.errors.push(Diagnostic::error(code::COLUMN, table.span, message));
                    return;
                }
                table.schema().fields
            }
            (true, Some(output)) => output.columns.clone(),
            (true, None) => output_columns(&plan),
        };
        let Some((plan, columns)) = self.assign(&declared, names, plan, query, &table.name, target_span) else {
            return;
        };
        self.warn_of_nulls(&table.name, &columns, &plan, target_span);
        self.warnings.extend(table.sink_warnings.iter().cloned());
        match table.validate(Direction::Sink, &Schema::new(columns.clone()), &mut self.warnings) {
            Ok(validated) => self.outputs.push(Output {
                table: table.name.clone(),
                connector: table.connector.name().to_owned(),
                validated,
                columns,
                declared: !table.columns.is_empty(),
                plan,
                span,
                target: target_span,
            }),
            Err(mut errors) => {
                for error in errors.iter_mut().filter(|error| error.code == code::DIRECTION) {
                    error.span = target_span;
                }
                self.errors.extend(errors);
                self.catalog.relations.insert(table.name.clone(), Relation::Broken);
            }
        }
    }

    /// NOT NULL of what is written is a promise of the query, which nothing checks.
    fn warn_of_nulls(&mut self, table: &str, columns: &[Field], plan: &LogicalPlan, span: Option<Span>) {
        let given = columns.iter().zip(plan.schema().fields().iter());
        let broken = given.filter(|(column, given)| !column.nullable && given.is_nullable());
        let names: Vec<String> = broken.map(|(column, _)| format!("\"{}\"", column.name)).collect();
        let (what, are) = match names.len() {
            0 => return,
            1 => ("column", "is"),
            _ => ("columns", "are"),
        };
        let message =
            format!("{what} {} of table \"{table}\" {are} NOT NULL, but may be given nulls", names.join(", "));
        self.warnings.push(
            Diagnostic::warning(code::NO_EFFECT, span, message)
                .with_detail("NOT NULL is not checked when rows are written: nulls go through")
                .with_hint("replace nulls with coalesce(...), or leave NOT NULL out"),
        );
    }

    /// Gives the query's columns the names and types of the table's, by position or by the names of the INSERT.
    fn assign(
        &mut self,
        fields: &[Field],
        names: &[Ident],
        plan: LogicalPlan,
        query: &Query,
        table: &str,
        target_span: Option<Span>,
    ) -> Option<(LogicalPlan, Vec<Field>)> {
        let known = self.errors.len();
        let targets = self.targets(fields, names, table)?;
        let given = plan.schema().columns();
        if given.len() != targets.len() {
            let (message, span, hint) = if given.len() > targets.len() {
                let extra = item_span(&query.body, targets.len());
                ("INSERT has more expressions than target columns", extra, "leave out what is too much".to_owned())
            } else {
                let filled = targets.iter().take(given.len()).map(|index| fields[*index].name.as_str());
                let hint = format!("name the columns that are filled: INSERT INTO {table} ({})", listed(filled));
                ("INSERT has more target columns than expressions", None, hint)
            };
            let detail = format!("table \"{table}\" takes {} columns, the query has {}", targets.len(), given.len());
            let error = Diagnostic::error(code::INSERT, span.or(target_span), message);
            self.errors.push(error.with_detail(detail).with_hint(hint));
            return None;
        }
        let mut exprs = Vec::with_capacity(fields.len());
        let mut columns = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let Some(position) = targets.iter().position(|target| *target == index) else {
                if !field.nullable {
                    let message = format!("column \"{}\" of table \"{table}\" is not nullable", field.name);
                    self.errors
                        .push(Diagnostic::error(code::INSERT, target_span, message).with_hint("list it in the INSERT"));
                }
                exprs.push(null_of(&field.ty).alias(&field.name));
                columns.push(field.clone());
                continue;
            };
            let span = item_span(&query.body, position).or(target_span);
            let expr = self.assign_one(field, &given[position], &plan, span);
            exprs.extend(expr.map(|expr| expr.alias(&field.name)));
            columns.push(field.clone());
        }
        if self.errors.len() > known {
            return None;
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build);
        match plan {
            Ok(plan) => Some((plan, columns)),
            Err(error) => {
                self.errors.extend(translate(error, query, target_span));
                None
            }
        }
    }

    /// For each expression of the query the index of its column.
    fn targets(&mut self, fields: &[Field], names: &[Ident], table: &str) -> Option<Vec<usize>> {
        if names.is_empty() {
            return Some((0..fields.len()).collect());
        }
        let mut targets = Vec::new();
        let known = self.errors.len();
        for ident in names {
            let name = normalize(ident);
            let span = span_of(ident.span);
            match find_name(fields.iter().map(|field| field.name.as_str()), &name) {
                Some(index) if targets.contains(&index) => {
                    let message = format!("column \"{name}\" specified more than once");
                    self.errors.push(Diagnostic::error(code::DUPLICATE, span, message));
                }
                Some(index) => targets.push(index),
                None => {
                    let columns = fields.iter().map(|field| field.name.as_str());
                    let hint = did_you_mean(&name, columns.clone())
                        .unwrap_or_else(|| format!("columns of \"{table}\" are {}", listed(columns)));
                    let message = format!("column \"{name}\" of table \"{table}\" does not exist");
                    self.errors.push(Diagnostic::error(code::UNKNOWN_COLUMN, span, message).with_hint(hint));
                }
            }
        }
        (self.errors.len() == known).then_some(targets)
    }

    fn assign_one(
        &mut self,
        field: &Field,
        column: &DfColumn,
        plan: &LogicalPlan,
        span: Option<Span>,
    ) -> Option<DfExpr> {
        let expr = DfExpr::Column(column.clone());
        let arrow = expr.get_type(plan.schema()).ok()?;
        let wanted = field.ty.to_arrow();
        if arrow == wanted {
            return Some(expr);
        }
        let from = match ScalarType::from_arrow(&arrow) {
            Ok(from) => from,
            Err(error) => {
                self.errors.push(Diagnostic::error(code::TYPE, span, error.to_string()));
                return None;
            }
        };
        if !assignable(&from, &field.ty) {
            let message =
                format!("column \"{}\" is of type {}, but the expression is of type {from}", field.name, field.ty);
            let hint = match (&from, &field.ty) {
                (_, ScalarType::Struct(_)) => "make a struct with members of those names: named_struct('name', value)",
                (_, ScalarType::List(_)) => "make a list of that type: make_array(value)",
                (ScalarType::Struct(_), _) => "name a member of the struct: place.city",
                (ScalarType::List(_), _) => "take an element of the list: tags[1]",
                _ => "convert it with CAST",
            };
            self.errors.push(Diagnostic::error(code::INSERT, span, message).with_hint(hint));
            return None;
        }
        match expr.cast_to(&wanted, plan.schema().as_ref()) {
            Ok(expr) => Some(expr),
            Err(_) => {
                let message = format!("type {from} cannot be converted to {}", field.ty);
                let hint = "convert it to TEXT first: CAST(CAST(value AS TEXT) AS ...)";
                self.errors.push(Diagnostic::error(code::INSERT, span, message).with_hint(hint));
                None
            }
        }
    }

    /// Tables that nobody uses are validated too; then the script must compute something.
    fn finish(mut self) -> Result<Bound, Vec<Diagnostic>> {
        let unused: Vec<Arc<Table>> = self
            .catalog
            .relations
            .iter()
            .filter(|(name, _)| !self.used.contains(*name))
            .filter_map(|(_, relation)| match relation {
                Relation::Table(table) => Some(Arc::clone(table)),
                _ => None,
            })
            .collect();
        for table in unused {
            self.errors.extend(unused_table_errors(&table));
        }
        if self.outputs.is_empty() && self.errors.is_empty() {
            let mut diagnostic = Diagnostic::error(code::NO_QUERY, None, "the script computes nothing");
            diagnostic.hint = Some("add a SELECT, or an INSERT INTO a table with a connector".to_owned());
            self.errors.push(diagnostic);
        }
        if self.errors.is_empty() {
            if let Some((_, span)) = self.updating_ttl
                && !self.outputs.iter().any(|output| is_updating(&output.plan))
            {
                let message = "option 'updating_ttl' has no effect: no query has groups without a time window";
                self.warnings.push(Diagnostic::warning(code::NO_EFFECT, span, message));
            }
            self.warnings.sort_by_key(|warning| warning.span.map(|span| span.start));
            self.warnings.dedup();
            let updating_ttl = self.updating_ttl.map_or(DEFAULT_UPDATING_TTL, |(nanos, _)| nanos);
            let Binder { outputs, read: tables, warnings, .. } = self;
            return Ok(Bound { outputs, tables, updating_ttl, warnings });
        }
        // Definitions and uses are checked at different times; readers go through the text once.
        let mut errors = hints::complete(self.errors);
        errors.sort_by_key(|error| error.span.map(|span| span.start));
        errors.dedup();
        Err(errors)
    }
}

/// Errors of its options, in the direction that it says, or else in the better one of both.
fn unused_table_errors(table: &Table) -> Vec<Diagnostic> {
    let errors = |direction| table.validate(direction, &table.schema(), &mut vec![]).err().unwrap_or_default();
    match table.direction {
        Some(direction) => errors(direction),
        None => {
            let (source, sink) = (errors(Direction::Source), errors(Direction::Sink));
            match (source.is_empty() || sink.is_empty(), source.iter().any(|error| error.code == code::DIRECTION)) {
                (true, _) => vec![],
                (false, true) => sink,
                (false, false) => source,
            }
        }
    }
}

/// The columns of a query, as a sink without columns of its own takes them.
fn output_columns(plan: &LogicalPlan) -> Vec<Field> {
    let fields = plan.schema().fields().iter();
    fields
        .map(|field| {
            let ty = ScalarType::from_arrow(field.data_type()).unwrap_or(ScalarType::Null);
            Field::new(field.name(), ty, field.is_nullable())
        })
        .collect()
}

/// Calls over updated rows that are another value each time: what is taken back would not be what was written. Whether
/// the rows of the plan are updated.
fn changing_calls(plan: &LogicalPlan, query: &Query, found: &mut Vec<Diagnostic>) -> bool {
    let mut updated = false;
    for input in plan.inputs() {
        updated |= changing_calls(input, query, found);
    }
    let exprs = if updated { plan.expressions() } else { Vec::new() };
    for expr in &exprs {
        let walked = expr.apply(|part| {
            if let DfExpr::ScalarFunction(call) = part
                && is_changing(call.name())
            {
                let mut names = iter::once(call.name()).chain(call.func.aliases().iter().map(String::as_str));
                let span = names.find_map(|name| find_call(query, name, None)).or(span_of(query.body.span()));
                let message = format!("a call of {}() over updated rows is not supported yet", call.name());
                found.push(Diagnostic::error(code::UNSUPPORTED, span, message));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(walked.is_ok(), "the walk itself does not fail");
    }
    updated || matches!(plan, LogicalPlan::Aggregate(_))
}

/// `min` and `max` of what has no order in a pipeline.
fn unordered_aggregates(plan: &LogicalPlan, query: &Query) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let walked = plan.apply(|plan| {
        let (aggregates, input) = match plan {
            LogicalPlan::Aggregate(aggregate) => (&aggregate.aggr_expr, aggregate.input.as_ref()),
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<TumbleNode>() {
                Some(tumble) => (&tumble.aggregates, &tumble.input),
                None => return Ok(TreeNodeRecursion::Continue),
            },
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        found.extend(aggregates.iter().filter_map(|expr| unordered(expr, input, query)));
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "the walk itself does not fail");
    found
}

fn unordered(expr: &DfExpr, input: &LogicalPlan, query: &Query) -> Option<Diagnostic> {
    let DfExpr::AggregateFunction(call) = expr.clone().unalias() else { return None };
    let name = call.func.name();
    let argument = call.params.args.first()?;
    let ty = ScalarType::from_arrow(&argument.get_type(input.schema()).ok()?).ok()?;
    if !matches!(name, "min" | "max") || is_register_type(&ty) {
        return None;
    }
    let span = find_call(query, name, column_place(argument)).or(span_of(query.body.span()));
    Some(Diagnostic::unsupported(span, format!("{name} of {ty}")))
}

fn unsupported_type(plan: &LogicalPlan) -> Option<String> {
    let mut fields = plan.schema().fields().iter();
    fields.find_map(|field| {
        let error = ScalarType::from_arrow(field.data_type()).err()?;
        Some(format!("column \"{}\": {error}", field.name()))
    })
}

fn null_of(ty: &ScalarType) -> DfExpr {
    match ScalarValue::try_from(&ty.to_arrow()) {
        Ok(value) => DfExpr::Literal(value, None),
        Err(_) => DfExpr::Literal(ScalarValue::Null, None),
    }
}

/// The plans, as EXPLAIN shows them.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, output) in self.outputs.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            writeln!(f, "Sink: {} ({})", output.table, output.connector)?;
            for line in output.plan.display_indent().to_string().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
