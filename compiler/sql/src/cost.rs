//! What it takes to plan a statement, estimated on the syntax tree before anything is planned.
//!
//! Three things grow twofold with each level, so that a page of SQL can keep the planner busy for years:
//!
//! - Views, CTEs and memory tables are inlined wherever they are read: `v2` is `v1 UNION ALL v1`, `v3` is `v2`
//!   twice, and so on.
//! - Operands are written several times: `a BETWEEN b AND c` becomes `a >= b AND a <= c`, `coalesce(a, b)` becomes
//!   `CASE WHEN a IS NOT NULL THEN a ELSE b END`, a condition of CASE stands in each of the branches behind it.
//! - DataFusion asks an expression for its type and for whether it may be null, and of some expressions it asks the
//!   parts more than once: a function asks its arguments for both, CASE asks what it tests twice.
//!
//! So each expression has a [`Cost`], made of its parts' as DataFusion would go through them, each relation a
//! [`Size`], and a statement that is beyond the limits is refused where it passes them. The numbers are bounds, not
//! predictions, and saturate.
//!
//! Not here: filters that are moved through projections, which substitutes columns ([`crate::rules`] knows the plan
//! then); what constants are folded to ([`crate::constants`]).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    JoinConstraint, Query, Select, SelectItem, SetExpr, Spanned, TableFactor, TableWithJoins, Value, Visit, Visitor,
};

use crate::check::function_name;
use crate::diagnostic::{Diagnostic, Span, code, span_of};
use crate::parse::{Statement, normalize, single};
use crate::using::constraint;

/// Most operators of a query: selects, conditions, unions, reads, with those of all that is inlined.
const MAX_OPERATORS: u64 = 4_000;

/// Most expressions in the text of a statement: constants, columns, operators, calls.
const MAX_EXPRESSIONS: u64 = 30_000;

/// Most steps of planning a statement; all of them take some seconds.
const MAX_WORK: u64 = 5_000_000;

/// The operators that a join stands for: projections and filters of both sides, and the join itself.
const JOIN_WEIGHT: u64 = 8;

/// To ask a function for its field takes longer than to ask an operator for its type: it makes its name each time.
const CALL_WEIGHT: u64 = 40;

/// The relations that a script has defined so far.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    relations: BTreeMap<String, Size>,
}

impl Costs {
    /// Takes note of what a statement defines. What is wrong with it, if it is too much.
    pub(crate) fn statement(&mut self, statement: &Statement) -> Option<Diagnostic> {
        let mut measure = Measure { scopes: vec![], relations: &self.relations, expressions: 0, work: 0, found: None };
        let defined = match statement {
            Statement::CreateTable(table) => {
                let generated = table.columns.iter().filter_map(|column| column.generated.as_ref());
                for expr in generated.chain(table.watermarks.iter().filter_map(|clause| clause.expr.as_ref())) {
                    measure.expr(expr, None);
                }
                let size = match &table.query {
                    Some(query) => measure.query(query),
                    None => Size::table(table.columns.len() as u64),
                };
                Some((&table.name, size, false))
            }
            Statement::CreateView { name, query, .. } => Some((name, measure.query(query), false)),
            // A memory table stands for the query that fills it.
            Statement::Insert { table, query, .. } => Some((table, measure.query(query), true)),
            Statement::Select { query, .. } => {
                measure.query(query);
                None
            }
            Statement::Set { .. } | Statement::Unsupported { .. } => None,
        };
        let found = measure.found;
        if let Some((name, size, replaces)) = defined {
            let name = normalize(name);
            // What refers to a refused definition is not refused for it.
            let size = if found.is_some() { Size::table(size.columns) } else { size };
            if replaces || !self.relations.contains_key(&name) {
                self.relations.insert(name, size);
            }
        }
        found
    }
}

/// A relation as it is inlined.
#[derive(Clone, Copy, Debug)]
struct Size {
    operators: u64,
    work: u64,
    columns: u64,
}

impl Size {
    const NOTHING: Size = Size { operators: 0, work: 0, columns: 0 };

    fn table(columns: u64) -> Size {
        // The columns of a connector are not known here.
        let columns = columns.max(4);
        Size { operators: 1, work: columns, columns }
    }

    /// Both, side by side.
    fn and(self, other: Size) -> Size {
        Size {
            operators: self.operators.saturating_add(other.operators),
            work: self.work.saturating_add(other.work),
            columns: self.columns.saturating_add(other.columns),
        }
    }

    /// With more operators over its columns.
    fn under(self, operators: u64) -> Size {
        let work = self.columns.saturating_mul(operators);
        self.and(Size { operators, work, columns: 0 })
    }

    fn is_too_large(&self) -> bool {
        self.operators > MAX_OPERATORS || self.work > MAX_WORK
    }
}

/// How many steps it takes to find out about an expression.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Its type.
    ty: u64,
    /// Whether it may be null.
    null: u64,
    /// Both, and its name.
    field: u64,
    /// Whether it is null where something else is.
    bounds: u64,
    /// All of it together, for it and all its parts.
    work: u64,
}

impl Cost {
    const LEAF: Cost = Cost { ty: 1, null: 1, field: 1, bounds: 1, work: 2 };

    fn plus(self, other: Cost) -> Cost {
        Cost {
            ty: self.ty.saturating_add(other.ty),
            null: self.null.saturating_add(other.null),
            field: self.field.saturating_add(other.field),
            bounds: self.bounds.saturating_add(other.bounds),
            work: self.work.saturating_add(other.work),
        }
    }

    /// The expression so many times.
    fn times(self, n: u64) -> Cost {
        Cost {
            ty: self.ty.saturating_mul(n),
            null: self.null.saturating_mul(n),
            field: self.field.saturating_mul(n),
            bounds: self.bounds.saturating_mul(n),
            work: self.work.saturating_mul(n),
        }
    }

    fn sum<'c>(costs: impl IntoIterator<Item = &'c Cost>) -> Cost {
        costs.into_iter().fold(Cost::default(), |sum, cost| sum.plus(*cost))
    }

    /// An operator of operands that cost this together.
    fn operator(self) -> Cost {
        let (ty, null, field) = (self.ty.saturating_add(1), self.null.saturating_add(1), self.field.saturating_add(1));
        let bounds = null.saturating_add(self.bounds);
        Cost { ty, null, field, bounds, work: self.work.saturating_add(ty).saturating_add(null) }
    }

    /// A call with arguments that cost this together: whatever is asked, all of them are asked for their fields.
    fn call(self) -> Cost {
        let field = self.field.saturating_add(1);
        let work = self.work.saturating_add(field.saturating_mul(CALL_WEIGHT));
        Cost { ty: field, null: field, field, bounds: field.saturating_add(self.bounds), work }
    }

    /// `IS NULL` and its like.
    fn test(self) -> Cost {
        let bounds = self.null.saturating_add(self.ty).saturating_add(self.bounds);
        Cost { ty: 1, null: 1, field: 1, bounds: bounds.saturating_add(1), work: self.work.saturating_add(2) }
    }

    /// `CASE`, searched. `repeated`: how often each condition stands in what it is rewritten to.
    fn case(whens: Cost, thens: Cost, otherwise: Cost, repeated: u64) -> Cost {
        let results = thens.plus(otherwise);
        let ty = results.ty.saturating_add(1);
        let null = results.null.saturating_add(whens.bounds).saturating_add(1);
        let mut case = Cost { ty, null, field: ty.saturating_add(null), bounds: null, work: 0 };
        if repeated > 1 {
            let connected = whens.times(repeated).plus(results).operator();
            case.ty = case.ty.max(connected.ty);
            case.null = case.null.max(connected.null);
            case.field = case.field.max(connected.field);
            case.bounds = case.bounds.max(connected.bounds);
        }
        let parts = whens.work.saturating_mul(repeated).saturating_add(results.work);
        case.work = parts.saturating_add(case.ty).saturating_add(case.null);
        case
    }

    /// `coalesce`, which becomes CASE. `tested`: all arguments but the last.
    fn coalesce(tested: Cost, last: Cost) -> Cost {
        let call = tested.plus(last).call();
        let case = Cost::case(tested.test(), tested, last, 1);
        let work = case.work.saturating_add(call.field.saturating_mul(CALL_WEIGHT));
        Cost { field: case.field.max(call.field), work, ..case }
    }
}

/// The measuring of one statement.
struct Measure<'a> {
    /// CTEs, the innermost last.
    scopes: Vec<BTreeMap<String, Size>>,
    relations: &'a BTreeMap<String, Size>,
    expressions: u64,
    /// What is planned, but not part of the query: CTEs, where they are defined.
    work: u64,
    found: Option<Diagnostic>,
}

impl Measure<'_> {
    fn query(&mut self, query: &Query) -> Size {
        self.scopes.push(BTreeMap::new());
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let size = self.query(&cte.query);
            self.work = self.work.saturating_add(size.work);
            if let Some(scope) = self.scopes.last_mut() {
                scope.insert(normalize(&cte.alias.name), size);
            }
        }
        let size = self.set_expr(&query.body);
        self.scopes.pop();
        size
    }

    fn set_expr(&mut self, body: &SetExpr) -> Size {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                let left = self.set_expr(left);
                let size = Size { columns: left.columns, ..left.and(self.set_expr(right)) }.under(1);
                self.limit(size, || span_of(right.span()))
            }
            _ => Size::table(1),
        }
    }

    fn select(&mut self, select: &Select) -> Size {
        let mut input = Size::NOTHING;
        for item in &select.from {
            input = input.and(self.from(item));
        }
        let mut work = 0_u64;
        let mut columns = 0_u64;
        let mut aliases = BTreeMap::new();
        let mut items = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            let cost = match item {
                SelectItem::UnnamedExpr(expr) => self.expr(expr, None),
                SelectItem::ExprWithAlias { expr, alias } => {
                    let cost = self.expr(expr, None);
                    aliases.insert(alias.value.to_lowercase(), cost);
                    cost
                }
                _ => {
                    columns = columns.saturating_add(input.columns);
                    continue;
                }
            };
            columns = columns.saturating_add(1);
            work = work.saturating_add(cost.work);
            items.push(cost);
        }
        if let Some(selection) = &select.selection {
            work = work.saturating_add(self.expr(selection, None).work);
        }
        let groups: &[Expr] = match &select.group_by {
            GroupByExpr::Expressions(groups, _) => groups,
            GroupByExpr::All(_) => &[],
        };
        for group in groups {
            let cost = match position(group).and_then(|position| items.get(position)) {
                Some(item) => *item,
                None => self.expr(group, Some(&aliases)),
            };
            work = work.saturating_add(cost.work);
        }
        // Each item is looked for among the groups.
        work = work.saturating_add((groups.len() as u64).saturating_mul(items.len() as u64));
        if let Some(having) = &select.having {
            work = work.saturating_add(self.expr(having, Some(&aliases)).work);
        }
        let clauses = [select.selection.is_some(), !groups.is_empty(), select.having.is_some()];
        let operators = 1 + clauses.iter().filter(|clause| **clause).count() as u64;
        let size = Size { work: input.work.saturating_add(work), columns, ..input }.under(operators);
        self.limit(size, || span_of(select.select_token.0.span))
    }

    fn from(&mut self, item: &TableWithJoins) -> Size {
        let mut size = self.factor(&item.relation);
        for join in &item.joins {
            size = size.and(self.factor(&join.relation)).under(JOIN_WEIGHT);
            if let Some((_, JoinConstraint::On(condition))) = constraint(&join.join_operator) {
                size.work = size.work.saturating_add(self.expr(condition, None).work);
            }
        }
        size
    }

    fn factor(&mut self, factor: &TableFactor) -> Size {
        match factor {
            TableFactor::Table { name, .. } => match single(name) {
                Some(ident) => {
                    let size = self.relation(&normalize(&ident)).under(1);
                    self.limit(size, || span_of(ident.span))
                }
                None => Size::table(1),
            },
            TableFactor::Derived { subquery, .. } => self.query(subquery).under(1),
            TableFactor::NestedJoin { table_with_joins, .. } => self.from(table_with_joins),
            _ => Size::table(1),
        }
    }

    fn relation(&self, name: &str) -> Size {
        let cte = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        cte.or_else(|| self.relations.get(name)).copied().unwrap_or(Size::table(1))
    }

    /// Refuses what is too large, once.
    fn limit(&mut self, size: Size, span: impl FnOnce() -> Option<Span>) -> Size {
        let all = Size { work: size.work.saturating_add(self.work), ..size };
        if all.is_too_large() && self.found.is_none() {
            let message = match size.operators > MAX_OPERATORS {
                true => format!("the query is too large: more than {MAX_OPERATORS} operators with those of its views"),
                false => "the query is too large: its expressions and those of its views are too many".to_owned(),
            };
            self.found =
                Some(Diagnostic::error(code::TOO_DEEP, span(), message).with_hint(
                    "views and WITH queries are copied for each time that they are read: read them less often",
                ));
        }
        size
    }

    /// `aliases`: what names may stand for beside columns.
    fn expr(&mut self, expr: &Expr, aliases: Option<&BTreeMap<String, Cost>>) -> Cost {
        let mut visitor =
            Weigh { aliases, open: vec![vec![]], expressions: &mut self.expressions, found: &mut self.found };
        let _ = expr.visit(&mut visitor);
        let cost = visitor.open.pop().and_then(|costs| costs.first().copied()).unwrap_or(Cost::LEAF);
        // The whole has a field, too.
        Cost { work: cost.work.saturating_add(cost.field.saturating_mul(CALL_WEIGHT)), ..cost }
    }
}

/// `GROUP BY 1`: the place in the select list.
fn position(group: &Expr) -> Option<usize> {
    match group {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.to_string().parse::<usize>().ok()?.checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}

/// Goes through an expression from its leaves upwards.
struct Weigh<'a> {
    aliases: Option<&'a BTreeMap<String, Cost>>,
    /// For each expression that is open, the costs of its parts so far.
    open: Vec<Vec<Cost>>,
    expressions: &'a mut u64,
    found: &'a mut Option<Diagnostic>,
}

impl Visitor for Weigh<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<()> {
        self.open.push(vec![]);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let parts = self.open.pop().unwrap_or_default();
        let cost = match expr {
            Expr::Identifier(ident) => self.name(ident),
            other => cost_of(other, &parts),
        };
        *self.expressions += 1;
        let finding = if cost.work > MAX_WORK {
            Some((
                "the expression is too complex".to_owned(),
                "CASE, BETWEEN, IN and coalesce repeat what is inside them: compute that in a sub-select, under a name",
            ))
        } else if *self.expressions > MAX_EXPRESSIONS {
            let message = format!("the statement is too long: it has more than {MAX_EXPRESSIONS} expressions");
            Some((message, "split it with views"))
        } else {
            None
        };
        if let Some((message, hint)) = finding
            && self.found.is_none()
        {
            *self.found = Some(Diagnostic::error(code::TOO_DEEP, span_of(expr.span()), message).with_hint(hint));
        }
        if let Some(outer) = self.open.last_mut() {
            outer.push(cost);
        }
        ControlFlow::Continue(())
    }
}

impl Weigh<'_> {
    fn name(&self, ident: &Ident) -> Cost {
        let alias = self.aliases.and_then(|aliases| aliases.get(&ident.value.to_lowercase()));
        alias.copied().unwrap_or(Cost::LEAF)
    }
}

/// The cost of an expression whose parts, in the order of the text, cost `parts`.
fn cost_of(expr: &Expr, parts: &[Cost]) -> Cost {
    let all = Cost::sum(parts);
    match (expr, parts) {
        (_, []) => Cost::LEAF,
        (Expr::Nested(_), [inner]) => *inner,
        (Expr::Between { .. }, [tested, bounds @ ..]) => tested.times(2).plus(Cost::sum(bounds)).operator(),
        (Expr::InList { expr, list, .. }, [tested, items @ ..]) => {
            tested.times(comparisons(expr, list)).plus(Cost::sum(items)).operator()
        }
        (Expr::AnyOp { right, .. }, [tested, list]) => tested.times(items(right) + 1).plus(*list).operator(),
        (Expr::BinaryOp { op, left, right }, _) => all.times(copies(op, left, right)).operator(),
        (Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right), _) => {
            all.times(copies(&BinaryOperator::Spaceship, left, right)).operator()
        }
        (Expr::Case { operand, conditions, .. }, _) => case(operand.is_some(), conditions, parts),
        (
            Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_),
            _,
        ) => all.test(),
        (
            Expr::UnaryOp { .. }
            | Expr::Cast { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::SimilarTo { .. }
            | Expr::Collate { .. },
            _,
        ) => all.operator(),
        (Expr::Function(function), [first, rest @ ..]) => call(function, *first, rest),
        _ => all.call(),
    }
}

fn case(with_operand: bool, conditions: &[CaseWhen], parts: &[Cost]) -> Cost {
    let branches = conditions.len();
    let (operand, parts) = match parts.split_first() {
        Some((operand, rest)) if with_operand => (*operand, rest),
        _ => (Cost::default(), parts),
    };
    let (pairs, otherwise) = parts.split_at(parts.len().min(2 * branches));
    let whens = Cost::sum(pairs.iter().step_by(2));
    let thens = Cost::sum(pairs.iter().skip(1).step_by(2));
    // A CASE of truth values becomes a disjunction, if few of its branches are true.
    let is_truth = |value: &Value| matches!(value, Value::Boolean(_) | Value::Null);
    let truth = |condition: &CaseWhen| is_constant(&condition.result, &is_truth);
    let other = |condition: &CaseWhen| is_constant(&condition.result, &|value: &Value| !is_truth(value));
    let connected = !with_operand && !conditions.iter().any(other) && (branches < 3 || conditions.iter().all(truth));
    let repeated = if connected { branches as u64 + 1 } else { 1 };
    let case = Cost::case(whens, thens, Cost::sum(otherwise), repeated);
    // The operand is compared with each.
    let work = case.work.saturating_add(operand.work.saturating_mul(branches as u64));
    Cost { bounds: case.bounds.saturating_add(operand.bounds), work, ..case }
}

fn call(function: &Function, first: Cost, rest: &[Cost]) -> Cost {
    let others = Cost::sum(rest);
    match function_name(function).as_str() {
        "coalesce" | "nvl" | "ifnull" | "nvl2" => match rest.split_last() {
            Some((last, between)) => Cost::coalesce(first.plus(Cost::sum(between)), *last),
            None => first.call(),
        },
        "array_has" | "list_has" | "array_contains" | "list_contains" => {
            let items = arguments(function).next().map_or(1, items);
            first.plus(others.times(items + 1)).call()
        }
        "regexp_like" => first.times(MAX_ALTERNATIVES).plus(others).call(),
        _ => first.plus(others).call(),
    }
}

/// Of a pattern with so many alternatives DataFusion makes a comparison each.
const MAX_ALTERNATIVES: u64 = 4;

/// How many times an operand is written.
fn copies(op: &BinaryOperator, left: &Expr, right: &Expr) -> u64 {
    use BinaryOperator as B;
    match op {
        B::PGRegexMatch | B::PGRegexIMatch | B::PGRegexNotMatch | B::PGRegexNotIMatch => MAX_ALTERNATIVES,
        B::Spaceship if is_range(left) || is_range(right) => 3,
        B::Eq | B::NotEq if is_range(left) || is_range(right) => 2,
        _ => 1,
    }
}

/// How many times the left side of `IN` is.
fn comparisons(tested: &Expr, list: &[Expr]) -> u64 {
    let others = list.iter().filter(|item| !is_constant(item, &|_: &Value| true)).count() as u64;
    let ranges = if is_range(tested) && list.len() <= 3 { 2 * list.len() as u64 } else { 1 };
    ranges.max(others + 1)
}

/// A call that equals a constant exactly where its argument is in a range.
fn is_range(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_range(inner),
        Expr::Floor { .. } | Expr::Extract { .. } => true,
        Expr::Function(function) => matches!(function_name(function).as_str(), "floor" | "date_part" | "datepart"),
        _ => false,
    }
}

/// Whether it is a constant, with a sign or a type or without, of such a value.
fn is_constant(expr: &Expr, wanted: &dyn Fn(&Value) -> bool) -> bool {
    match expr {
        Expr::Value(value) => wanted(&value.value),
        Expr::TypedString(typed) => wanted(&typed.value.value),
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } | Expr::Cast { expr: inner, .. } => {
            is_constant(inner, wanted)
        }
        _ => false,
    }
}

/// The length of a list that is written out.
fn items(list: &Expr) -> u64 {
    match list {
        Expr::Nested(inner) => items(inner),
        Expr::Array(array) => array.elem.len() as u64,
        Expr::Function(function) => arguments(function).count() as u64,
        _ => 1,
    }
}

fn arguments(function: &Function) -> impl Iterator<Item = &Expr> {
    let args: &[FunctionArg] = match &function.args {
        FunctionArguments::List(list) => &list.args,
        _ => &[],
    };
    args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}
