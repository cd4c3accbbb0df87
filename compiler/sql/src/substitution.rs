//! What the rules make of expressions when they put one in the place of another.
//!
//! A filter that moves below a projection has the projection's expressions instead of its columns, and projections
//! that become one have too. Below `SELECT a + a AS a FROM (SELECT a + a AS a FROM ...)` a filter on `a` doubles with
//! each level; and an expression in the place of a column is nested deeper than the parser lets any be. A plan where
//! that goes too far keeps its filters and projections where they are: it is right, if slower.

use datafusion_common::DFSchema;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::expr::{InList, ScalarFunction};
use datafusion_expr::{Expr, LogicalPlan};

use crate::parse::MAX_DEPTH;
use crate::window::TumbleNode;

/// Most parts of all filters together, where they end up.
const MAX_PARTS: u64 = 200_000;

/// Whether the rules may move filters and merge projections.
pub(crate) fn is_bounded(plan: &LogicalPlan) -> bool {
    let below = Below::of(plan);
    below.filters <= MAX_PARTS && below.depth <= 2 * MAX_DEPTH
}

/// A plan, as an expression above it would find it.
struct Below {
    /// For each column the parts that a reference to it becomes, in all branches together.
    columns: Vec<u64>,
    /// How many branches a filter would be copied to.
    branches: u64,
    /// How deep an expression may come to be nested, that reads only columns.
    depth: usize,
    /// The parts of all filters so far.
    filters: u64,
}

impl Below {
    fn of(plan: &LogicalPlan) -> Below {
        match plan {
            LogicalPlan::Projection(projection) => {
                let mut below = Below::of(&projection.input);
                let mut columns = Vec::with_capacity(projection.expr.len());
                let mut deepest = 0;
                for expr in &projection.expr {
                    let (parts, depth) = below.substituted(expr, projection.input.schema());
                    columns.push(parts);
                    deepest = deepest.max(depth);
                }
                below.depth += deepest;
                below.columns = columns;
                below
            }
            LogicalPlan::Filter(filter) => {
                let mut below = Below::of(&filter.input);
                let (parts, depth) = below.substituted(&filter.predicate, filter.input.schema());
                below.filters = below.filters.saturating_add(parts);
                below.depth += depth;
                below
            }
            LogicalPlan::SubqueryAlias(alias) => Below::of(&alias.input),
            LogicalPlan::Union(union) => {
                let width = union.schema.fields().len();
                let mut all = Below { columns: vec![0; width], branches: 0, depth: 0, filters: 0 };
                for input in &union.inputs {
                    let below = Below::of(input);
                    for (column, parts) in all.columns.iter_mut().zip(&below.columns) {
                        *column = column.saturating_add(*parts);
                    }
                    all.branches = all.branches.saturating_add(below.branches);
                    all.depth = all.depth.max(below.depth);
                    all.filters = all.filters.saturating_add(below.filters);
                }
                all
            }
            LogicalPlan::Aggregate(aggregate) => {
                let mut below = Below::of(&aggregate.input);
                let mut columns = Vec::with_capacity(aggregate.schema.fields().len());
                let mut deepest = 0;
                // A filter on keys alone goes below the groups, with the keys' expressions.
                for key in &aggregate.group_expr {
                    let (parts, depth) = below.substituted(key, aggregate.input.schema());
                    columns.push(parts);
                    deepest = deepest.max(depth);
                }
                columns.resize(aggregate.schema.fields().len(), 1);
                below.depth += deepest;
                below.columns = columns;
                below
            }
            LogicalPlan::Join(join) => {
                let (left, right) = (Below::of(&join.left), Below::of(&join.right));
                let mut both = Below {
                    columns: left.columns.iter().chain(&right.columns).copied().collect(),
                    branches: left.branches.saturating_add(right.branches),
                    depth: left.depth.max(right.depth),
                    filters: left.filters.saturating_add(right.filters),
                };
                // A condition may go down to either side, and what is known of one side's keys to the other.
                if let Some(condition) = &join.filter {
                    let (parts, depth) = both.substituted(condition, &join.schema);
                    both.filters = both.filters.saturating_add(parts.saturating_mul(2));
                    both.depth += depth;
                }
                both
            }
            LogicalPlan::Extension(extension) => {
                let below = extension.node.inputs().first().map(|input| Below::of(input));
                match (below, extension.node.as_any().downcast_ref::<TumbleNode>()) {
                    (Some(below), Some(tumble)) => below.grouped(tumble),
                    _ => Below::leaf(plan),
                }
            }
            other => {
                let mut leaf = Below::leaf(plan);
                for input in other.inputs() {
                    let below = Below::of(input);
                    leaf.depth = leaf.depth.max(below.depth);
                    leaf.filters = leaf.filters.saturating_add(below.filters);
                }
                leaf
            }
        }
    }

    fn leaf(plan: &LogicalPlan) -> Below {
        Below { columns: vec![1; plan.schema().fields().len()], branches: 1, depth: 0, filters: 0 }
    }

    /// A filter on a key that is a column goes below the groups.
    fn grouped(self, tumble: &TumbleNode) -> Below {
        let input = tumble.input.schema();
        let key = |expr: &Expr| match expr {
            Expr::Column(_) => self.substituted(expr, input).0,
            _ => 1,
        };
        let mut columns: Vec<u64> = tumble.keys.iter().map(key).collect();
        columns.insert(tumble.window.min(columns.len()), 1);
        columns.resize(tumble.schema.fields().len(), 1);
        Below { columns, ..self }
    }

    /// How many parts an expression has with what its columns stand for, and how deep it is nested by itself.
    fn substituted(&self, expr: &Expr, schema: &DFSchema) -> (u64, usize) {
        if let Expr::Column(column) = expr {
            let parts = schema.maybe_index_of_column(column).and_then(|index| self.columns.get(index));
            return (parts.copied().unwrap_or(1), 1);
        }
        let (mut all, mut deepest) = (0_u64, 0);
        let walked = expr.apply_children(|part| {
            let (parts, depth) = self.substituted(part, schema);
            all = all.saturating_add(parts);
            deepest = deepest.max(depth);
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(walked.is_ok(), "the walk itself does not fail");
        (all.saturating_mul(copies(expr)).saturating_add(self.branches), deepest + 1)
    }
}

/// How many times simplification may write the parts of an expression.
fn copies(expr: &Expr) -> u64 {
    match expr {
        Expr::Between(_) => 2,
        Expr::Case(case) => (case.when_then_expr.len() as u64).clamp(1, 3) + 1,
        Expr::InList(InList { list, .. }) if list.iter().all(|item| matches!(item, Expr::Literal(..))) => 2,
        Expr::InList(InList { list, .. }) => list.len() as u64 + 1,
        Expr::ScalarFunction(ScalarFunction { func, .. }) if matches!(func.name(), "coalesce" | "nvl" | "nvl2") => 2,
        _ => 1,
    }
}
