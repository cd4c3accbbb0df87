//! The windowed aggregate as a node of the logical plan. One without a window stays DataFusion's own.
//!
//! SQL writes a window as a group key, `GROUP BY tumble(interval '10 seconds')`. To DataFusion that is an aggregate
//! over the value of a function, and its rules would push filters on the window below the aggregate or fold its
//! keys. So as soon as types are settled the aggregate becomes this node, which the rules leave alone.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use arrow::datatypes::IntervalMonthDayNano;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchemaRef, Result, ScalarValue, internal_err, plan_err};
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::functions::TUMBLE;
use crate::rules;

/// Output: the group keys with the window among them, then the aggregates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TumbleNode {
    pub(crate) input: LogicalPlan,
    pub(crate) keys: Vec<Expr>,
    pub(crate) aggregates: Vec<Expr>,
    /// Nanoseconds.
    pub(crate) width: i64,
    /// Position of the window among the group columns.
    pub(crate) window: usize,
    pub(crate) schema: DFSchemaRef,
}

impl PartialOrd for TumbleNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.width.partial_cmp(&other.width) {
            Some(Ordering::Equal) => self.keys.partial_cmp(&other.keys),
            order => order,
        }
    }
}

impl UserDefinedLogicalNodeCore for TumbleNode {
    fn name(&self) -> &str {
        "Tumble"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys.iter().chain(&self.aggregates).cloned().collect()
    }

    /// A filter on the window or on an aggregate is about whole groups; one on a plain key column could go below,
    /// where the key is a column of the same name.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let mut kept: HashSet<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        for key in &self.keys {
            if let Expr::Column(column) = key {
                let same_name = self.schema.fields().iter().filter(|field| field.name() == &column.name).count();
                if same_name == 1 {
                    kept.remove(&column.name);
                }
            }
        }
        kept
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (keys, aggregates) = (list(&self.keys), list(&self.aggregates));
        write!(f, "Tumble: width={}ns, keys=[{keys}], aggregates=[{aggregates}]", self.width)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else { return internal_err!("Tumble has one input") };
        if exprs.len() < self.keys.len() {
            return internal_err!("Tumble has {} keys", self.keys.len());
        }
        let aggregates = exprs.split_off(self.keys.len());
        Ok(TumbleNode { input, keys: exprs, aggregates, ..self.clone() })
    }
}

/// Replaces every windowed aggregate of an analyzed plan.
///
/// # Errors
/// An aggregate with two windows, a width that is not a constant length of time.
pub(crate) fn replace_aggregates(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up(|plan| match plan {
        LogicalPlan::Aggregate(aggregate) => Ok(Transformed::yes(replace(aggregate)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(plan.data)
}

fn replace(aggregate: Aggregate) -> Result<LogicalPlan> {
    let mut window = None;
    let mut keys = Vec::new();
    for (position, group) in aggregate.group_expr.iter().enumerate() {
        match group.clone().unalias() {
            Expr::ScalarFunction(call) if call.func.name() == TUMBLE => {
                if window.is_some() {
                    return plan_err!("GROUP BY has more than one time window");
                }
                let [width] = call.args.as_slice() else { return plan_err!("tumble takes one argument") };
                window = Some((position, width_nanos(width)?));
            }
            key if calls_tumble(&key)? => return plan_err!("a time window must be a group key by itself"),
            key => keys.push(key),
        }
    }
    let Some((window, width)) = window else { return Ok(LogicalPlan::Aggregate(aggregate)) };
    let node = TumbleNode {
        input: Arc::unwrap_or_clone(aggregate.input),
        keys,
        aggregates: aggregate.aggr_expr,
        width,
        window,
        schema: aggregate.schema,
    };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

fn calls_tumble(expr: &Expr) -> Result<bool> {
    let mut found = false;
    expr.apply(|expr| {
        found |= matches!(expr, Expr::ScalarFunction(call) if call.func.name() == TUMBLE);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The nanoseconds of an interval without months; `None`: too many.
pub(crate) fn length_nanos(interval: IntervalMonthDayNano) -> Option<i64> {
    let IntervalMonthDayNano { months: _, days, nanoseconds } = interval;
    i64::from(days).checked_mul(86_400_000_000_000)?.checked_add(nanoseconds)
}

fn width_nanos(width: &Expr) -> Result<i64> {
    let constant = match width {
        Expr::Literal(..) => width.clone(),
        other => rules::simplify_constant(other.clone())?,
    };
    let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) = constant else {
        return plan_err!("the width of a time window must be a constant interval");
    };
    if value.months != 0 {
        return plan_err!("windows do not support durations specified as months");
    }
    match length_nanos(value) {
        Some(nanos) if nanos > 0 => Ok(nanos),
        Some(_) => plan_err!("the width of a time window must be more than 0"),
        None => plan_err!("the width of a time window is too large"),
    }
}
