//! The joins that a pipeline does: of rows that are in time windows, by the window.
//!
//! Both sides have a column that is the window of the row, as a `tumble(...)` has made it and projections, filters, unions and
//! other such joins have passed it on, or its start or end; the windows are of one width; and the condition says that
//! they are equal: `ON a.key = b.key AND a.window = b.window`. What else it says to be equal on both sides is a key, the
//! rest is a condition on pairs of rows.
//!
//! So every row has a moment from which it finds no further partner, which is when the watermark passes its window's end.
//! No other join has that; they are refused, once a query is bound, with the place of the join. So are joins of updated
//! rows, which would have to take back pairs.
//!
//! Not here: which kinds of joins there are (the check of the syntax tree), what the sides send (lowering).

use std::ops::ControlFlow;

use compiler_ir::{JoinKind, WindowPart};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{JoinType, NullEquality, ScalarValue};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator};
use sqlparser::ast::{Join as SqlJoin, JoinConstraint, Query, Select, Spanned, TableFactor, Visit, Visitor};

use crate::check::join_name;
use crate::diagnostic::{Diagnostic, Span, span_of};
use crate::scope::is_updating;
use crate::translate::place;
use crate::using::constraint;
use crate::window::TumbleNode;

/// The conditions of a windowed join, each in its parts for the left side and the right.
pub(crate) struct Conditions<'a> {
    pub(crate) kind: JoinKind,
    /// Of the windows, in nanoseconds.
    pub(crate) width: i64,
    pub(crate) window: [&'a Expr; 2],
    /// What of the window these are.
    pub(crate) part: WindowPart,
    pub(crate) keys: Vec<[&'a Expr; 2]>,
    pub(crate) rest: Vec<&'a Expr>,
}

/// Why a join is no windowed join.
pub(crate) enum Refusal {
    Kind,
    /// A side's rows are taken back and replaced.
    Updated,
    /// A side has no window.
    NoWindow,
    NotByWindow,
    Widths([i64; 2]),
}

impl<'a> Conditions<'a> {
    /// # Errors
    /// When a pipeline does not do the join.
    pub(crate) fn of(join: &'a Join) -> Result<Self, Refusal> {
        let Some(kind) = kind_of(join).filter(|_| join.null_equality == NullEquality::NullEqualsNothing) else {
            return Err(Refusal::Kind);
        };
        if is_updating(&join.left) || is_updating(&join.right) {
            return Err(Refusal::Updated);
        }
        let mut equal = Vec::new();
        let mut rest = Vec::new();
        for (left, right) in &join.on {
            equal.push(by_side(left, right, join).ok_or(Refusal::NotByWindow)?);
        }
        for part in join.filter.iter().flat_map(split_conjunction) {
            let sides = match part {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => by_side(left, right, join),
                _ => None,
            };
            match sides {
                Some(sides) => equal.push(sides),
                None => rest.push(part),
            }
        }
        let mut window: Option<([&Expr; 2], WindowPart, i64)> = None;
        let mut widths = None;
        let mut keys = Vec::new();
        for sides in equal {
            match (window_of(sides[0], &join.left), window_of(sides[1], &join.right)) {
                // Equal starts have equal ends: said once is enough.
                (Some(left), Some(right)) if left == right => window = window.or(Some((sides, left.0, left.1))),
                (Some(left), Some(right)) if left.0 == right.0 => widths = Some([left.1, right.1]),
                _ => keys.push(sides),
            }
        }
        match (window, widths) {
            (_, Some(widths)) => Err(Refusal::Widths(widths)),
            (Some((window, part, width)), None) => Ok(Conditions { kind, width, window, part, keys, rest }),
            (None, None) if has_window(&join.left) && has_window(&join.right) => Err(Refusal::NotByWindow),
            (None, None) => Err(Refusal::NoWindow),
        }
    }
}

impl Refusal {
    pub(crate) fn diagnostic(&self, join: &Join, span: Option<Span>) -> Diagnostic {
        let name = kind_of(join).map_or("this kind of join", join_name);
        match self {
            Refusal::Kind => Diagnostic::unsupported(span, name),
            Refusal::Updated => Diagnostic::unsupported(span, format!("{name} of updated rows")),
            Refusal::NoWindow => Diagnostic::unsupported(span, format!("{name} of rows that are in no time window")),
            Refusal::NotByWindow => Diagnostic::unsupported(span, format!("{name} that is not by the time window"))
                .with_hint("say that the windows are equal: ON a.key = b.key AND a.window = b.window"),
            Refusal::Widths([left, right]) => {
                let [left, right] = [left, right].map(|width| compiler_ir::print::duration(*width));
                Diagnostic::unsupported(span, format!("{name} of time windows of different widths"))
                    .with_detail(format!("the windows are {left} wide on the left side, {right} on the right"))
                    .with_hint("give tumble(...) the same width on both sides")
            }
        }
    }
}

/// What is wrong with the joins of a bound query, whose syntax tree is `query`.
pub(crate) fn refused(plan: &LogicalPlan, query: &Query) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let walked = plan.apply(|node| {
        if let LogicalPlan::Join(join) = node
            && let Err(refusal) = Conditions::of(join)
        {
            let error = refusal.diagnostic(join, place_of(join, query).or(span_of(query.body.span())));
            if !found.contains(&error) {
                found.push(error);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "the walk itself does not fail");
    found
}

/// Whether a pipeline does all joins of a plan.
pub(crate) fn are_supported(plan: &LogicalPlan) -> bool {
    let refused = plan.exists(|node| Ok(matches!(node, LogicalPlan::Join(join) if Conditions::of(join).is_err())));
    matches!(refused, Ok(false))
}

/// Which kind of join it is, if a pipeline does that kind.
pub(crate) fn kind_of(join: &Join) -> Option<JoinKind> {
    match join.join_type {
        JoinType::Inner => Some(JoinKind::Inner),
        JoinType::Left => Some(JoinKind::Left),
        JoinType::Right => Some(JoinKind::Right),
        JoinType::Full => Some(JoinKind::Full),
        _ => None,
    }
}

/// The operands of an equality between the sides, the left side's first.
fn by_side<'a>(first: &'a Expr, second: &'a Expr, join: &Join) -> Option<[&'a Expr; 2]> {
    let reads = |expr: &Expr, side: &LogicalPlan| {
        let columns = expr.column_refs();
        let known = columns.iter().all(|column| side.schema().maybe_index_of_column(column).is_some());
        known && !columns.is_empty() && !expr.is_volatile()
    };
    if reads(first, &join.left) && reads(second, &join.right) {
        Some([first, second])
    } else if reads(second, &join.left) && reads(first, &join.right) {
        Some([second, first])
    } else {
        None
    }
}

/// What of the row's window an expression over a plan's rows is, and how wide that is.
fn window_of(expr: &Expr, input: &LogicalPlan) -> Option<(WindowPart, i64)> {
    match expr {
        Expr::Alias(alias) => window_of(&alias.expr, input),
        Expr::Column(column) => window_in(input, input.schema().maybe_index_of_column(column)?),
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
            let [base, Expr::Literal(ScalarValue::Utf8(Some(member)), _)] = call.args.as_slice() else { return None };
            match (window_of(base, input)?, member.as_str()) {
                ((WindowPart::Whole, width), "start") => Some((WindowPart::Start, width)),
                ((WindowPart::Whole, width), "end") => Some((WindowPart::End, width)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The same of a column.
fn window_in(plan: &LogicalPlan, index: usize) -> Option<(WindowPart, i64)> {
    match plan {
        LogicalPlan::Projection(projection) => window_of(projection.expr.get(index)?, &projection.input),
        LogicalPlan::Filter(filter) => window_in(&filter.input, index),
        LogicalPlan::SubqueryAlias(alias) => window_in(&alias.input, index),
        LogicalPlan::Union(union) => {
            let mut all = union.inputs.iter().map(|input| window_in(input, index));
            let first = all.next()??;
            all.all(|other| other == Some(first)).then_some(first)
        }
        LogicalPlan::Extension(extension) => {
            let tumble = extension.node.as_any().downcast_ref::<TumbleNode>()?;
            (index == tumble.window).then_some((WindowPart::Whole, tumble.width))
        }
        // Where a row has no partner, that one's window is null.
        LogicalPlan::Join(join) => {
            let [keeps_left, keeps_right] = kind_of(join)?.keeps();
            match index.checked_sub(join.left.schema().fields().len()) {
                None => window_in(&join.left, index).filter(|_| !keeps_right),
                Some(index) => window_in(&join.right, index).filter(|_| !keeps_left),
            }
        }
        _ => None,
    }
}

fn has_window(plan: &LogicalPlan) -> bool {
    (0..plan.schema().fields().len()).any(|index| window_in(plan, index).is_some())
}

/// Where the right side of a join stands: of the join whose condition has its columns.
fn place_of(join: &Join, query: &Query) -> Option<Span> {
    let pairs = join.on.iter().flat_map(|(left, right)| [left, right]);
    let columns = pairs.chain(&join.filter).flat_map(Expr::column_refs);
    let within = columns.filter_map(|column| column.spans().first()).map(place).min_by_key(|span| span.start)?;
    let mut find = Find { within, found: None };
    let _ = query.visit(&mut find);
    find.found
}

struct Find {
    within: Span,
    found: Option<Span>,
}

impl Find {
    fn joins<'j>(&mut self, joins: impl IntoIterator<Item = &'j SqlJoin>) -> ControlFlow<()> {
        for join in joins {
            if let Some((_, JoinConstraint::On(condition))) = constraint(&join.join_operator)
                && let Some(span) = span_of(condition.span())
                && span.start <= self.within.start
                && self.within.end <= span.end
            {
                self.found = span_of(join.relation.span());
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Find {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.joins(select.from.iter().flat_map(|item| &item.joins))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => self.joins(&table_with_joins.joins),
            _ => ControlFlow::Continue(()),
        }
    }
}
