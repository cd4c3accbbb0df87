//! The rules that rewrite a bound plan.
//!
//! From DataFusion: type coercion (once, when a query is bound), then simplification, filters towards the sources,
//! nothing computed that nobody reads. Left out on purpose: rules about joins, sorting and limits, which no plan has;
//! rules that make an empty relation, which no pipeline can run; common subexpressions, which the lowering shares
//! where it pays (kernel calls) and rustc does elsewhere.
//!
//! `now()` and its like are volatile here, so that none is evaluated while planning. Nor are calls that would make
//! something large ([`crate::constants`]). What text and numbers are to each other is settled before DataFusion
//! settles types ([`crate::comparisons`]).
//!
//! The rules substitute expressions for columns. Where that would make too much of them they are left out
//! ([`crate::substitution`]).

use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::TreeNode;
use datafusion_common::{DFSchema, Result};
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::optimizer::OptimizerRule;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::simplify_expressions::{ExprSimplifier, SimplifyExpressions};
use datafusion_optimizer::{Optimizer, OptimizerContext};

use crate::comparisons::TextComparisons;
use crate::constants::{check_sizes, keep_large, keep_large_in};
use crate::{substitution, window};

/// Options of the planner and of every rule.
pub(crate) fn config() -> ConfigOptions {
    let mut config = ConfigOptions::default();
    config.sql_parser.map_string_types_to_utf8view = false;
    config.sql_parser.collect_spans = true;
    config.optimizer.skip_failed_rules = false;
    config.optimizer.max_passes = 3;
    config
}

/// Settles types, and makes windowed aggregates nodes of their own.
pub(crate) fn analyze(plan: LogicalPlan) -> Result<LogicalPlan> {
    window::replace_aggregates(analyze_only(plan)?)
}

pub(crate) fn analyze_only(plan: LogicalPlan) -> Result<LogicalPlan> {
    check_sizes(&plan)?;
    let mut analyzer = Analyzer::new();
    analyzer.rules.insert(0, Arc::new(TextComparisons));
    analyzer.execute_and_check(plan, &config(), |_, _| {})
}

pub(crate) fn simplify_only(plan: LogicalPlan) -> Result<LogicalPlan> {
    run(vec![Arc::new(SimplifyExpressions::new())], keep_large(plan)?)
}

/// The rules for a whole query.
pub(crate) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(OptimizeUnions::new()), Arc::new(SimplifyExpressions::new())];
    if substitution::is_bounded(&plan) {
        if !has_changing_keys(&plan)? {
            rules.push(Arc::new(PushDownFilter::new()));
        }
        rules.push(Arc::new(OptimizeProjections::new()));
    }
    run(rules, keep_large(plan)?)
}

/// Whether a group key, in whose place its expression goes below the groups, would not be the same value there.
fn has_changing_keys(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|plan| match plan {
        LogicalPlan::Aggregate(aggregate) => Ok(aggregate.group_expr.iter().any(Expr::is_volatile)),
        _ => Ok(false),
    })
}

fn run(rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>, plan: LogicalPlan) -> Result<LogicalPlan> {
    let context = OptimizerContext::new_with_config_options(Arc::new(config())).without_query_execution_start_time();
    Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})
}

/// Evaluates an expression that reads no column.
pub(crate) fn simplify_constant(expr: Expr) -> Result<Expr> {
    let schema = Arc::new(DFSchema::empty());
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    let expr = simplifier.coerce(expr, &schema)?;
    simplifier.simplify(keep_large_in(expr)?)
}
