//! `CREATE TABLE`: from its clauses to a [`Table`].
//!
//! Columns and members of structs keep the spelling of the definition, quoted or not: it is what formats write and look
//! for. Two columns are the same if SQL takes their names for one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion_common::{Result, TableReference, internal_err};
use datafusion_expr::{Expr as DfExpr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::planner::{PlannerContext, SqlToRel};
use schema::{EVENT_TIME, Field, ScalarType, Schema, find_name};
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, Value};

use crate::bind::SqlOptions;
use crate::catalog::{
    Catalog, Column, Direction, Origin, Relation, RelationSource, Table, find_connector, qualified, unknown_connector,
};
use crate::check::{Check, Place, function_name};
use crate::context::{Context, parser_options};
use crate::diagnostic::{Diagnostic, Span, code, did_you_mean, span_of};
use crate::parse::{ColumnDef, CreateTable, OptionDef, WatermarkClause, normalize};
use crate::rules;
use crate::spelling;
use crate::translate::translate;
use crate::types::scalar_type;
use crate::typing::wrong_casts;

/// Defines the table; what is wrong with it is added to `errors`, what is old or in vain to `warnings`.
pub(crate) fn define(
    table: &CreateTable,
    options: &SqlOptions,
    errors: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) -> Relation {
    let known = errors.len();
    let relation = Define { table, options, errors, warnings, name: normalize(&table.name) }.relation();
    match relation {
        Some(relation) if errors.len() == known => relation,
        _ => Relation::Broken,
    }
}

struct Define<'a> {
    table: &'a CreateTable,
    options: &'a SqlOptions,
    errors: &'a mut Vec<Diagnostic>,
    warnings: &'a mut Vec<Diagnostic>,
    name: String,
}

impl Define<'_> {
    fn span(&self) -> Option<Span> {
        span_of(self.table.name.span)
    }

    fn error(&mut self, code: &'static str, span: Option<Span>, message: impl Into<String>) {
        self.errors.push(Diagnostic::error(code, span, message));
    }

    fn option(&self, key: &str) -> Option<&OptionDef> {
        self.table.options.iter().find(|option| option.key == key)
    }

    fn relation(mut self) -> Option<Relation> {
        if let Some(span) = self.table.partitioned {
            self.errors.push(Diagnostic::unsupported(Some(span), "PARTITIONED BY"));
        }
        if self.table.temporary {
            let span = self.span();
            self.errors.push(Diagnostic::unsupported(span, "a temporary (lookup) table"));
        }
        self.repeated_options();
        match self.option("connector").map(|option| option.value.clone()) {
            Some(connector) if connector != "memory" => self.connected(&connector),
            _ => self.memory(),
        }
    }

    fn repeated_options(&mut self) {
        let mut seen: BTreeMap<&str, ()> = BTreeMap::new();
        for option in &self.table.options {
            if seen.insert(&option.key, ()).is_some() {
                let message = format!("option \"{}\" is given twice", option.key);
                self.errors.push(Diagnostic::error(code::OPTION, option.key_span, message));
            }
        }
    }

    fn memory(mut self) -> Option<Relation> {
        if let Some(option) = self.table.options.iter().find(|option| option.key != "connector") {
            let span = option.key_span;
            let message = format!("a memory table takes no option \"{}\"", option.key);
            self.errors.push(
                Diagnostic::error(code::OPTION, span, message)
                    .with_hint("a table without a connector only passes rows on; add connector = '...'"),
            );
        }
        let mut columns = Vec::new();
        for column in &self.table.columns {
            if column.generated.is_some() || column.metadata.is_some() {
                let message = "virtual fields are not supported in memory tables";
                self.errors.push(
                    Diagnostic::error(code::COLUMN, span_of(column.name.span), message)
                        .with_hint("compute the column in the INSERT's query"),
                );
            }
            if column.primary_key {
                let message =
                    format!("PRIMARY KEY of column \"{}\" has no effect on a memory table", column.name.value);
                self.warnings.push(Diagnostic::warning(code::NO_EFFECT, span_of(column.name.span), message));
            }
            columns.extend(self.field(column));
        }
        if let Some(clause) = self.table.watermarks.first() {
            self.error(code::COLUMN, clause.span, "a memory table has the watermark of the rows that are inserted");
        }
        if self.table.columns.is_empty() {
            let span = self.span();
            self.errors.push(
                Diagnostic::error(code::COLUMN, span, format!("memory table \"{}\" has no columns", self.name))
                    .with_hint("list the columns, or name a connector: WITH (connector = '...')"),
            );
        }
        self.repeated_columns();
        Some(Relation::Memory { schema: Schema::new(columns), rows: None })
    }

    fn repeated_columns(&mut self) {
        let mut seen = BTreeSet::new();
        for column in &self.table.columns {
            let spelling = &column.name.value;
            let span = span_of(column.name.span);
            // What SQL calls it, and what it is called outside.
            let names = BTreeSet::from([normalize(&column.name), spelling.clone()]);
            if names.contains(EVENT_TIME) {
                self.error(code::COLUMN, span, format!("the column name \"{EVENT_TIME}\" is reserved"));
            } else if !seen.is_disjoint(&names) {
                self.error(code::DUPLICATE, span, format!("column \"{spelling}\" is defined twice"));
            }
            seen.extend(names);
        }
    }

    fn field(&mut self, column: &ColumnDef) -> Option<Field> {
        match scalar_type(&column.ty) {
            Ok(ty) => Some(Field::new(&column.name.value, ty, !(column.not_null || column.primary_key))),
            Err(message) => {
                self.error(code::TYPE, column.ty_span, message);
                None
            }
        }
    }

    fn connected(mut self, name: &str) -> Option<Relation> {
        let value_span = self.option("connector").and_then(|option| option.value_span);
        let Some(connector) = find_connector(name) else {
            self.errors.push(unknown_connector(name, value_span));
            return None;
        };
        let direction = self.direction();
        if let Some(span) = self.option("connection_profile").map(|option| option.key_span) {
            self.errors.push(
                Diagnostic::unsupported(span, "option \"connection_profile\"")
                    .with_hint("write the options of the profile into the WITH clause of the table"),
            );
        }
        let generated = connector
            .schema()
            .map(|schema| Schema::new(schema.fields.into_iter().filter(|field| field.name != EVENT_TIME).collect()));
        let known = self.errors.len();
        self.repeated_columns();
        let stored = self.stored_columns(connector, generated.as_ref())?;
        if self.errors.len() > known {
            return None;
        }
        let columns = self.with_virtual_columns(stored)?;
        let mut table = Table {
            name: self.name.clone(),
            span: self.span(),
            connector,
            options: self.table.options.clone(),
            direction,
            columns,
            event_time: None,
            watermark: None,
            idle_micros: self.idle_micros(),
            sink_warnings: self.sink_warnings(),
        };
        self.event_time(&mut table);
        Some(Relation::Table(Arc::new(table)))
    }

    /// What of the definition means something for sources only.
    fn sink_warnings(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut note = |span: Option<Span>, what: String| {
            found.push(Diagnostic::warning(code::NO_EFFECT, span, format!("{what} has no effect on a sink")));
        };
        for column in self.table.columns.iter().filter(|column| column.primary_key) {
            note(span_of(column.name.span), format!("PRIMARY KEY of column \"{}\"", column.name.value));
        }
        for clause in &self.table.watermarks {
            note(clause.span, "WATERMARK FOR".to_owned());
        }
        for option in &self.table.options {
            if ["event_time_field", "watermark_field", "idle_micros"].contains(&option.key.as_str()) {
                note(option.key_span, format!("option \"{}\"", option.key));
            }
        }
        found
    }

    fn direction(&mut self) -> Option<Direction> {
        let option = self.option("type")?;
        match option.value.to_lowercase().as_str() {
            "source" => Some(Direction::Source),
            "sink" => Some(Direction::Sink),
            "lookup" => {
                let span = option.value_span;
                self.errors.push(Diagnostic::unsupported(span, "a lookup table"));
                None
            }
            other => {
                let (span, message) =
                    (option.value_span, format!("option \"type\" must be one of 'source', 'sink', not '{other}'"));
                self.error(code::OPTION, span, message);
                None
            }
        }
    }

    fn idle_micros(&mut self) -> Option<u64> {
        let Some(option) = self.option("idle_micros") else { return self.options.idle_micros };
        match option.value.trim().parse::<i64>() {
            Ok(micros) => u64::try_from(micros).ok().filter(|micros| *micros > 0),
            Err(_) => {
                let message = format!("option \"idle_micros\" must be a whole number, not '{}'", option.value);
                let span = option.value_span;
                self.error(code::OPTION, span, message);
                None
            }
        }
    }

    /// All columns; those to compute have no expression yet.
    fn stored_columns(
        &mut self,
        connector: &'static dyn connectors_options::Connector,
        generated: Option<&Schema>,
    ) -> Option<Vec<(Field, Option<Origin>)>> {
        let known = self.errors.len();
        let listed_data =
            self.table.columns.iter().any(|column| column.generated.is_none() && column.metadata.is_none());
        let mut columns = Vec::new();
        if let (Some(schema), false) = (generated, listed_data) {
            columns.extend(schema.fields.iter().map(|field| (field.clone(), Some(Origin::Data))));
        }
        for column in &self.table.columns {
            let Some(mut field) = self.field(column) else { continue };
            let legacy = column.generated.as_ref().and_then(metadata_call);
            if let Some((key, span)) = &legacy {
                self.warnings.push(
                    Diagnostic::warning(code::DEPRECATED, *span, format!("metadata('{key}') is deprecated")).with_hint(
                        format!("declare the column so: {} {} METADATA FROM '{key}'", column.name, column.ty),
                    ),
                );
            }
            let origin = match (&column.generated, column.metadata.clone().or(legacy)) {
                (_, Some((key, span))) => {
                    self.metadata(connector, &field, &key, span.or(span_of(column.name.span)));
                    Some(Origin::Metadata(key))
                }
                (Some(_), None) => None,
                (None, None) => {
                    if let Some(schema) = generated {
                        self.generated_column(schema, connector.name(), &mut field, column);
                    }
                    Some(Origin::Data)
                }
            };
            columns.push((field, origin));
        }
        (self.errors.len() == known).then_some(columns)
    }

    /// A listed column of a generator must be one that it has, and is spelled as there.
    fn generated_column(&mut self, schema: &Schema, connector: &str, field: &mut Field, column: &ColumnDef) {
        match schema.find(&field.name).map(|index| &schema.fields[index]) {
            None => {
                let hint = did_you_mean(&field.name, schema.fields.iter().map(|known| known.name.as_str()));
                let message = format!("connector \"{connector}\" has no column \"{}\"", field.name);
                self.errors
                    .push(Diagnostic::error(code::COLUMN, span_of(column.name.span), message).with_hint_opt(hint));
            }
            Some(known) if folded(&known.ty).to_arrow() != folded(&field.ty).to_arrow() => {
                let message = format!("column \"{}\" of connector \"{connector}\" is of type {}", field.name, known.ty);
                self.error(code::COLUMN, column.ty_span, message);
            }
            Some(known) => {
                field.name.clone_from(&known.name);
                field.ty = known.ty.clone();
            }
        }
    }

    fn metadata(
        &mut self,
        connector: &'static dyn connectors_options::Connector,
        field: &Field,
        key: &str,
        span: Option<Span>,
    ) {
        let keys = connector.metadata();
        match keys.iter().find(|(known, _)| *known == key) {
            None => {
                let hint = did_you_mean(key, keys.iter().map(|(known, _)| *known)).unwrap_or_else(|| {
                    match keys.iter().map(|(known, _)| format!("'{known}'")).collect::<Vec<_>>().join(", ") {
                        list if list.is_empty() => "it has no metadata".to_owned(),
                        list => format!("it has {list}"),
                    }
                });
                let message = format!("connector \"{}\" has no metadata '{key}'", connector.name());
                self.errors.push(Diagnostic::error(code::COLUMN, span, message).with_hint(hint));
            }
            Some((_, ty)) if *ty != field.ty => {
                let message = format!(
                    "incorrect data type for metadata field '{}'; expected {ty}, but found {}",
                    field.name, field.ty
                );
                self.error(code::COLUMN, span, message);
            }
            Some(_) => {}
        }
    }

    fn with_virtual_columns(&mut self, columns: Vec<(Field, Option<Origin>)>) -> Option<Vec<Column>> {
        let known = self.errors.len();
        let stored: Vec<Field> =
            columns.iter().filter(|(_, origin)| origin.is_some()).map(|(field, _)| field.clone()).collect();
        let schema = Schema::new(stored);
        let mut result = Vec::with_capacity(columns.len());
        for (mut field, origin) in columns {
            let origin = match origin {
                Some(origin) => origin,
                None => {
                    let definition = self.table.columns.iter().find(|def| def.name.value == field.name)?;
                    let sql = definition.generated.as_ref()?;
                    let Some(expr) = self.table_expr(&schema, sql, Some(&field.ty)) else { continue };
                    if !definition.not_null {
                        field.nullable = expr.nullable(&qualified(&self.name, &schema)).unwrap_or(true);
                    }
                    Origin::Virtual(expr)
                }
            };
            result.push(Column { field, origin });
        }
        (self.errors.len() == known).then_some(result)
    }

    /// Binds an expression over columns of the table, as `ty` when given.
    fn table_expr(&mut self, schema: &Schema, sql: &Expr, ty: Option<&ScalarType>) -> Option<DfExpr> {
        let known = self.errors.len();
        Check::new(None, self.errors).over(&self.name, schema).expr(sql, Place::Table);
        if self.errors.len() > known {
            return None;
        }
        match bind_over(&self.name, schema, sql, ty, span_of(sql.span())) {
            Ok(expr) => Some(expr),
            Err(found) => {
                self.errors.extend(found);
                None
            }
        }
    }

    fn event_time(&mut self, table: &mut Table) {
        if let [_, second, ..] = self.table.watermarks.as_slice() {
            self.error(code::COLUMN, second.span, "only one WATERMARK FOR constraint is allowed per table");
            return;
        }
        let clause = self.table.watermarks.first();
        self.deprecated_options(table.direction);
        let column = match (clause, self.option("event_time_field")) {
            (Some(clause), _) => Some((clause.column.clone(), span_of(clause.column.span))),
            (None, Some(option)) => Some((Ident::with_quote('"', option.value.clone()), option.value_span)),
            (None, None) => None,
        };
        let Some((ident, span)) = column else {
            if let Some(option) = self.option("watermark_field") {
                let span = option.key_span;
                self.error(code::OPTION, span, "option \"watermark_field\" needs \"event_time_field\"");
            }
            return;
        };
        table.event_time = self.timestamp_column(table, &ident, span);
        if table.event_time.is_none() {
            return;
        }
        match (clause, self.option("watermark_field")) {
            (Some(WatermarkClause { expr: Some(expr), .. }), _) => {
                table.watermark = self.watermark(table, expr, span_of(expr.span()));
            }
            (None, Some(option)) => {
                let (ident, span) = (Ident::with_quote('"', option.value.clone()), option.value_span);
                if let Some(index) = self.timestamp_column(table, &ident, span) {
                    let ident = Ident::with_quote('"', &table.columns[index].field.name);
                    table.watermark = self.watermark(table, &Expr::Identifier(ident), span);
                }
            }
            _ => {}
        }
    }

    /// The options that WATERMARK FOR has taken the place of.
    fn deprecated_options(&mut self, direction: Option<Direction>) {
        // A sink's have no effect, which is told where it is written to.
        if direction == Some(Direction::Sink) {
            return;
        }
        let value = |key: &str| self.option(key).map(|option| option.value.clone());
        let hint = match (value("event_time_field"), value("watermark_field")) {
            (Some(event_time), Some(watermark)) => format!("declare it so: WATERMARK FOR {event_time} AS {watermark}"),
            (Some(event_time), None) => format!("declare it so: WATERMARK FOR {event_time}"),
            (None, _) => "declare it so: WATERMARK FOR column AS expression".to_owned(),
        };
        for key in ["event_time_field", "watermark_field"] {
            let Some(span) = self.option(key).map(|option| option.key_span) else { continue };
            let warning = match self.table.watermarks.is_empty() {
                true => Diagnostic::warning(code::DEPRECATED, span, format!("option \"{key}\" is deprecated"))
                    .with_hint(&hint),
                false => {
                    let message = format!("option \"{key}\" has no effect beside WATERMARK FOR");
                    Diagnostic::warning(code::NO_EFFECT, span, message)
                }
            };
            self.warnings.push(warning);
        }
    }

    fn timestamp_column(&mut self, table: &Table, ident: &Ident, span: Option<Span>) -> Option<usize> {
        let name = normalize(ident);
        let names = table.columns.iter().map(|column| column.field.name.as_str());
        let Some(index) = find_name(names, &name) else {
            let hint = did_you_mean(&name, table.columns.iter().map(|column| column.field.name.as_str()));
            let message = format!("column \"{name}\" does not exist");
            self.errors.push(Diagnostic::error(code::UNKNOWN_COLUMN, span, message).with_hint_opt(hint));
            return None;
        };
        let ty = &table.columns[index].field.ty;
        if !matches!(ty, ScalarType::Timestamp { .. }) {
            let message = format!("the event time \"{name}\" must be a TIMESTAMP, but it is of type {ty}");
            self.error(code::COLUMN, span, message);
            return None;
        }
        Some(index)
    }

    fn watermark(&mut self, table: &Table, sql: &Expr, span: Option<Span>) -> Option<DfExpr> {
        let schema = table.schema();
        let expr = self.table_expr(&schema, sql, None)?;
        match expr.get_type(&table.df_schema()).map(|ty| ScalarType::from_arrow(&ty)) {
            Ok(Ok(ScalarType::Timestamp { .. })) => Some(expr),
            Ok(Ok(ty)) => {
                self.error(code::COLUMN, span, format!("a watermark must be a TIMESTAMP, but it is of type {ty}"));
                None
            }
            _ => {
                self.error(code::COLUMN, span, "a watermark must be a TIMESTAMP");
                None
            }
        }
    }
}

/// The type, whatever the case of the names in it and whether members may be null.
fn folded(ty: &ScalarType) -> ScalarType {
    match ty {
        ScalarType::List(item) => ScalarType::List(Box::new(folded(item))),
        ScalarType::Struct(members) => ScalarType::Struct(
            members.iter().map(|member| Field::new(member.name.to_lowercase(), folded(&member.ty), true)).collect(),
        ),
        other => other.clone(),
    }
}

/// The older spelling `GENERATED ALWAYS AS (metadata('key'))`.
fn metadata_call(expr: &Expr) -> Option<(String, Option<Span>)> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] if function_name(function) == "metadata" => {
            match &value.value {
                Value::SingleQuotedString(key) => Some((key.clone(), span_of(value.span))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Binds, coerces and simplifies an expression that reads no column.
///
/// # Errors
/// What is wrong with it; `whole`: where it stands.
pub(crate) fn bind_constant(sql: &Expr, whole: Option<Span>) -> Result<DfExpr, Vec<Diagnostic>> {
    bind_over("constant", &Schema::default(), sql, None, whole)
}

/// Binds, coerces and simplifies an expression over the columns of one table, as `ty` when given.
fn bind_over(
    table: &str,
    schema: &Schema,
    sql: &Expr,
    ty: Option<&ScalarType>,
    whole: Option<Span>,
) -> Result<DfExpr, Vec<Diagnostic>> {
    let mut casts = Vec::new();
    let expr = bind_expr(table, schema, sql, ty).and_then(|plan| {
        casts = wrong_casts(&plan, sql, whole);
        simplified(plan)
    });
    match expr {
        _ if !casts.is_empty() => Err(casts),
        Ok(expr) => Ok(expr),
        Err(error) => Err(translate(error, sql, whole)),
    }
}

/// Binds and coerces an expression over the columns of one table: the only one of a projection.
fn bind_expr(table: &str, schema: &Schema, sql: &Expr, ty: Option<&ScalarType>) -> Result<LogicalPlan> {
    let catalog = Catalog::default();
    let context = Context { catalog: &catalog, options: rules::config() };
    let planner = SqlToRel::new_with_options(&context, parser_options());
    let df_schema = qualified(table, schema);
    let bind = |sql: &Expr| planner.sql_to_expr(sql.clone(), &df_schema, &mut PlannerContext::new());
    let mut expr = spelling::resolve(&mut sql.clone(), bind)?;
    if let Some(ty) = ty
        && expr.get_type(&df_schema).is_ok_and(|from| from != ty.to_arrow())
    {
        expr = expr.cast_to(&ty.to_arrow(), &df_schema)?;
    }
    let source = RelationSource { schema: schema.to_arrow(), plan: None };
    let plan = LogicalPlanBuilder::scan(TableReference::bare(table), Arc::new(source), None)?
        .project([expr.alias("value")])?
        .build()?;
    rules::analyze_only(plan)
}

fn simplified(plan: LogicalPlan) -> Result<DfExpr> {
    match rules::simplify_only(plan)? {
        LogicalPlan::Projection(projection) => match projection.expr.into_iter().next() {
            Some(expr) => Ok(expr.unalias()),
            None => internal_err!("the projection lost its column"),
        },
        _ => internal_err!("the projection was rewritten"),
    }
}
