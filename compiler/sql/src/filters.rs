//! Filters towards the sources, in the order of the query.
//!
//! DataFusion's own rule sorts the conditions of a filter: what it takes for cheap goes first, and a cast is cheap. Of
//! `s ~ '^[0-9]+$' AND CAST(s AS INT) > 5` it would make a job that ends at the first text that is no number. Here the
//! conditions of a query stay in its order, those of the views that it reads before them. A condition goes down as far as
//! its columns let it; one that can fail ([`crate::guards`]) does not overtake another that stays above.
//!
//! A join asks conditions of pairs, once their window is over. One that reads a single side goes to that side, whose rows
//! are kept until then, with those of ON: where the side keeps no rows without a partner, for ON; where the other one
//! keeps none, for what stands above, which would see nulls in their place. Rows that find no partner are asked too, then,
//! so it must be one that cannot fail.
//!
//! Not here: which conditions run first because they are cheap (the lowering's, which knows what native code is); what
//! a condition above an outer join says of the rows without a partner; limits and sorting, which no plan has.

use std::sync::Arc;

use compiler_ir::JoinKind;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, ExpressionPlacement, Extension, Filter, Join, LogicalPlan, Projection};
use datafusion_optimizer::OptimizerConfig;
use datafusion_optimizer::optimizer::{ApplyOrder, OptimizerRule};

use crate::guards::can_fail;
use crate::join::kind_of;

#[derive(Debug)]
pub(crate) struct PushFilters;

impl OptimizerRule for PushFilters {
    fn name(&self) -> &str {
        "push_filters"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) => push(split_conjunction_owned(filter.predicate), filter.input),
            LogicalPlan::Join(join) => push_below_join(Vec::new(), join),
            other => Ok(Transformed::no(other)),
        }
    }
}

/// The conditions, one node further down; that node is visited next.
fn push(conditions: Vec<Expr>, input: Arc<LogicalPlan>) -> Result<Transformed<LogicalPlan>> {
    match Arc::unwrap_or_clone(input) {
        LogicalPlan::Filter(filter) => {
            let mut all = split_conjunction_owned(filter.predicate);
            let below = all.len();
            for condition in conditions {
                if condition.is_volatile() || !all[..below].contains(&condition) {
                    all.push(condition);
                }
            }
            Ok(Transformed::yes(push(all, filter.input)?.data))
        }
        LogicalPlan::SubqueryAlias(mut alias) => {
            let conditions = over_columns(conditions, &alias.schema, alias.input.schema())?;
            alias.input = Arc::new(filtered(conditions, alias.input)?);
            Ok(Transformed::yes(LogicalPlan::SubqueryAlias(alias)))
        }
        LogicalPlan::Union(mut union) => {
            for input in &mut union.inputs {
                let conditions = over_columns(conditions.clone(), &union.schema, input.schema())?;
                *input = Arc::new(filtered(conditions, Arc::clone(input))?);
            }
            Ok(Transformed::yes(LogicalPlan::Union(union)))
        }
        LogicalPlan::Projection(projection) => push_below_projection(conditions, projection),
        LogicalPlan::Extension(extension) => push_below_groups(conditions, extension),
        LogicalPlan::Aggregate(aggregate) => push_below_aggregate(conditions, aggregate),
        LogicalPlan::Join(join) => push_below_join(conditions, join),
        other => Ok(Transformed::no(filtered(conditions, Arc::new(other))?)),
    }
}

fn push_below_projection(conditions: Vec<Expr>, mut projection: Projection) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(&projection.schema);
    let stands_for = |column: &Column| schema.maybe_index_of_column(column).map(|index| &projection.expr[index]);
    let goes = |condition: &Expr| !condition.column_refs().into_iter().filter_map(stands_for).any(is_computed_once);
    let (kept, pushed) = split(conditions, &schema, goes);
    if pushed.is_empty() {
        return Ok(Transformed::no(filtered(kept, Arc::new(LogicalPlan::Projection(projection)))?));
    }
    let pushed: Result<Vec<Expr>> = pushed
        .into_iter()
        .map(|condition| over(condition, &schema, |index| projection.expr[index].clone().unalias_nested().data))
        .collect();
    projection.input = Arc::new(filtered(pushed?, projection.input)?);
    Ok(Transformed::yes(filtered(kept, Arc::new(LogicalPlan::Projection(projection)))?))
}

/// Whether a column is not to be computed for a filter and once more for who reads it: each time it could have another
/// value, or it is a look into a struct or into JSON text.
fn is_computed_once(expr: &Expr) -> bool {
    expr.is_volatile() || expr.placement() == ExpressionPlacement::MoveTowardsLeafNodes
}

/// Below the groups of a time window goes what asks for keys only.
fn push_below_groups(conditions: Vec<Expr>, extension: Extension) -> Result<Transformed<LogicalPlan>> {
    let node = &extension.node;
    let of_groups = node.prevent_predicate_push_down_columns();
    let goes = |condition: &Expr| {
        !condition.is_volatile() && condition.column_refs().iter().all(|column| !of_groups.contains(&column.name))
    };
    let (kept, pushed) = split(conditions, node.schema(), goes);
    if pushed.is_empty() {
        return Ok(Transformed::no(filtered(kept, Arc::new(LogicalPlan::Extension(extension)))?));
    }
    let inputs: Result<Vec<LogicalPlan>> =
        node.inputs().into_iter().map(|input| filtered(pushed.clone(), Arc::new(input.clone()))).collect();
    let node = node.with_exprs_and_inputs(node.expressions(), inputs?)?;
    Ok(Transformed::yes(filtered(kept, Arc::new(LogicalPlan::Extension(Extension { node })))?))
}

/// The same of an aggregate without a window, with what its keys stand for. One on an aggregate is about whole groups.
fn push_below_aggregate(conditions: Vec<Expr>, mut aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(&aggregate.schema);
    let key = |column: &Column| schema.maybe_index_of_column(column).and_then(|index| aggregate.group_expr.get(index));
    let goes = |condition: &Expr| {
        let columns = condition.column_refs();
        let of_keys = |column| key(column).is_some_and(|key| !is_computed_once(key));
        !condition.is_volatile() && !columns.is_empty() && columns.into_iter().all(of_keys)
    };
    let (kept, pushed) = split(conditions, &schema, goes);
    if pushed.is_empty() {
        return Ok(Transformed::no(filtered(kept, Arc::new(LogicalPlan::Aggregate(aggregate)))?));
    }
    let pushed: Result<Vec<Expr>> = pushed
        .into_iter()
        .map(|condition| over(condition, &schema, |index| aggregate.group_expr[index].clone().unalias_nested().data))
        .collect();
    aggregate.input = Arc::new(filtered(pushed?, aggregate.input)?);
    Ok(Transformed::yes(filtered(kept, Arc::new(LogicalPlan::Aggregate(aggregate)))?))
}

/// To the sides of a join goes what is asked of one of them and cannot fail, of its own condition too.
fn push_below_join(conditions: Vec<Expr>, mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let own = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
    let keeps = kind_of(&join).map_or([true, true], JoinKind::keeps);
    let sides = [Arc::clone(join.left.schema()), Arc::clone(join.right.schema())];
    let side_of = |condition: &Expr| {
        let columns = condition.column_refs();
        let reads_only = |side: &DFSchemaRef| columns.iter().all(|column| side.maybe_index_of_column(column).is_some());
        let side = sides.iter().position(reads_only).filter(|_| !columns.is_empty())?;
        (!condition.is_volatile() && !can_fail(condition, &sides[side])).then_some(side)
    };
    let mut pushed = [Vec::new(), Vec::new()];
    let mut send = |conditions: Vec<Expr>, goes: [bool; 2]| -> Vec<Expr> {
        let mut kept = Vec::new();
        for condition in conditions {
            match side_of(&condition).filter(|side| goes[*side]) {
                Some(side) => pushed[side].push(condition),
                None => kept.push(condition),
            }
        }
        kept
    };
    let own = send(own, keeps.map(|keeps| !keeps));
    let kept = send(conditions, [!keeps[1], !keeps[0]]);
    join.filter = conjunction(own);
    let moved = pushed.iter().any(|pushed| !pushed.is_empty());
    if moved {
        let [left, right] = pushed;
        join.left = Arc::new(filtered(left, join.left)?);
        join.right = Arc::new(filtered(right, join.right)?);
    }
    let plan = filtered(kept, Arc::new(LogicalPlan::Join(join)))?;
    Ok(Transformed::new_transformed(plan, moved))
}

/// The conditions that stay above a node, and those that go below it.
fn split(conditions: Vec<Expr>, schema: &DFSchema, goes: impl Fn(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    let (mut kept, mut pushed) = (Vec::new(), Vec::new());
    for condition in conditions {
        let is_guarded = !kept.is_empty() && can_fail(&condition, schema);
        if goes(&condition) && !is_guarded {
            pushed.push(condition);
        } else {
            kept.push(condition);
        }
    }
    (kept, pushed)
}

fn filtered(conditions: Vec<Expr>, input: Arc<LogicalPlan>) -> Result<LogicalPlan> {
    match conjunction(conditions) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, input)?)),
        None => Ok(Arc::unwrap_or_clone(input)),
    }
}

/// Conditions over the columns of one schema, over those of another that stand at the same places.
fn over_columns(conditions: Vec<Expr>, schema: &DFSchema, below: &DFSchema) -> Result<Vec<Expr>> {
    let column = |index| Expr::Column(Column::from(below.qualified_field(index)));
    conditions.into_iter().map(|condition| over(condition, schema, column)).collect()
}

/// A condition with what its columns stand for, by their places.
fn over(condition: Expr, schema: &DFSchema, stands_for: impl Fn(usize) -> Expr) -> Result<Expr> {
    condition
        .transform_up(|expr| match expr {
            Expr::Column(column) => Ok(Transformed::yes(stands_for(schema.index_of_column(&column)?))),
            other => Ok(Transformed::no(other)),
        })
        .data()
}
