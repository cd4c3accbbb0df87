//! What a query asks for that no pipeline does yet, and what does not exist: found on the syntax tree, before
//! anything is bound, so that every finding has its exact place and all of them are told at once.
//!
//! The walk knows the scopes of tables, CTEs and columns ([`crate::scope`]); a name is reported where it is surely
//! wrong. When a query is refused, or has findings, it is walked again with types ([`Check::with_types`]): then the
//! expressions without findings are bound one by one ([`crate::typing`]), each over what its own FROM has.
//!
//! Not here: binding of what is right (the binder's), and what only a whole plan shows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use compiler_ir::JoinKind;
use datafusion_expr::Expr as DfExpr;
use datafusion_expr::type_coercion::binary::type_union_coercion;
use schema::Schema;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, Distinct, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, Spanned, TableAlias, TableFactor,
    TableWithJoins, Value, ValueWithSpan, Visit, Visitor, WildcardAdditionalOptions,
};

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Span, code, did_you_mean, listed, nearest, span_of};
use crate::functions::{OTHER_WINDOWS, ROW_TIME, TUMBLE, registry};
use crate::names::{leading_names, name_items};
use crate::parse::normalize;
use crate::scope::{Column, Found, Named, Rows, Scope, member_of, missing_member};
use crate::translate::{UNION_WIDTHS, UNION_WIDTHS_HINT, duplicate, find_identifier, not_grouped, place, sql_type};
use crate::types::scalar_type;
use crate::typing::{Bound, Typing, ungrouped};
use crate::using::{self, Merge, Merges};

/// Collects the findings of one statement.
pub(crate) struct Check<'a> {
    /// `None`: there are no tables, only expressions.
    catalog: Option<&'a Catalog>,
    /// The common table expressions that a FROM may name, outermost first.
    ctes: Vec<BTreeMap<String, Rows>>,
    /// What expressions may name, where that is known.
    scope: Option<Scope>,
    types: bool,
    /// What the USING clauses mean that have no findings.
    pub(crate) merges: Merges,
    pub(crate) found: &'a mut Vec<Diagnostic>,
}

/// A column of a select list, and the item that it is of, if that is an expression.
struct Output {
    column: Column,
    item: Option<usize>,
}

/// The group keys of a SELECT.
#[derive(Default)]
struct Groups {
    windowed: bool,
    /// It aggregates without a window: its rows are replaced when they change.
    updating: bool,
    /// Which of them have no findings.
    sound: Vec<bool>,
}

/// Which expressions of a SELECT have no findings.
struct Sound {
    items: Vec<bool>,
    condition: bool,
    groups: Groups,
    having: bool,
}

impl<'a> Check<'a> {
    pub(crate) fn new(catalog: Option<&'a Catalog>, found: &'a mut Vec<Diagnostic>) -> Self {
        Check { catalog, ctes: vec![], scope: None, types: false, merges: Merges::new(), found }
    }

    /// Finds type errors too.
    pub(crate) fn with_types(mut self) -> Self {
        self.types = true;
        self
    }

    /// For expressions over the columns of a table.
    pub(crate) fn over(mut self, table: &str, schema: &Schema) -> Self {
        let columns = Some(Column::all_of(schema.to_arrow().fields()));
        let rows = Rows { columns, timed: true, updating: false };
        let named = Named { qualifier: Some(table.to_owned()), rows, merged: vec![] };
        self.scope = Some(Scope { relations: vec![named], ..Scope::default() });
        self
    }

    fn unsupported(&mut self, span: Option<Span>, what: impl std::fmt::Display) {
        self.found.push(Diagnostic::unsupported(span, what));
    }

    fn error(&mut self, code: &'static str, span: Option<Span>, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(Diagnostic::error(code, span, message).with_hint(hint));
    }

    /// Checks a query, and says what rows it gives.
    pub(crate) fn query(&mut self, query: &Query) -> Rows {
        if let Some(with) = &query.with {
            if with.recursive {
                self.unsupported(span_of(with.with_token.0.span), "WITH RECURSIVE");
                return Rows::unknown();
            }
            self.ctes.push(BTreeMap::new());
            for cte in &with.cte_tables {
                let rows = self.query(&cte.query).renamed(Some(&cte.alias));
                if let Some(scope) = self.ctes.last_mut() {
                    scope.insert(normalize(&cte.alias.name), rows);
                }
            }
        }
        let rows = self.set_expr(&query.body, true);
        if query.with.is_some() {
            self.ctes.pop();
        }
        if let Some(order_by) = &query.order_by {
            self.unsupported(span_of(order_by.span()), "ORDER BY");
        }
        if let Some(limit) = &query.limit_clause {
            self.unsupported(span_of(limit.span()), "LIMIT");
        }
        if let Some(fetch) = &query.fetch {
            let span = fetch.quantity.as_ref().and_then(|quantity| span_of(quantity.span()));
            self.unsupported(span.or_else(|| span_of(query.body.span())), "FETCH");
        }
        let extra = [
            (!query.locks.is_empty(), "FOR UPDATE"),
            (query.for_clause.is_some(), "FOR XML or FOR JSON"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
            (!query.pipe_operators.is_empty(), "the pipe operator"),
        ];
        for (present, what) in extra {
            if present {
                self.unsupported(span_of(query.body.span()), what);
            }
        }
        rows
    }

    /// `first`: it stands alone, or first in a UNION, so that its columns name those of the whole.
    fn set_expr(&mut self, body: &SetExpr, first: bool) -> Rows {
        match body {
            SetExpr::Select(select) => return self.select(select, first),
            SetExpr::Query(query) => return self.query(query),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let left_rows = self.set_expr(left, first);
                let right_rows = self.set_expr(right, false);
                let span = span_of(right.span());
                match (op, set_quantifier) {
                    (SetOperator::Union, SetQuantifier::All) => {}
                    (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => {
                        self.unsupported(span, "UNION without ALL");
                    }
                    (op, quantifier) => {
                        self.unsupported(span, format!("{op} {quantifier}").trim_end());
                        return Rows::unknown();
                    }
                }
                return self.union(left_rows, right_rows, right);
            }
            SetExpr::Values(_) => self.unsupported(span_of(body.span()), "VALUES"),
            SetExpr::Table(_) => self.unsupported(span_of(body.span()), "TABLE"),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                self.unsupported(span_of(body.span()), "a data-changing statement in a query");
            }
        }
        Rows::unknown()
    }

    /// The rows of both queries, whose columns must match. `right`: the second, where faults are shown.
    fn union(&mut self, left: Rows, right: Rows, query: &SetExpr) -> Rows {
        let (timed, updating) = (left.timed && right.timed, left.updating || right.updating);
        let (Some(left), Some(right)) = (left.columns, right.columns) else {
            return Rows { timed, updating, ..Rows::unknown() };
        };
        if left.len() != right.len() {
            let detail = format!("the query before has {}, this one has {}", left.len(), right.len());
            let span = list_span(query).or(span_of(query.span()));
            let error = Diagnostic::error(code::TYPES, span, UNION_WIDTHS).with_detail(detail);
            self.found.push(error.with_hint(UNION_WIDTHS_HINT));
            return Rows { timed, updating, ..Rows::unknown() };
        }
        let mut columns = Vec::with_capacity(left.len());
        for (n, (left, right)) in left.into_iter().zip(right).enumerate() {
            let field = match (&left.field, &right.field) {
                (Some(left), Some(right)) => {
                    let (first, second) = (left.data_type(), right.data_type());
                    let common = type_union_coercion(first, second);
                    if self.types && common.is_none() {
                        let span = item_span(query, n).or(span_of(query.span()));
                        let (first, second) = (sql_type(first), sql_type(second));
                        let message = format!("UNION types {first} and {second} cannot be matched");
                        self.error(code::TYPES, span, message, "convert one of them with CAST");
                    }
                    let nullable = left.is_nullable() || right.is_nullable();
                    common.map(|ty| Arc::new(left.as_ref().clone().with_data_type(ty).with_nullable(nullable)))
                }
                _ => None,
            };
            columns.push(Column { name: left.name, field });
        }
        Rows { columns: Some(columns), timed, updating }
    }

    fn select(&mut self, select: &Select, first: bool) -> Rows {
        self.refused_clauses(select);
        let scope = self.from(&select.from);
        let enclosing = self.scope.replace(scope);
        let items: Vec<bool> = select.projection.iter().map(|item| self.item(item)).collect();
        let condition = select.selection.as_ref().is_some_and(|expr| self.expr(expr, Place::Where));
        let mut outputs = self.outputs(select);
        if first {
            self.repeated_names(select);
        }
        if let Some(scope) = &mut self.scope {
            let columns = outputs.as_ref().map(|outputs| outputs.iter().map(|output| output.column.clone()));
            scope.outputs = columns.map(Iterator::collect);
        }
        let groups = self.grouping(select);
        let having = select.having.as_ref().is_some_and(|expr| self.expr(expr, Place::Having));
        let timed = self.is_timed() && !groups.windowed && !groups.updating;
        let updating = self.is_updating() || groups.updating;
        if self.types {
            self.types_of(select, &Sound { items, condition, groups, having }, outputs.as_deref_mut());
        }
        self.scope = enclosing;
        let columns = outputs.map(|outputs| outputs.into_iter().map(|output| output.column).collect());
        Rows { columns, timed, updating }
    }

    fn is_timed(&self) -> bool {
        self.scope.as_ref().is_none_or(Scope::is_timed)
    }

    fn is_updating(&self) -> bool {
        self.scope.as_ref().is_some_and(Scope::is_updating)
    }

    fn refused_clauses(&mut self, select: &Select) {
        let here = span_of(select.select_token.0.span);
        let distinct = select.distinct.as_ref().is_some_and(|distinct| !matches!(distinct, Distinct::All));
        let extra = [
            (distinct, "SELECT DISTINCT"),
            (select.top.is_some(), "TOP"),
            (select.into.is_some(), "SELECT INTO"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW"),
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (!select.cluster_by.is_empty(), "CLUSTER BY"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
            (!select.sort_by.is_empty(), "SORT BY"),
            (!select.named_window.is_empty(), "the WINDOW clause"),
            (select.qualify.is_some(), "QUALIFY"),
            (select.value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE"),
            (select.exclude.is_some(), "EXCLUDE"),
            (select.from.is_empty(), "SELECT without FROM"),
        ];
        for (present, what) in extra {
            if present {
                self.unsupported(here, what);
            }
        }
    }

    /// Whether an item of a select list has no findings.
    fn item(&mut self, item: &SelectItem) -> bool {
        match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                self.expr(expr, Place::Projection)
            }
            SelectItem::ExprWithAliases { expr, .. } => {
                self.unsupported(span_of(expr.span()), "several aliases for one expression");
                false
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                if let (Some(scope), Some(ident)) = (&self.scope, crate::parse::single(name)) {
                    let qualifier = normalize(&ident);
                    if scope.lacks_table(&qualifier) {
                        let hint = scope.hint_for_table(&qualifier);
                        let message = format!("table \"{qualifier}\" is not in FROM");
                        let error = Diagnostic::error(code::UNKNOWN_TABLE, span_of(ident.span), message);
                        self.found.push(error.with_hint_opt(hint));
                    }
                }
                false
            }
            // USING is written out, and with it the star: every relation must have a name for that.
            SelectItem::Wildcard(options) => {
                let merged = self.scope.as_ref().filter(|scope| !scope.merged.is_empty());
                let named = |scope: &Scope| scope.relations.iter().all(|named| named.qualifier.is_some());
                if merged.is_some_and(|scope| !is_plain(options) || !named(scope)) {
                    self.unsupported(span_of(item.span()), "this form of * over JOIN ... USING");
                }
                false
            }
            SelectItem::QualifiedWildcard(..) => false,
        }
    }

    /// The columns of a select list; `None` when one is not known.
    fn outputs(&self, select: &Select) -> Option<Vec<Output>> {
        let scope = self.scope.as_ref()?;
        let mut items = select.projection.clone();
        name_items(&mut items);
        let mut outputs = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            match item {
                SelectItem::ExprWithAlias { alias: name, .. } | SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                    let column = Column { name: normalize(name), field: None };
                    outputs.push(Output { column, item: Some(n) });
                }
                SelectItem::Wildcard(options) if is_plain(options) => {
                    outputs.extend(scope.star()?.into_iter().map(|column| Output { column, item: None }));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                    if is_plain(options) =>
                {
                    let qualifier = normalize(&crate::parse::single(name)?);
                    outputs.extend(wildcard(scope.relation(&qualifier)?)?);
                }
                _ => return None,
            }
        }
        Some(outputs)
    }

    /// Columns of one name, of which readers could not tell which is meant.
    fn repeated_names(&mut self, select: &Select) {
        let Some(scope) = &self.scope else { return };
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut plain = BTreeSet::new();
        let mut repeated = Vec::new();
        for item in &select.projection {
            match item {
                // A plain column that is repeated gets another name.
                SelectItem::UnnamedExpr(Expr::Identifier(ident)) if !plain.insert(normalize(ident)) => {}
                SelectItem::ExprWithAlias { alias: ident, .. } | SelectItem::UnnamedExpr(Expr::Identifier(ident))
                    if !seen.insert(normalize(ident)) =>
                {
                    repeated.push(duplicate(&normalize(ident), span_of(ident.span)));
                }
                SelectItem::Wildcard(options) if is_plain(options) => {
                    for column in scope.star().unwrap_or_default() {
                        if !seen.insert(column.name.clone()) {
                            repeated.push(duplicate(&column.name, span_of(item.span())));
                        }
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                    if is_plain(options) =>
                {
                    let named = crate::parse::single(name).and_then(|ident| scope.relation(&normalize(&ident)));
                    for column in named.and_then(wildcard).into_iter().flatten().map(|output| output.column) {
                        if !seen.insert(column.name.clone()) {
                            repeated.push(duplicate(&column.name, span_of(item.span())));
                        }
                    }
                }
                _ => {}
            }
        }
        self.found.extend(repeated);
    }

    fn from(&mut self, from: &[TableWithJoins]) -> Scope {
        let mut scope = Scope::default();
        for (n, item) in from.iter().enumerate() {
            if n > 0 {
                self.unsupported(span_of(item.relation.span()), "a join");
            }
            self.table_factor(&item.relation, &mut scope);
            for join in &item.joins {
                let left = scope.relations.len();
                self.table_factor(&join.relation, &mut scope);
                self.join(join, &mut scope, left);
            }
        }
        scope
    }

    /// The kind of a join and its condition. `left`: how many relations of the scope are on its left side.
    fn join(&mut self, join: &Join, scope: &mut Scope, left: usize) {
        let span = span_of(join.relation.span());
        let (kind, constraint) = match (using::constraint(&join.join_operator), &join.join_operator) {
            (Some(joined), _) if !join.global => joined,
            (None, JoinOperator::CrossJoin(_)) => return self.unsupported(span, "CROSS JOIN"),
            _ => return self.unsupported(span, "this kind of join"),
        };
        match constraint {
            JoinConstraint::On(condition) => {
                let inside = std::mem::take(scope);
                let enclosing = self.scope.replace(inside);
                let sound = self.expr(condition, Place::On);
                if self.types && sound {
                    self.type_of_condition(condition);
                }
                *scope = std::mem::replace(&mut self.scope, enclosing).unwrap_or_default();
            }
            JoinConstraint::Using(names) => self.using(names, scope, left),
            JoinConstraint::Natural => {
                // Which columns it gives twice is not looked at.
                scope.relations[left..].iter_mut().for_each(|named| named.rows = Rows::unknown());
                self.unsupported(span, "NATURAL JOIN");
            }
            JoinConstraint::None => self.unsupported(span, format!("{} without ON", join_name(kind))),
        }
    }

    fn type_of_condition(&mut self, condition: &Expr) {
        let (Some(catalog), Some(scope)) = (self.catalog, &self.scope) else { return };
        let columns = scope.relations.iter().flat_map(|named| {
            let columns = named.rows.columns.iter().flatten();
            columns.map(move |column| (named.qualifier.as_deref(), column))
        });
        let Some(typing) = Typing::new(catalog, columns) else { return };
        let mut found = Vec::new();
        typing.condition("ON", condition, &mut found);
        self.found.extend(found);
    }

    /// Finds the columns of USING on both sides.
    fn using(&mut self, names: &[ObjectName], scope: &mut Scope, left: usize) {
        let mut merges = Vec::with_capacity(names.len());
        for name in names {
            let Some(ident) = crate::parse::single(name) else {
                let message = format!("USING takes names of columns, not {name}");
                self.error(code::UNKNOWN_COLUMN, span_of(name.span()), message, "write the column's name alone");
                continue;
            };
            let (of_left, of_right) = scope.relations.split_at(left);
            let wanted = normalize(&ident);
            let merged = scope.merged.iter().any(|column| column.name == wanted);
            let first = self.holder(of_left, &ident, "left", merged);
            let second = self.holder(of_right, &ident, "right", false);
            let (Some((at_left, left_column)), Some((at_right, right_column))) = (first, second) else { continue };
            let at_right = left + at_right;
            let qualified = |at: usize, column: &Column| {
                let qualifier = scope.relations[at].qualifier.clone()?;
                Some([qualifier, column.name.clone()])
            };
            let (Some(of_left), Some(of_right)) =
                (qualified(at_left, &left_column), qualified(at_right, &right_column))
            else {
                self.unsupported(span_of(ident.span), "USING with a sub-select that has no name");
                continue;
            };
            for (at, column) in [(at_left, &left_column), (at_right, &right_column)] {
                let known = &mut scope.relations[at].merged;
                if !known.contains(&column.name) {
                    known.push(column.name.clone());
                }
            }
            if !merged {
                scope.merged.push(Column { name: wanted.clone(), ..left_column });
            }
            merges.push(Merge { name: wanted, left: of_left, right: of_right });
        }
        if merges.len() == names.len()
            && let Some(place) = using::place(names)
        {
            self.merges.insert(place, merges);
        }
    }

    /// The relation that has a column of USING, and the column. `merged`: several may have it, which are one by now.
    fn holder(&mut self, side: &[Named], ident: &Ident, which: &str, merged: bool) -> Option<(usize, Column)> {
        let name = normalize(ident);
        let mut holders = side.iter().enumerate().filter_map(|(at, named)| Some((at, named.column(&name)?)));
        let found = holders.next();
        if found.is_some() && holders.next().is_some() && !merged {
            let message = format!("column reference \"{name}\" is ambiguous");
            let hint = "write ON with the tables' names before the columns: ON a.key = b.key";
            self.error(code::UNKNOWN_COLUMN, span_of(ident.span), message, hint);
            return None;
        }
        if found.is_none() && side.iter().all(|named| named.rows.columns.is_some()) {
            let names = side.iter().flat_map(|named| named.rows.columns.iter().flatten());
            let names = names.map(|column| column.name.as_str());
            let hint = match nearest(&name, names.clone()) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => format!("columns of that side are {}", listed(names)),
            };
            let message = format!("column \"{name}\" of USING does not exist on the {which} side of the join");
            self.error(code::UNKNOWN_COLUMN, span_of(ident.span), message, hint);
        }
        found.map(|(at, column)| (at, column.clone()))
    }

    fn table_factor(&mut self, factor: &TableFactor, scope: &mut Scope) {
        let span = span_of(factor.span());
        let relations = &mut scope.relations;
        match factor {
            TableFactor::Table {
                name, alias, args, with_ordinality, version, sample, partitions, with_hints, ..
            } => {
                let plain = args.is_none()
                    && !with_ordinality
                    && version.is_none()
                    && sample.is_none()
                    && partitions.is_empty()
                    && with_hints.is_empty();
                let single = crate::parse::single(name);
                let rows = match &single {
                    _ if args.is_some() => {
                        self.unsupported(span, format!("the table function {name}"));
                        Rows::unknown()
                    }
                    _ if !plain => {
                        self.unsupported(span, "this form of a table in FROM");
                        Rows::unknown()
                    }
                    Some(ident) => self.table(ident),
                    None => {
                        self.unsupported(span, format!("the qualified table name {name}"));
                        Rows::unknown()
                    }
                };
                relations.push(named(alias.as_ref(), single.as_ref(), rows));
            }
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                if *lateral {
                    self.unsupported(span, "LATERAL");
                }
                if sample.is_some() {
                    self.unsupported(span, "TABLESAMPLE");
                }
                let rows = self.query(subquery);
                relations.push(named(alias.as_ref(), None, rows));
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let inner = self.from(std::slice::from_ref(table_with_joins));
                match alias {
                    None => {
                        relations.extend(inner.relations);
                        scope.merged.extend(inner.merged);
                    }
                    Some(alias) => relations.push(named(Some(alias), None, Rows::unknown())),
                }
            }
            TableFactor::UNNEST { alias, .. } => {
                self.unsupported(span, "unnest");
                relations.push(named(alias.as_ref(), None, Rows::unknown()));
            }
            _ => {
                self.unsupported(span, "this kind of table in FROM");
                relations.push(Named { qualifier: None, rows: Rows::unknown(), merged: vec![] });
            }
        }
    }

    fn table(&mut self, ident: &Ident) -> Rows {
        let name = normalize(ident);
        if let Some(rows) = self.ctes.iter().rev().find_map(|scope| scope.get(&name)) {
            return rows.clone();
        }
        if let Some(relation) = self.catalog.and_then(|catalog| catalog.relations.get(&name)) {
            return Rows::of(relation);
        }
        let known: Vec<&str> = self
            .ctes
            .iter()
            .flat_map(BTreeMap::keys)
            .chain(self.catalog.iter().flat_map(|catalog| catalog.relations.keys()))
            .map(String::as_str)
            .collect();
        let hint = table_hint(ident, &known);
        self.error(code::UNKNOWN_TABLE, span_of(ident.span), format!("table \"{name}\" does not exist"), hint);
        Rows::unknown()
    }

    /// A window needs GROUP BY, and what is grouped must be rows that stay.
    fn grouping(&mut self, select: &Select) -> Groups {
        let mut found = Groups::default();
        let groups: &[Expr] = match &select.group_by {
            GroupByExpr::All(_) => {
                self.unsupported(span_of(select.group_by.span()), "GROUP BY ALL");
                return found;
            }
            GroupByExpr::Expressions(groups, modifiers) => {
                if !modifiers.is_empty() {
                    self.unsupported(span_of(select.group_by.span()), "ROLLUP, CUBE and GROUPING SETS");
                }
                groups
            }
        };
        for group in groups {
            if matches!(group, Expr::GroupingSets(_) | Expr::Rollup(_) | Expr::Cube(_)) {
                self.unsupported(span_of(group.span()), "ROLLUP, CUBE and GROUPING SETS");
            }
            found.sound.push(self.expr(group, Place::GroupBy));
            if !self.is_window(group, select) {
                continue;
            }
            let span = span_of(window_call(group).map_or(group.span(), |call| call.name.span()));
            if found.windowed {
                let hint = "keep one of them; write a query for each window";
                self.error(code::WINDOW, span, "GROUP BY has more than one time window", hint);
            } else if self.is_updating() {
                self.unsupported(span, "a time window over updated rows");
            } else if !self.is_timed() {
                self.unsupported(span, "a time window over the result of another");
            }
            found.windowed = true;
        }
        if found.windowed {
            return found;
        }
        let tumble = |call: &Function| function_name(call) == TUMBLE;
        for expr in select_exprs(select) {
            if let Some(call) = first_call(expr, &tumble) {
                let message = "time window function tumble is not allowed in this context";
                self.error(code::WINDOW, span_of(call), message, "Are you missing a GROUP BY clause?");
            }
        }
        let aggregate = |call: &Function| registry().is_aggregate(&function_name(call));
        let span = match (groups.first(), groups.last()) {
            (Some(first), Some(last)) => Some(first.span().union(&last.span())),
            _ => select_exprs(select).find_map(|expr| first_call(expr, &aggregate)),
        };
        match (span, &select.having) {
            (Some(span), _) => {
                found.updating = true;
                self.without_window(select, span_of(span));
            }
            (None, Some(having)) => self.unsupported(span_of(having.span()), "HAVING without GROUP BY"),
            (None, None) => {}
        }
        found
    }

    /// What an aggregate without a window cannot do. `span`: its keys, or the first call.
    fn without_window(&mut self, select: &Select, span: Option<Span>) {
        if self.is_updating() {
            self.unsupported(span, "an aggregate of updated rows");
        }
        let distinct = |call: &Function| function_name(call) == "count" && is_distinct(call);
        for expr in select_exprs(select) {
            if let Some(call) = first_call(expr, &distinct) {
                self.unsupported(span_of(call), "count(DISTINCT ...) without a time window");
            }
        }
    }

    /// Whether a group expression is a window: by itself, by an alias, or by its position.
    fn is_window(&self, group: &Expr, select: &Select) -> bool {
        let item = |expr: &Expr| window_call(expr).is_some();
        match group {
            Expr::Identifier(ident) => select.projection.iter().any(|entry| match entry {
                // In any case, as references are.
                SelectItem::ExprWithAlias { expr, alias } => {
                    alias.value.to_lowercase() == ident.value.to_lowercase() && item(expr)
                }
                SelectItem::UnnamedExpr(expr) => normalize(ident) == "window" && item(expr),
                _ => false,
            }),
            Expr::Value(value) => match &value.value {
                Value::Number(text, _) => {
                    let position = text.to_string().parse::<usize>().unwrap_or(0);
                    match position.checked_sub(1).and_then(|n| select.projection.get(n)) {
                        Some(SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr)) => item(expr),
                        _ => false,
                    }
                }
                _ => false,
            },
            other => item(other),
        }
    }

    /// Names, functions, subqueries and constructs inside an expression. Whether there are no findings.
    pub(crate) fn expr(&mut self, expr: &Expr, place: Place) -> bool {
        let known = self.found.len();
        let check = &mut *self;
        let mut visitor = ExprCheck { check, place, inside: 0, refused: 0, aggregates: 0, no_columns: vec![] };
        let _ = expr.visit(&mut visitor);
        self.found.len() == known
    }

    /// A reference to a column, with its members.
    fn column(&mut self, path: &[Ident], place: Place) {
        let Some(scope) = &self.scope else { return };
        // Variables are the binder's.
        if path.first().is_none_or(|first| first.value.starts_with('@') && first.quote_style.is_none()) {
            return;
        }
        let outputs = matches!(place, Place::GroupBy | Place::Having);
        let fault = match scope.find(path, outputs) {
            Found::Maybe => None,
            Found::Column(column, parts) => column.field.as_ref().and_then(|field| {
                let mut ty = field.data_type();
                for member in &path[parts..] {
                    let name = normalize(member);
                    match member_of(ty, &name) {
                        Some(inner) => ty = inner,
                        None => return missing_member(ty, &name, span_of(member.span)),
                    }
                }
                None
            }),
            Found::Nothing => {
                let name = path.iter().map(normalize).collect::<Vec<_>>().join(".");
                let span = path.iter().map(|part| part.span).reduce(|all, part| all.union(&part)).and_then(span_of);
                let error = Diagnostic::error(code::UNKNOWN_COLUMN, span, format!("column \"{name}\" does not exist"));
                Some(error.with_hint_opt(scope.hint(path, outputs)))
            }
        };
        self.found.extend(fault);
    }

    /// The type errors of a SELECT, and its columns that are not grouped. Tells `outputs` the types.
    fn types_of(&mut self, select: &Select, sound: &Sound, outputs: Option<&mut [Output]>) {
        let (Some(catalog), Some(scope)) = (self.catalog, &self.scope) else { return };
        let read = || {
            scope.relations.iter().flat_map(|named| {
                let columns = named.rows.columns.iter().flatten();
                columns.map(move |column| (named.qualifier.as_deref(), column))
            })
        };
        let Some(typing) = Typing::new(catalog, read()) else { return };
        let mut found = Vec::new();
        let mut items: Vec<Option<Bound>> = Vec::with_capacity(select.projection.len());
        for (item, sound) in select.projection.iter().zip(&sound.items) {
            items.push(item_expr(item).filter(|_| *sound).and_then(|expr| typing.check(expr, &mut found)));
        }
        if let (Some(condition), true) = (&select.selection, sound.condition) {
            typing.condition("WHERE", condition, &mut found);
        }
        if let Some(outputs) = outputs {
            for output in outputs.iter_mut() {
                if let Some(bound) = output.item.and_then(|item| items[item].as_ref()) {
                    output.column.field = Some(Arc::clone(&bound.field));
                }
            }
            // GROUP BY and HAVING may name the select list, after the columns of FROM.
            let is_read = |column: &Column| read().any(|(_, known)| known.name == column.name);
            let shown: Vec<&Column> =
                outputs.iter().map(|output| &output.column).filter(|column| !is_read(column)).collect();
            let named = shown.iter().map(|column| (None::<&str>, *column));
            if let Some(typing) = Typing::new(catalog, read().chain(named)) {
                let keys = group_keys(select, sound, scope, outputs, &items, &typing, &mut found);
                let having = match &select.having {
                    Some(having) if sound.having => typing.condition("HAVING", having, &mut found),
                    _ => None,
                };
                if let (Some(keys), true) = (keys, sound.groups.windowed || sound.groups.updating) {
                    let items = select.projection.iter().map(item_expr).zip(items.iter().map(Option::as_ref));
                    for (sql, bound) in items.chain([(select.having.as_ref(), having.as_ref())]) {
                        let (Some(sql), Some(bound)) = (sql, bound) else { continue };
                        for column in ungrouped(&bound.expr, &keys) {
                            if column.relation.is_none() && shown.iter().any(|shown| shown.name == column.name) {
                                continue;
                            }
                            let span = column.spans.first().map(place);
                            let span = span.or_else(|| find_identifier(sql, &column.name)).or(span_of(sql.span()));
                            found.push(not_grouped(&column.name, span));
                        }
                    }
                }
            }
        }
        self.found.extend(found);
    }
}

/// The keys of GROUP BY; `None` when one has findings or errors.
fn group_keys(
    select: &Select,
    sound: &Sound,
    scope: &Scope,
    outputs: &[Output],
    items: &[Option<Bound>],
    typing: &Typing,
    found: &mut Vec<Diagnostic>,
) -> Option<Vec<DfExpr>> {
    let GroupByExpr::Expressions(groups, _) = &select.group_by else { return None };
    let mut keys = Vec::with_capacity(groups.len());
    for (group, sound) in groups.iter().zip(&sound.groups.sound) {
        let key = match named_item(group, scope, outputs) {
            Some(item) => items[item].as_ref().map(|bound| bound.expr.clone()),
            None if *sound => typing.check(group, found).map(|bound| bound.expr),
            None => None,
        };
        keys.push(key);
    }
    keys.into_iter().collect()
}

/// The item of the select list that a group key names, by its position or by its name.
fn named_item(group: &Expr, scope: &Scope, outputs: &[Output]) -> Option<usize> {
    match group {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => {
                let position = text.to_string().parse::<usize>().ok()?.checked_sub(1)?;
                outputs.get(position)?.item
            }
            _ => None,
        },
        Expr::Identifier(ident) if !matches!(scope.find(std::slice::from_ref(ident), false), Found::Column(..)) => {
            let name = normalize(ident).to_lowercase();
            outputs.iter().find(|output| output.column.name.to_lowercase() == name)?.item
        }
        _ => None,
    }
}

fn item_expr(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// What SQL calls a kind of join.
pub(crate) fn join_name(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "JOIN",
        JoinKind::Left => "LEFT JOIN",
        JoinKind::Right => "RIGHT JOIN",
        JoinKind::Full => "FULL JOIN",
    }
}

/// Rows under their alias, or else under the name of their table.
fn named(alias: Option<&TableAlias>, table: Option<&Ident>, rows: Rows) -> Named {
    let qualifier = alias.map(|alias| &alias.name).or(table).map(normalize);
    Named { qualifier, rows: rows.renamed(alias), merged: vec![] }
}

/// The columns that a wildcard stands for.
fn wildcard(named: &Named) -> Option<impl Iterator<Item = Output>> {
    let columns = named.rows.columns.as_ref()?;
    Some(columns.iter().map(|column| Output { column: column.clone(), item: None }))
}

/// `*` that leaves nothing out and renames nothing.
fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

/// The select list that names the columns of a query.
fn select_list(mut body: &SetExpr) -> Option<&[SelectItem]> {
    loop {
        match body {
            SetExpr::Select(select) => return Some(&select.projection),
            SetExpr::Query(inner) => body = &inner.body,
            SetExpr::SetOperation { left, .. } => body = left,
            _ => return None,
        }
    }
}

/// Where the select list of a query stands.
fn list_span(body: &SetExpr) -> Option<Span> {
    select_list(body)?.iter().map(Spanned::span).reduce(|all, item| all.union(&item)).and_then(span_of)
}

/// Where the n-th item of the select list stands, if no wildcard is before it.
pub(crate) fn item_span(body: &SetExpr, n: usize) -> Option<Span> {
    let items = select_list(body)?;
    let is_wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    if items.iter().take(n + 1).any(is_wildcard) {
        return None;
    }
    span_of(items.get(n)?.span())
}

/// What to say about a table that does not exist. `known`: those that do.
pub(crate) fn table_hint(ident: &Ident, known: &[&str]) -> String {
    const CLAUSES: &[&str] = &["where", "group", "having", "order", "limit", "union", "join", "on"];
    let name = normalize(ident);
    if ident.quote_style.is_none() && CLAUSES.contains(&name.as_str()) {
        return format!("the name of a table before {} is missing", name.to_uppercase());
    }
    match nearest(&name, known.iter().copied()) {
        Some(near) => format!("Did you mean \"{near}\"?"),
        None if known.is_empty() => "define it before, with CREATE TABLE or CREATE VIEW".to_owned(),
        None => format!("tables that are defined before are {}", listed(known.iter().copied())),
    }
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Projection,
    Where,
    /// The condition of a join.
    On,
    GroupBy,
    Having,
    /// A generated column or a watermark.
    Table,
}

/// `tumble(...)`, or one of the windows that are known but not supported.
fn window_call(expr: &Expr) -> Option<&Function> {
    match expr {
        Expr::Function(function) => {
            let name = function_name(function);
            (name == TUMBLE || OTHER_WINDOWS.contains(&name.as_str())).then_some(function)
        }
        Expr::Nested(inner) => window_call(inner),
        _ => None,
    }
}

/// `count(DISTINCT x)`
fn is_distinct(function: &Function) -> bool {
    match &function.args {
        FunctionArguments::List(list) => list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
        _ => false,
    }
}

pub(crate) fn function_name(function: &Function) -> String {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(normalize).unwrap_or_default(),
        _ => function.name.to_string().to_lowercase(),
    }
}

/// What is wrong with a pattern of LIKE whose last character is to escape the next one. `escape`: a backslash if there is none.
pub(crate) fn open_escape(pattern: &str, escape: Option<char>, span: Option<Span>) -> Option<Diagnostic> {
    let escape = escape.unwrap_or('\\');
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter == escape && letters.next().is_none() {
            let error = Diagnostic::error(code::TYPES, span, "LIKE pattern must not end with escape character");
            return Some(error.with_hint(format!("write it twice to look for it: {escape}{escape}")));
        }
    }
    None
}

/// Whether a call has a clause that means something for the rows of a group only.
fn has_aggregate_clause(function: &Function) -> bool {
    let in_list = match &function.args {
        FunctionArguments::List(list) => list.duplicate_treatment.is_some() || !list.clauses.is_empty(),
        FunctionArguments::None | FunctionArguments::Subquery(_) => false,
    };
    in_list || function.null_treatment.is_some()
}

/// The expressions that GROUP BY governs.
fn select_exprs(select: &Select) -> impl Iterator<Item = &Expr> {
    let items = select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    items.chain(&select.having)
}

/// Where the first call of such a function is in an expression; not one inside a subquery.
fn first_call(expr: &Expr, is_wanted: &dyn Fn(&Function) -> bool) -> Option<sqlparser::tokenizer::Span> {
    struct Find<'a> {
        is_wanted: &'a dyn Fn(&Function) -> bool,
        found: Option<sqlparser::tokenizer::Span>,
        queries: usize,
    }
    impl Visitor for Find<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            self.queries += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            self.queries -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && self.queries == 0
                && function.over.is_none()
                && (self.is_wanted)(function)
            {
                self.found = Some(function.name.span());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    let mut find = Find { is_wanted, found: None, queries: 0 };
    let _ = expr.visit(&mut find);
    find.found
}

struct ExprCheck<'c, 'a> {
    check: &'c mut Check<'a>,
    place: Place,
    /// How many expressions enclose this one.
    inside: usize,
    /// How many of those, and how many subqueries, are refused as a whole.
    refused: usize,
    /// How many are aggregates.
    aggregates: usize,
    /// Expressions, by identity, that are names of something else than a column.
    no_columns: Vec<*const Expr>,
}

impl Visitor for ExprCheck<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.refused += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.refused -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.refused == 0 {
            self.visit(expr);
        }
        self.inside += 1;
        self.refused += usize::from(matches!(expr, Expr::Lambda(_)));
        self.aggregates += usize::from(is_aggregate(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.inside -= 1;
        self.refused -= usize::from(matches!(expr, Expr::Lambda(_)));
        self.aggregates -= usize::from(is_aggregate(expr));
        ControlFlow::Continue(())
    }
}

fn is_aggregate(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => function.over.is_none() && registry().is_aggregate(&function_name(function)),
        _ => false,
    }
}

impl ExprCheck<'_, '_> {
    fn visit(&mut self, expr: &Expr) {
        let span = span_of(expr.span());
        match expr {
            Expr::Identifier(ident) if !self.no_columns.contains(&std::ptr::from_ref(expr)) => {
                self.check.column(std::slice::from_ref(ident), self.place);
            }
            Expr::CompoundIdentifier(path) => self.check.column(path, self.place),
            Expr::CompoundFieldAccess { root, access_chain } => self.path(root, access_chain),
            Expr::Function(function) => self.function(function),
            Expr::Cast { data_type, .. } => self.named_type(data_type, span),
            Expr::TypedString(text) => self.named_type(&text.data_type, span),
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                self.pattern(pattern, escape_char.as_ref());
            }
            Expr::Substring { substring_from: None, substring_for: None, shorthand, .. } => {
                let name = if *shorthand { "substr" } else { "substring" };
                let hint = "write substr(text, position) or substr(text, position, length)";
                self.check.error(code::TYPES, span, format!("function {name} needs a position"), hint);
            }
            Expr::Exists { .. } => self.check.unsupported(span, "EXISTS (subquery)"),
            Expr::InSubquery { .. } => self.check.unsupported(span, "IN (subquery)"),
            Expr::Subquery(_) => self.check.unsupported(span, "a subquery as a value"),
            Expr::AnyOp { compare_op: BinaryOperator::Eq, right, .. } if !matches!(**right, Expr::Subquery(_)) => {}
            Expr::AnyOp { .. } | Expr::AllOp { .. } => self.check.unsupported(span, "ANY and ALL comparison"),
            Expr::Lambda(_) => self.check.unsupported(span, "a lambda"),
            Expr::Prior(_) => self.check.unsupported(span, "CONNECT BY"),
            Expr::MatchAgainst { .. } => self.check.unsupported(span, "MATCH AGAINST"),
            Expr::OuterJoin(_) => self.check.unsupported(span, "(+)"),
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                self.check.unsupported(span, "a parameter");
            }
            _ => {}
        }
    }

    /// `a.b[1].c`: the names in front are a column's; those behind are members, and no columns.
    fn path(&mut self, root: &Expr, chain: &[AccessExpr]) {
        for access in chain {
            if let AccessExpr::Dot(name @ Expr::Identifier(_)) = access {
                self.no_columns.push(std::ptr::from_ref(name));
            }
        }
        if let Expr::Identifier(first) = root {
            self.no_columns.push(std::ptr::from_ref(root));
            let names = chain.iter().take(leading_names(root, chain)).filter_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
                _ => None,
            });
            let path: Vec<Ident> = std::iter::once(first.clone()).chain(names).collect();
            self.check.column(&path, self.place);
        }
    }

    fn named_type(&mut self, ty: &sqlparser::ast::DataType, span: Option<Span>) {
        if let Err(message) = scalar_type(ty) {
            self.check.found.push(Diagnostic::error(code::TYPE, span, message));
        }
    }

    fn pattern(&mut self, pattern: &Expr, escape: Option<&ValueWithSpan>) {
        let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) = pattern else { return };
        let escape = escape.and_then(|escape| match &escape.value {
            Value::SingleQuotedString(escape) => escape.chars().next(),
            _ => None,
        });
        self.check.found.extend(open_escape(text, escape, span_of(*span)));
    }

    fn function(&mut self, function: &Function) {
        let span = span_of(function.name.span());
        let name = function_name(function);
        let registry = registry();
        if let FunctionArguments::List(list) = &function.args {
            for argument in &list.args {
                if let FunctionArg::ExprNamed { name, .. } = argument {
                    self.no_columns.push(std::ptr::from_ref(name));
                }
            }
        }
        if function.over.is_some() || registry.unsupported_window_functions.contains(&name) {
            self.check.unsupported(span, format!("the window function {name}(...) OVER"));
            return;
        }
        if name == "unnest" {
            self.check.unsupported(span, "unnest");
        } else if name == "metadata" {
            let hint = "declare a column: name TYPE METADATA FROM 'key'";
            self.check.error(code::COLUMN, span, "metadata(...) is not allowed in this context", hint);
        } else if OTHER_WINDOWS.contains(&name.as_str()) {
            self.check.unsupported(span, format!("the time window {name}"));
        } else if registry.unsupported_aggregates.contains(&name) {
            self.check.unsupported(span, format!("the aggregate function {name}"));
        } else if name == TUMBLE {
            self.tumble(function, span);
        } else if registry.aggregates.contains_key(&name) {
            self.aggregate(function, &name, span);
        } else if name == ROW_TIME && self.place == Place::Table {
            self.misplaced(span, "row_time", "a column is computed before the row has an event time");
        } else if name == ROW_TIME && self.check.is_updating() {
            self.check.unsupported(span, "row_time() of updated rows");
        } else if name == ROW_TIME && !self.check.is_timed() {
            self.check.unsupported(span, "row_time() of the result of a time window");
        } else if !registry.scalars.contains_key(&name) {
            let hint = did_you_mean(&name, registry.names())
                .unwrap_or_else(|| "docs/sql.md lists the functions; there are no user-defined ones yet".to_owned());
            self.check.error(code::UNKNOWN_FUNCTION, span, format!("function \"{name}\" does not exist"), hint);
        } else if function.filter.is_some() || !function.within_group.is_empty() {
            self.misplaced(span, &name, "FILTER and WITHIN GROUP belong to aggregate functions");
        } else if has_aggregate_clause(function) {
            self.misplaced(span, &name, "DISTINCT, ORDER BY and RESPECT NULLS belong to aggregate functions");
        }
    }

    fn misplaced(&mut self, span: Option<Span>, name: &str, hint: &str) {
        self.check.error(code::GROUPING, span, format!("function {name} is not allowed in this context"), hint);
    }

    fn tumble(&mut self, function: &Function, span: Option<Span>) {
        let allowed = matches!(self.place, Place::GroupBy | Place::Projection | Place::Having);
        if !allowed || (self.place == Place::GroupBy && self.inside > 0) {
            let message = "time window function tumble is not allowed in this context";
            let hint = "a window is a group key of its own: GROUP BY tumble(interval '10 seconds')";
            self.check.error(code::WINDOW, span, message, hint);
            return;
        }
        let arguments = match &function.args {
            FunctionArguments::List(list) => list.args.len(),
            _ => 0,
        };
        if arguments != 1 {
            let message = format!("tumble takes one argument, the width of the window, not {arguments}");
            self.check.error(code::WINDOW, span, message, "write tumble(interval '10 seconds')");
        }
    }

    fn aggregate(&mut self, function: &Function, name: &str, span: Option<Span>) {
        match self.place {
            Place::Projection | Place::Having => {}
            Place::Where => {
                return self.misplaced(span, name, "filter groups with HAVING");
            }
            Place::On => return self.misplaced(span, name, "aggregate in a sub-select, and join its rows"),
            Place::GroupBy => return self.misplaced(span, name, "an aggregate cannot be a group key"),
            Place::Table => return self.misplaced(span, name, "columns of a table are computed from one row"),
        }
        if self.aggregates > 0 {
            let hint = "keep one of them: an aggregate has one value for each group";
            return self.check.error(code::GROUPING, span, "aggregate function calls cannot be nested", hint);
        }
        let FunctionArguments::List(list) = &function.args else { return };
        if is_distinct(function) && matches!(name, "sum" | "avg" | "mean") {
            self.check.unsupported(span, format!("{name}(DISTINCT ...)"));
        }
        if !list.clauses.is_empty() || !function.within_group.is_empty() || function.null_treatment.is_some() {
            self.check.unsupported(span, format!("ORDER BY or another clause in {name}(...)"));
        }
        if list.args.len() > 1 {
            self.check.unsupported(span, format!("{name} of several arguments"));
        }
        let star = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
        if name != "count" && list.args.iter().any(star) {
            self.check.error(code::TYPES, span, format!("{name}(*) does not exist"), "only count takes a star");
        }
    }
}
