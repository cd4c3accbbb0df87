//! Statements to one logical plan for each INSERT and bare SELECT.
//!
//! Statements are taken in order; a name must be defined before it is used. Every statement's errors are collected;
//! one that refers to a broken definition is passed over in silence, since its own errors would be consequences.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use connectors_options::Validated;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Column as DfColumn, ScalarValue};
use datafusion_expr::{Expr as DfExpr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::planner::SqlToRel;
use schema::{Field, ScalarType, Schema};
use sqlparser::ast::{Ident, Query, SelectItem, SetExpr, Spanned, Statement as SqlStatement};

use crate::catalog::{Catalog, Direction, Relation, Table, find_connector};
use crate::check::Check;
use crate::context::{Context, parser_options};
use crate::define::define;
use crate::diagnostic::{Diagnostic, Span, code, did_you_mean, span_of};
use crate::names::name_columns;
use crate::parse::{Script, Statement, normalize};
use crate::rules;
use crate::stack::on_big_stack;
use crate::translate::{find_text, translate};
use crate::types::assignable;

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
        let Bound { mut outputs, tables } = bound;
        for output in &mut outputs {
            // A rule that fails on a plan that was accepted leaves it as it is: it is right, if slower.
            if let Ok(plan) = rules::rewrite(output.plan.clone())
                && plan.schema().fields().len() == output.plan.schema().fields().len()
            {
                output.plan = plan;
            }
        }
        Bound { outputs, tables }
    })
}

struct Binder<'a> {
    options: &'a SqlOptions,
    catalog: Catalog,
    errors: Vec<Diagnostic>,
    outputs: Vec<Output>,
    used: BTreeSet<String>,
    read: BTreeMap<String, Arc<SourceTable>>,
    bare: usize,
}

impl<'a> Binder<'a> {
    fn new(options: &'a SqlOptions) -> Self {
        Binder {
            options,
            catalog: Catalog::default(),
            errors: vec![],
            outputs: vec![],
            used: BTreeSet::new(),
            read: BTreeMap::new(),
            bare: 0,
        }
    }

    fn statement(&mut self, statement: &Statement) {
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
                    let mut errors = Vec::new();
                    let relation = define(table, self.options, &mut errors);
                    self.errors.extend(errors);
                    self.define(&table.name, relation);
                }
            },
            Statement::CreateView { name, columns, query } => {
                let relation = self.view(columns, query);
                self.define(name, relation);
            }
            Statement::Insert { table, columns, query, span } => self.insert(table, columns, query, *span),
            Statement::Select { query, span } => self.select(query, *span),
            Statement::Set { name, span, .. } => {
                if name != "updating_ttl" {
                    self.errors.push(
                        Diagnostic::error(code::OPTION, *span, format!("invalid option '{name}'"))
                            .with_hint("supported options are 'updating_ttl'"),
                    );
                }
            }
            Statement::Unsupported { diagnostic, .. } => self.errors.push(diagnostic.clone()),
        }
    }

    fn define(&mut self, name: &Ident, relation: Relation) {
        let key = normalize(name);
        if self.catalog.relations.contains_key(&key) {
            let message = format!("table \"{key}\" is defined twice");
            self.errors.push(Diagnostic::error(code::DUPLICATE, span_of(name.span), message));
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
            self.errors.push(Diagnostic::error(code::INSERT, span, message));
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
        Check::new(self.catalog.names(), &mut self.errors).query(query);
        if !self.use_tables(query) || self.errors.len() > known {
            return None;
        }
        let mut query = query.clone();
        name_columns(&mut query);
        let config = rules::config();
        let context = Context { catalog: &self.catalog, options: &config };
        let planner = SqlToRel::new_with_options(&context, parser_options());
        let plan = planner.sql_statement_to_plan(SqlStatement::Query(Box::new(query.clone()))).and_then(rules::analyze);
        match plan {
            Ok(plan) => {
                if let Some(message) = unsupported_type(&plan) {
                    self.errors.push(Diagnostic::error(code::TYPE, span_of(query.body.span()), message));
                }
                for (text, ty) in impossible_casts(&plan) {
                    let span = find_text(&query, &text).or(span_of(query.body.span()));
                    let message = format!("invalid input syntax for type {ty}: \"{text}\"");
                    self.errors.push(Diagnostic::error(code::TYPES, span, message));
                }
                (self.errors.len() == known).then_some(plan)
            }
            Err(error) => {
                self.errors.extend(translate(error, &query, span_of(query.body.span())));
                None
            }
        }
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
            self.errors.push(Diagnostic::error(code::DIRECTION, span, message));
            return false;
        }
        self.used.insert(name.to_owned());
        if table.columns.is_empty() {
            let message = format!("table \"{name}\" has no columns to read");
            self.errors.push(Diagnostic::error(code::COLUMN, table.span, message).with_hint("list its columns"));
            return false;
        }
        match table.validate(Direction::Source, &table.schema()) {
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
        let mut options = connectors_options::Options::new(self.options.default_sink_options.clone());
        match connector.sink(&mut options, &Schema::new(columns.clone())) {
            Some(Ok(validated)) => self.outputs.push(Output {
                table,
                connector: connector.name().to_owned(),
                validated,
                columns,
                declared: false,
                plan,
                span,
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
                let hint = did_you_mean(&name, self.catalog.relations.keys().map(String::as_str));
                self.errors.push(
                    Diagnostic::error(code::UNKNOWN_TABLE, target_span, format!("table \"{name}\" does not exist"))
                        .with_hint_opt(hint),
                );
            }
            Some(Relation::Broken) => {}
            Some(Relation::View(_)) => {
                let message = format!("attempted to insert into \"{name}\", but it is a view");
                self.errors.push(Diagnostic::error(code::DIRECTION, target_span, message));
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
                    Some((plan, _)) => Relation::Memory { schema, rows: Some(plan) },
                    None => Relation::Broken,
                };
                self.catalog.relations.insert(name, relation);
            }
            Some(Relation::Table(table)) => {
                self.used.insert(name.clone());
                if table.direction == Some(Direction::Source) || self.read.contains_key(&name) {
                    let message = format!("attempted to insert into table '{name}', but it is a source");
                    self.errors.push(Diagnostic::error(code::DIRECTION, target_span, message));
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
        match table.validate(Direction::Sink, &Schema::new(columns.clone())) {
            Ok(validated) => self.outputs.push(Output {
                table: table.name.clone(),
                connector: table.connector.name().to_owned(),
                validated,
                columns,
                declared: !table.columns.is_empty(),
                plan,
                span,
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
            let (message, span) = if given.len() > targets.len() {
                let extra = item_span(query, targets.len());
                ("INSERT has more expressions than target columns", extra)
            } else {
                ("INSERT has more target columns than expressions", None)
            };
            self.errors.push(Diagnostic::error(code::INSERT, span.or(target_span), message).with_detail(format!(
                "table \"{table}\" takes {} columns, the query has {}",
                targets.len(),
                given.len()
            )));
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
            let expr = self.assign_one(field, &given[position], &plan, item_span(query, position).or(target_span));
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
            match fields.iter().position(|field| field.name == name) {
                Some(index) if targets.contains(&index) => {
                    let message = format!("column \"{name}\" specified more than once");
                    self.errors.push(Diagnostic::error(code::DUPLICATE, span, message));
                }
                Some(index) => targets.push(index),
                None => {
                    let hint = did_you_mean(&name, fields.iter().map(|field| field.name.as_str()));
                    let message = format!("column \"{name}\" of table \"{table}\" does not exist");
                    self.errors.push(Diagnostic::error(code::UNKNOWN_COLUMN, span, message).with_hint_opt(hint));
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
                (ScalarType::Struct(_) | ScalarType::List(_), _) | (_, ScalarType::Struct(_) | ScalarType::List(_)) => {
                    None
                }
                _ => Some("convert it with CAST"),
            };
            self.errors.push(Diagnostic::error(code::INSERT, span, message).with_hint_opt(hint.map(str::to_owned)));
            return None;
        }
        match expr.cast_to(&wanted, plan.schema().as_ref()) {
            Ok(expr) => Some(expr),
            Err(_) => {
                let message = format!("type {from} cannot be converted to {}", field.ty);
                self.errors.push(Diagnostic::error(code::INSERT, span, message));
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
            return Ok(Bound { outputs: self.outputs, tables: self.read });
        }
        // Definitions and uses are checked at different times; readers go through the text once.
        self.errors.sort_by_key(|error| error.span.map(|span| span.start));
        self.errors.dedup();
        Err(self.errors)
    }
}

/// Errors of its options, in the direction that it says, or else in the better one of both.
fn unused_table_errors(table: &Table) -> Vec<Diagnostic> {
    let errors = |direction| table.validate(direction, &table.schema()).err().unwrap_or_default();
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

/// Text constants that are to be converted and cannot be: no row of any input would do.
fn impossible_casts(plan: &LogicalPlan) -> Vec<(String, ScalarType)> {
    let mut found: Vec<(String, ScalarType)> = Vec::new();
    let mut look = |expr: &DfExpr| {
        if let DfExpr::Cast(cast) = expr
            && let DfExpr::Literal(value @ ScalarValue::Utf8(Some(text)), _) = cast.expr.as_ref()
            && value.cast_to(cast.field.data_type()).is_err()
            && let Ok(ty) = ScalarType::from_arrow(cast.field.data_type())
            && !found.contains(&(text.clone(), ty.clone()))
        {
            found.push((text.clone(), ty));
        }
        Ok(TreeNodeRecursion::Continue)
    };
    let walked = plan.apply(|node| node.apply_expressions(|expr| expr.apply(&mut look)));
    debug_assert!(walked.is_ok(), "the walk itself does not fail");
    found
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

/// Where the n-th item of the select list stands, if the list has no wildcard.
fn item_span(query: &Query, n: usize) -> Option<Span> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::Select(select) => {
                let wildcard =
                    |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
                if select.projection.iter().take(n + 1).any(wildcard) {
                    return None;
                }
                return span_of(select.projection.get(n)?.span());
            }
            SetExpr::Query(inner) => body = inner.body.as_ref(),
            SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            _ => return None,
        }
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
