//! References that are spelled in another case than the definition.
//!
//! A definition keeps its spelling: `CREATE TABLE t (userId BIGINT)` has the column `userId`, which stands under that key
//! in JSON. A reference is first resolved as SQL has it: an unquoted name in lower case, a quoted one as it stands. Where
//! the binder finds no such column, but the columns that it could have meant have exactly one of that name in another
//! case, the reference is spelled like that one, and the tree is bound again.
//!
//! So it is the binder that knows scopes, aliases and qualifiers. Members of structs it does not look up by itself:
//! [`Members`] does, in the same way.
//!
//! Cost: a round of binding for each clause with such a reference; those of a select list take one round together.
//! The rounds end, since each spells at least one reference anew and none is spelled anew twice.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{
    Column, DFSchema, DataFusionError, Result, ScalarValue, SchemaError, Span as DfSpan, TableReference,
};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion_expr::{Expr as DfExpr, ExprSchemable, GetFieldAccess};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use schema::find_name;
use sqlparser::ast::{Expr, Ident, VisitMut, VisitorMut};

use crate::diagnostic::{Position, Span, span_of};

/// Binds a tree, in which references that are found in another case only are respelled.
pub(crate) fn resolve<T: VisitMut, B>(tree: &mut T, binder: impl Fn(&T) -> Result<B>) -> Result<B> {
    let mut respelled = BTreeSet::new();
    loop {
        let error = match binder(tree) {
            Ok(bound) => return Ok(bound),
            Err(error) => error,
        };
        let mut missing = Vec::new();
        collect(&error, None, &mut missing);
        if missing.is_empty() || !respell(tree, &mut missing, &mut respelled) {
            return Err(error);
        }
    }
}

/// A reference that was not found.
struct Missing {
    /// What was looked for, in its parts.
    parts: Vec<String>,
    /// Where it stands, if that is known.
    span: Option<Span>,
    /// What could have been meant: the tables and names of columns.
    columns: Vec<(Option<String>, String)>,
}

fn collect(error: &DataFusionError, span: Option<Span>, missing: &mut Vec<Missing>) {
    match error {
        DataFusionError::Context(_, inner) => collect(inner, span, missing),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            collect(inner, diagnostic.span.map(place).or(span), missing);
        }
        DataFusionError::Collection(errors) => {
            for error in errors {
                collect(error, span, missing);
            }
        }
        DataFusionError::SchemaError(error, _) => {
            if let SchemaError::FieldNotFound { field, valid_fields } = error.as_ref() {
                missing.push(Missing::new(field, valid_fields, span));
            }
        }
        _ => {}
    }
}

fn place(span: DfSpan) -> Span {
    Span {
        start: Position { line: span.start.line, column: span.start.column },
        end: Position { line: span.end.line, column: span.end.column },
    }
}

impl Missing {
    fn new(field: &Column, valid_fields: &[Column], span: Option<Span>) -> Missing {
        let mut parts = field.relation.as_ref().map(TableReference::to_vec).unwrap_or_default();
        parts.push(field.name.clone());
        let table = |column: &Column| column.relation.as_ref().map(|relation| relation.table().to_owned());
        let columns = valid_fields.iter().map(|column| (table(column), column.name.clone())).collect();
        Missing { parts, span: span.or(field.spans().first().map(place)), columns }
    }

    fn is(&self, reference: &[Ident]) -> bool {
        let name = |ident: &Ident| match ident.quote_style {
            Some(_) => ident.value.clone(),
            // The binder's own lower case.
            None => ident.value.to_ascii_lowercase(),
        };
        reference.len() == self.parts.len() && reference.iter().map(name).eq(self.parts.iter().cloned())
    }

    /// The part that names the column, and the column's spelling: of `table.column`, else of `column` or
    /// `column.member`.
    fn meant(&self) -> Option<(usize, &str)> {
        let find = |part: usize, table: Option<&str>| {
            let wanted = self.parts.get(part)?;
            let names = self.columns.iter().filter(|(of, _)| table.is_none() || of.as_deref() == table);
            // Tables that are joined may have columns of one name: one spelling, whichever it is.
            let names: Vec<&str> = names.map(|(_, name)| name.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
            let name = names[find_name(names.iter().copied(), wanted)?];
            (name != wanted).then_some((part, name))
        };
        find(1, self.parts.first().map(String::as_str)).or_else(|| find(0, None))
    }
}

/// Respells each missing reference once. Whether there was any to respell.
fn respell<T: VisitMut>(tree: &mut T, missing: &mut Vec<Missing>, done: &mut BTreeSet<Option<Position>>) -> bool {
    // Not every error knows its place.
    for by_place in [true, false] {
        let mut visitor = Respell { missing: &mut *missing, done: &mut *done, by_place, changed: false };
        let _ = tree.visit(&mut visitor);
        if visitor.changed {
            return true;
        }
    }
    false
}

struct Respell<'a> {
    missing: &'a mut Vec<Missing>,
    /// Where references were spelled anew.
    done: &'a mut BTreeSet<Option<Position>>,
    by_place: bool,
    changed: bool,
}

impl VisitorMut for Respell<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.reference(std::slice::from_mut(ident)),
            Expr::CompoundIdentifier(parts) => self.reference(parts),
            _ => {}
        }
        if self.missing.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Respell<'_> {
    fn reference(&mut self, parts: &mut [Ident]) {
        let span = parts.iter().map(|part| part.span).reduce(|all, part| all.union(&part)).and_then(span_of);
        let here =
            |missing: &Missing| missing.is(parts) && (!self.by_place || (span.is_some() && missing.span == span));
        let Some(index) = self.missing.iter().position(here) else { return };
        let Some((part, name)) = self.missing[index].meant() else { return };
        let ident = &mut parts[part];
        if !self.done.insert(span_of(ident.span).map(|span| span.start)) {
            return;
        }
        ident.value = name.to_owned();
        ident.quote_style = Some('"');
        self.missing.swap_remove(index);
        self.changed = true;
    }
}

/// Finds members of structs: the name itself, else the only one that is the same in another case.
#[derive(Debug)]
pub(crate) struct Members;

impl ExprPlanner for Members {
    /// `column.member.member`
    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<DfExpr>>> {
        let mut ty = Some(field.data_type());
        let mut names = Vec::with_capacity(nested_names.len());
        for name in nested_names {
            let found = ty.and_then(|ty| member(ty, name));
            names.push(found.map_or_else(|| name.clone(), |found| found.name().clone()));
            ty = found.map(|found| found.data_type());
        }
        CoreFunctionPlanner::default().plan_compound_identifier(field, qualifier, &names)
    }

    /// `expression['member']`
    fn plan_field_access(
        &self,
        mut access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        if let GetFieldAccess::NamedStructField { name: ScalarValue::Utf8(Some(name)) } = &mut access.field_access
            && let Ok(ty) = access.expr.get_type(schema)
            && let Some(found) = member(&ty, name)
        {
            name.clone_from(found.name());
        }
        Ok(PlannerResult::Original(access))
    }
}

fn member<'t>(ty: &'t DataType, name: &str) -> Option<&'t FieldRef> {
    let DataType::Struct(members) = ty else { return None };
    find_name(members.iter().map(|member| member.name().as_str()), name).map(|index| &members[index])
}

#[cfg(test)]
mod tests {
    use crate::{SqlOptions, bind, lower, optimize, parse};

    const EVENTS: &str = "
CREATE TABLE events (
    userId BIGINT, \"Kind\" TEXT, place STRUCT<zipCode INT>, eventTime TIMESTAMP,
    WATERMARK FOR eventtime AS EVENTTIME - interval '1 second'
) WITH (connector = 'file', path = '/in');
";

    /// The columns that a script over the table writes, or the messages.
    fn columns(script: &str) -> Result<Vec<String>, Vec<String>> {
        let told =
            |errors: Vec<crate::Diagnostic>| errors.iter().map(|error| error.message.clone()).collect::<Vec<_>>();
        let script = parse(&format!("{EVENTS}{script}")).map_err(told)?;
        let bound = bind(&script, &SqlOptions::default()).map_err(told)?;
        let names = bound.outputs[0].columns.iter().map(|column| column.name.clone()).collect();
        lower(&optimize(bound)).map_err(told)?;
        Ok(names)
    }

    #[test]
    fn references_are_found_in_any_case() {
        let cases: [(&str, &[&str]); 9] = [
            ("SELECT * FROM events", &["userId", "Kind", "place", "eventTime"]),
            (
                "SELECT userId, userid, \"userId\", \"USERID\" FROM events",
                &["userId", "userId_1", "userId_2", "userId_3"],
            ),
            (
                "SELECT kind, place.zipcode, place.\"ZIPCODE\" AS z, t.\"kind\" FROM events AS t WHERE T.USERID > 1",
                &["Kind", "zipcode", "z", "Kind_1"],
            ),
            (
                "SELECT (place).ZipCode + 1 AS zip, EVENTS.Place.\"zipcode\" FROM events WHERE kind || 'x' <> 'ax'",
                &["zip", "zipcode"],
            ),
            (
                "SELECT tumble(interval '1 minute') AS timeWindow, USERID, count(*) AS n FROM events \
                 GROUP BY \"timeWindow\", \"userid\" HAVING max(\"kind\") > 'a'",
                &["timewindow", "userId", "n"],
            ),
            // The name itself comes first.
            ("SELECT a.userid FROM (SELECT userId + 1, \"Kind\" AS userid FROM events) a", &["userid"]),
            ("WITH c AS (SELECT USERID AS Id FROM events) SELECT \"ID\" FROM c", &["id"]),
            ("CREATE VIEW v AS SELECT * FROM events; SELECT USERID, Place FROM v", &["userId", "place"]),
            (
                "CREATE TABLE out (userId BIGINT, Total INT) WITH (connector = 'file', path = '/out'); \
                 INSERT INTO out (TOTAL, \"USERID\") SELECT place.zipcode, userid FROM events",
                &["userId", "Total"],
            ),
        ];
        for (script, expected) in cases {
            let found = columns(script).unwrap_or_else(|told| panic!("{script}: {told:?}"));
            assert_eq!(found, expected, "{script}");
        }
    }

    #[test]
    fn what_differs_in_case_alone_is_told_apart_or_refused() {
        let two = "CREATE TABLE two (\"userId\" BIGINT, \"userid\" TEXT) WITH (connector = 'file', path = '/two');";
        let names = |query: &str| columns(&format!("{two} {query}"));
        assert_eq!(names("SELECT userId FROM two").unwrap(), ["userid"]);
        assert_eq!(names("SELECT \"userId\" FROM two").unwrap(), ["userId"]);
        assert!(names("SELECT \"USERID\" FROM two").is_err());
        for columns_twice in ["userId INT, USERID INT", "userId INT, \"userId\" INT", "userId INT, \"userid\" INT"] {
            let told = columns(&format!("CREATE TABLE t ({columns_twice}); SELECT userId FROM events")).unwrap_err();
            assert!(told.iter().any(|message| message.ends_with("is defined twice")), "{columns_twice}: {told:?}");
        }
        let told = columns("SELECT user_id FROM events").unwrap_err();
        assert_eq!(told, ["column \"user_id\" does not exist"]);
    }

    #[test]
    fn the_older_options_name_columns_in_any_case() {
        for (field, watermark) in [("eventTime", "WaterMark"), ("EVENTTIME", "watermark")] {
            let script = format!(
                "CREATE TABLE old (eventTime TIMESTAMP, waterMark TIMESTAMP GENERATED ALWAYS AS (eventtime)) WITH (\
                 connector = 'file', path = '/old', event_time_field = '{field}', watermark_field = '{watermark}'); \
                 SELECT count(*) AS n FROM old GROUP BY tumble(interval '1 minute')"
            );
            assert_eq!(columns(&script).unwrap(), ["n"]);
        }
    }
}
