//! What a query asks for that no pipeline does yet, and what does not exist: found on the syntax tree, before
//! anything is bound, so that every finding has its exact place and all of them are told at once.
//!
//! It also knows the scopes of tables and CTEs, for unknown tables. Columns need types and are the binder's.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, JoinOperator, Query, Select,
    SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned, TableFactor, TableWithJoins, Value, Visit, Visitor,
};

use crate::diagnostic::{Diagnostic, Span, code, did_you_mean, span_of};
use crate::functions::{OTHER_WINDOWS, ROW_TIME, TUMBLE, registry};
use crate::parse::normalize;

/// Collects the findings of one statement.
pub(crate) struct Check<'a> {
    /// Names that a FROM may use, outermost scope first; CTEs are pushed on it.
    tables: Vec<BTreeSet<String>>,
    pub(crate) found: &'a mut Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(tables: BTreeSet<String>, found: &'a mut Vec<Diagnostic>) -> Self {
        Check { tables: vec![tables], found }
    }

    fn unsupported(&mut self, span: Option<Span>, what: &str, hint: &str) {
        self.found.push(Diagnostic::unsupported(span, what).with_hint_opt((!hint.is_empty()).then(|| hint.to_owned())));
    }

    pub(crate) fn query(&mut self, query: &Query) {
        let mut ctes = BTreeSet::new();
        if let Some(with) = &query.with {
            if with.recursive {
                self.unsupported(span_of(with.with_token.0.span), "WITH RECURSIVE", "");
                return;
            }
            self.tables.push(BTreeSet::new());
            for cte in &with.cte_tables {
                self.query(&cte.query);
                ctes.insert(normalize(&cte.alias.name));
                if let Some(scope) = self.tables.last_mut() {
                    scope.insert(normalize(&cte.alias.name));
                }
            }
        }
        self.set_expr(&query.body);
        if query.with.is_some() {
            self.tables.pop();
        }
        if let Some(order_by) = &query.order_by {
            self.unsupported(
                span_of(order_by.span()),
                "ORDER BY",
                "a stream has no last row; sort where the output is read",
            );
        }
        if let Some(limit) = &query.limit_clause {
            self.unsupported(span_of(limit.span()), "LIMIT", "a stream has no first rows; bound the source instead");
        }
        if let Some(fetch) = &query.fetch {
            let span = fetch.quantity.as_ref().and_then(|quantity| span_of(quantity.span()));
            self.unsupported(span.or_else(|| span_of(query.body.span())), "FETCH", "");
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
                self.unsupported(span_of(query.body.span()), what, "");
            }
        }
    }

    fn set_expr(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.set_expr(left);
                self.set_expr(right);
                let span = span_of(right.span());
                match (op, set_quantifier) {
                    (SetOperator::Union, SetQuantifier::All) => {}
                    (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => self.unsupported(
                        span,
                        "UNION without ALL",
                        "use UNION ALL: removing duplicates needs all rows of the stream",
                    ),
                    (op, quantifier) => self.unsupported(span, format!("{op} {quantifier}").trim_end(), ""),
                }
            }
            SetExpr::Values(_) => {
                self.unsupported(span_of(body.span()), "VALUES", "read the rows from a table with a connector");
            }
            SetExpr::Table(_) => self.unsupported(span_of(body.span()), "TABLE", "use SELECT * FROM"),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                self.unsupported(span_of(body.span()), "a data-changing statement in a query", "");
            }
        }
    }

    fn select(&mut self, select: &Select) {
        let here = span_of(select.select_token.0.span);
        if let Some(distinct) = &select.distinct
            && !matches!(distinct, sqlparser::ast::Distinct::All)
        {
            self.unsupported(here, "SELECT DISTINCT", "group by the columns and a tumble(...) window");
        }
        let extra = [
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
        ];
        for (present, what) in extra {
            if present {
                self.unsupported(here, what, "");
            }
        }
        if select.from.is_empty() {
            self.unsupported(here, "SELECT without FROM", "read from a table; impulse makes rows at a given rate");
        }
        self.from(&select.from);
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    self.expr(expr, Place::Projection);
                }
                SelectItem::ExprWithAliases { expr, .. } => {
                    self.unsupported(span_of(expr.span()), "several aliases for one expression", "");
                }
                SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {}
            }
        }
        if let Some(selection) = &select.selection {
            self.expr(selection, Place::Where);
        }
        self.grouping(select);
        if let Some(having) = &select.having {
            self.expr(having, Place::Having);
        }
    }

    fn from(&mut self, from: &[TableWithJoins]) {
        for (n, item) in from.iter().enumerate() {
            if n > 0 {
                self.unsupported(span_of(item.relation.span()), "a join", "");
            }
            self.table_factor(&item.relation);
            for join in &item.joins {
                let what = match &join.join_operator {
                    JoinOperator::Inner(_) | JoinOperator::Join(_) => "JOIN",
                    JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => "LEFT JOIN",
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) => "RIGHT JOIN",
                    JoinOperator::FullOuter(_) => "FULL JOIN",
                    JoinOperator::CrossJoin(_) => "CROSS JOIN",
                    _ => "this kind of join",
                };
                self.unsupported(span_of(join.relation.span()), what, "");
                self.table_factor(&join.relation);
            }
        }
    }

    fn table_factor(&mut self, factor: &TableFactor) {
        let span = span_of(factor.span());
        match factor {
            TableFactor::Table { name, args, with_ordinality, version, sample, partitions, with_hints, .. } => {
                let plain = args.is_none()
                    && !with_ordinality
                    && version.is_none()
                    && sample.is_none()
                    && partitions.is_empty()
                    && with_hints.is_empty();
                if args.is_some() {
                    let what = format!("the table function {name}");
                    self.unsupported(span, &what, "time windows stand in GROUP BY: tumble(interval '10 seconds')");
                } else if !plain {
                    self.unsupported(span, "this form of a table in FROM", "");
                } else {
                    match crate::parse::single(name) {
                        Some(ident) => self.table(&ident),
                        None => self.unsupported(
                            span,
                            &format!("the qualified table name {name}"),
                            "all tables of a script are in one schema: use the bare name",
                        ),
                    }
                }
            }
            TableFactor::Derived { lateral, subquery, .. } => {
                if *lateral {
                    self.unsupported(span, "LATERAL", "");
                }
                self.query(subquery);
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.from(std::slice::from_ref(table_with_joins)),
            TableFactor::UNNEST { .. } => self.unsupported(span, "unnest", ""),
            _ => self.unsupported(span, "this kind of table in FROM", ""),
        }
    }

    fn table(&mut self, ident: &Ident) {
        let name = normalize(ident);
        if self.tables.iter().any(|scope| scope.contains(&name)) {
            return;
        }
        let known = self.tables.iter().flatten().map(String::as_str);
        let hint = did_you_mean(&name, known);
        self.found.push(
            Diagnostic::error(code::UNKNOWN_TABLE, span_of(ident.span), format!("table \"{name}\" does not exist"))
                .with_hint_opt(hint),
        );
    }

    /// Aggregates need a window, and a window needs GROUP BY.
    fn grouping(&mut self, select: &Select) {
        let groups: &[Expr] = match &select.group_by {
            GroupByExpr::All(_) => {
                self.unsupported(span_of(select.group_by.span()), "GROUP BY ALL", "list the group keys");
                return;
            }
            GroupByExpr::Expressions(groups, modifiers) => {
                if !modifiers.is_empty() {
                    self.unsupported(span_of(select.group_by.span()), "ROLLUP, CUBE and GROUPING SETS", "");
                }
                groups
            }
        };
        let mut windowed = false;
        for group in groups {
            if matches!(group, Expr::GroupingSets(_) | Expr::Rollup(_) | Expr::Cube(_)) {
                self.unsupported(span_of(group.span()), "ROLLUP, CUBE and GROUPING SETS", "");
            }
            self.expr(group, Place::GroupBy);
            windowed |= self.is_window(group, select);
        }
        if windowed {
            return;
        }
        let tumble = |name: &str| name == TUMBLE;
        for expr in select_exprs(select) {
            if let Some(call) = first_call(expr, &tumble) {
                self.found.push(
                    Diagnostic::error(
                        code::WINDOW,
                        span_of(call),
                        "time window function tumble is not allowed in this context",
                    )
                    .with_hint("Are you missing a GROUP BY clause?"),
                );
            }
        }
        let hint = "group by a time window: GROUP BY tumble(interval '10 seconds')";
        if let (Some(first), Some(last)) = (groups.first(), groups.last()) {
            let span = span_of(first.span().union(&last.span()));
            self.unsupported(span, "GROUP BY without a time window", hint);
            return;
        }
        let aggregate = |name: &str| registry().is_aggregate(name);
        if let Some(call) = select_exprs(select).find_map(|expr| first_call(expr, &aggregate)) {
            self.unsupported(span_of(call), "an aggregate without a time window", hint);
        } else if let Some(having) = &select.having {
            self.unsupported(span_of(having.span()), "HAVING without GROUP BY", "use WHERE");
        }
    }

    /// Whether a group expression is a window: by itself, by an alias, or by its position.
    fn is_window(&self, group: &Expr, select: &Select) -> bool {
        let item = |expr: &Expr| window_call(expr).is_some();
        match group {
            Expr::Identifier(ident) => select.projection.iter().any(|entry| match entry {
                SelectItem::ExprWithAlias { expr, alias } => normalize(alias) == normalize(ident) && item(expr),
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

    /// Functions, subqueries and constructs inside an expression.
    pub(crate) fn expr(&mut self, expr: &Expr, place: Place) {
        let mut visitor = ExprCheck { check: self, place, inside: 0, queries: 0 };
        let _ = expr.visit(&mut visitor);
    }
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Projection,
    Where,
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

pub(crate) fn function_name(function: &Function) -> String {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(normalize).unwrap_or_default(),
        _ => function.name.to_string().to_lowercase(),
    }
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
fn first_call(expr: &Expr, is_wanted: &dyn Fn(&str) -> bool) -> Option<sqlparser::tokenizer::Span> {
    struct Find<'a> {
        is_wanted: &'a dyn Fn(&str) -> bool,
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
                && (self.is_wanted)(&function_name(function))
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
    /// How many subqueries do: those are refused as a whole.
    queries: usize,
}

impl Visitor for ExprCheck<'_, '_> {
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
        if self.queries == 0 {
            self.visit(expr);
        }
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<()> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }
}

impl ExprCheck<'_, '_> {
    fn visit(&mut self, expr: &Expr) {
        let span = span_of(expr.span());
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Exists { .. } => self.check.unsupported(span, "EXISTS (subquery)", ""),
            Expr::InSubquery { .. } => self.check.unsupported(span, "IN (subquery)", "list the values: IN (1, 2)"),
            Expr::Subquery(_) => self.check.unsupported(span, "a subquery as a value", ""),
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                self.check.unsupported(span, "ANY and ALL comparison", "use array_has or IN (...)");
            }
            Expr::Lambda(_) => self.check.unsupported(span, "a lambda", ""),
            Expr::Prior(_) => self.check.unsupported(span, "CONNECT BY", ""),
            Expr::MatchAgainst { .. } => self.check.unsupported(span, "MATCH AGAINST", ""),
            Expr::OuterJoin(_) => self.check.unsupported(span, "(+)", ""),
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                self.check.unsupported(span, "a parameter", "write the value");
            }
            _ => {}
        }
    }

    fn function(&mut self, function: &Function) {
        let span = span_of(function.name.span());
        let name = function_name(function);
        let registry = registry();
        if function.over.is_some() || registry.unsupported_window_functions.contains(&name) {
            self.check.unsupported(span, &format!("the window function {name}(...) OVER"), "");
            return;
        }
        if name == "unnest" {
            self.check.unsupported(span, "unnest", "");
        } else if name == "metadata" {
            self.check.found.push(
                Diagnostic::error(code::COLUMN, span, "metadata(...) is not allowed in this context")
                    .with_hint("declare a column: name TYPE METADATA FROM 'key'"),
            );
        } else if OTHER_WINDOWS.contains(&name.as_str()) {
            self.check.unsupported(span, &format!("the time window {name}"), "use tumble(interval '10 seconds')");
        } else if registry.unsupported_aggregates.contains(&name) {
            self.check.unsupported(
                span,
                &format!("the aggregate function {name}"),
                "the aggregates are count, sum, min, max and avg",
            );
        } else if name == TUMBLE {
            self.tumble(function, span);
        } else if registry.aggregates.contains_key(&name) {
            self.aggregate(function, &name, span);
        } else if name == ROW_TIME && self.place == Place::Table {
            self.misplaced(span, "row_time", "a column is computed before the row has an event time");
        } else if !registry.scalars.contains_key(&name) {
            let hint = did_you_mean(&name, registry.names());
            self.check.found.push(
                Diagnostic::error(code::UNKNOWN_FUNCTION, span, format!("function \"{name}\" does not exist"))
                    .with_hint_opt(hint),
            );
        } else if function.filter.is_some() || !function.within_group.is_empty() {
            self.misplaced(span, &name, "FILTER and WITHIN GROUP belong to aggregate functions");
        }
    }

    fn misplaced(&mut self, span: Option<Span>, name: &str, hint: &str) {
        let message = format!("function {name} is not allowed in this context");
        self.check.found.push(Diagnostic::error(code::GROUPING, span, message).with_hint(hint));
    }

    fn tumble(&mut self, function: &Function, span: Option<Span>) {
        let allowed = matches!(self.place, Place::GroupBy | Place::Projection | Place::Having);
        if !allowed || (self.place == Place::GroupBy && self.inside > 0) {
            let message = "time window function tumble is not allowed in this context";
            let hint = "a window is a group key of its own: GROUP BY tumble(interval '10 seconds')";
            self.check.found.push(Diagnostic::error(code::WINDOW, span, message).with_hint(hint));
            return;
        }
        let arguments = match &function.args {
            FunctionArguments::List(list) => list.args.len(),
            _ => 0,
        };
        if arguments != 1 {
            let message = format!("tumble takes one argument, the width of the window, not {arguments}");
            let hint = "write tumble(interval '10 seconds')";
            self.check.found.push(Diagnostic::error(code::WINDOW, span, message).with_hint(hint));
        }
    }

    fn aggregate(&mut self, function: &Function, name: &str, span: Option<Span>) {
        match self.place {
            Place::Projection | Place::Having => {}
            Place::Where => {
                return self.misplaced(span, name, "filter groups with HAVING");
            }
            Place::GroupBy => return self.misplaced(span, name, "an aggregate cannot be a group key"),
            Place::Table => return self.misplaced(span, name, "columns of a table are computed from one row"),
        }
        let FunctionArguments::List(list) = &function.args else { return };
        let distinct = list.duplicate_treatment == Some(sqlparser::ast::DuplicateTreatment::Distinct);
        if distinct && matches!(name, "sum" | "avg" | "mean") {
            self.check.unsupported(span, &format!("{name}(DISTINCT ...)"), "count(DISTINCT ...) is supported");
        }
        if !list.clauses.is_empty() || !function.within_group.is_empty() || function.null_treatment.is_some() {
            self.check.unsupported(span, &format!("ORDER BY or another clause in {name}(...)"), "");
        }
        if list.args.len() > 1 {
            self.check.unsupported(span, &format!("{name} of several arguments"), "");
        }
        let star = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
        if name != "count" && list.args.iter().any(star) {
            let message = format!("{name}(*) does not exist");
            self.check.found.push(Diagnostic::error(code::TYPES, span, message).with_hint("only count takes a star"));
        }
    }
}
