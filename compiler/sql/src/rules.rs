//! The rules that rewrite a bound plan.
//!
//! From DataFusion: type coercion (once, when a query is bound), then simplification, nothing computed that nobody reads.
//! Ours: filters towards the sources, below joins too ([`crate::filters`]). Left out on purpose: rules that make other joins of joins, whose
//! conditions are looked through for windows ([`crate::join`]); rules about sorting and limits, which no plan has; rules that
//! make an empty relation, which no pipeline can run; common subexpressions, which the lowering shares where it pays (kernel
//! calls) and rustc does elsewhere.
//!
//! What SQL evaluates in order stays in order: DataFusion simplifies no operator that guards what can fail
//! ([`crate::guards`]), and its rule for filters, which sorts them, is not used.
//!
//! `now()` and its like are volatile here, so that none is evaluated while planning. Nor are calls that would make
//! something large ([`crate::constants`]). What text and numbers are to each other is settled before DataFusion
//! settles types ([`crate::comparisons`]).
//!
//! The rules substitute expressions for columns. Where that would make too much of them they are left out
//! ([`crate::substitution`]).

use std::sync::{Arc, OnceLock};

use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, Result};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::optimizer::{ApplyOrder, OptimizerRule};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_optimizer::{Optimizer, OptimizerConfig, OptimizerContext};

use crate::comparisons::TextComparisons;
use crate::constants::{check_sizes, keep_large, keep_large_in};
use crate::filters::PushFilters;
use crate::{guards, substitution, window};

/// Options of the planner and of every rule. Made once: there are some hundreds.
pub(crate) fn config() -> &'static Arc<ConfigOptions> {
    static CONFIG: OnceLock<Arc<ConfigOptions>> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let mut config = ConfigOptions::default();
        config.sql_parser.map_string_types_to_utf8view = false;
        config.sql_parser.collect_spans = true;
        config.optimizer.skip_failed_rules = false;
        config.optimizer.max_passes = 3;
        Arc::new(config)
    })
}

/// Settles types, and makes windowed aggregates nodes of their own.
pub(crate) fn analyze(plan: LogicalPlan) -> Result<LogicalPlan> {
    window::replace_aggregates(analyze_only(plan)?)
}

pub(crate) fn analyze_only(plan: LogicalPlan) -> Result<LogicalPlan> {
    check_sizes(&plan)?;
    let mut analyzer = Analyzer::new();
    analyzer.rules.insert(0, Arc::new(TextComparisons));
    analyzer.execute_and_check(plan, config(), |_, _| {})
}

pub(crate) fn simplify_only(plan: LogicalPlan) -> Result<LogicalPlan> {
    run(vec![Arc::new(Simplify)], keep_large(plan)?)
}

/// The rules for a whole query.
pub(crate) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(OptimizeUnions::new()), Arc::new(Simplify)];
    if substitution::is_bounded(&plan) {
        rules.push(Arc::new(PushFilters));
        rules.push(Arc::new(OptimizeProjections::new()));
    }
    run(rules, keep_large(plan)?)
}

fn run(rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>, plan: LogicalPlan) -> Result<LogicalPlan> {
    let context = OptimizerContext::new_with_config_options(Arc::clone(config())).without_query_execution_start_time();
    Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})
}

/// DataFusion's simplification of expressions, with what guards something left in order.
#[derive(Debug)]
struct Simplify;

impl OptimizerRule for Simplify {
    fn name(&self) -> &str {
        "simplify_expressions"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let schema = match plan.inputs().as_slice() {
            [] => return Ok(Transformed::no(plan)),
            [input] => Arc::clone(input.schema()),
            inputs => Arc::new(merge_schema(inputs)),
        };
        let context =
            SimplifyContext::builder().with_schema(Arc::clone(&schema)).with_config_options(config.options()).build();
        let simplifier = ExprSimplifier::new(context);
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            if is_simple(&expr) {
                return Ok(Transformed::no(expr));
            }
            let name = names.save(&expr);
            let hidden = guards::hide(expr, &schema)?;
            let (simplified, _) = simplifier.simplify_with_cycle_count_transformed(hidden)?;
            simplified.map_data(|expr| Ok(name.restore(guards::show(expr)?)))
        })
    }
}

/// Most expressions of a plan are columns that are passed on.
fn is_simple(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Alias(alias) => is_simple(&alias.expr),
        _ => false,
    }
}

/// Evaluates an expression that reads no column.
pub(crate) fn simplify_constant(expr: Expr) -> Result<Expr> {
    let schema = Arc::new(DFSchema::empty());
    let context = SimplifyContext::builder().with_schema(Arc::clone(&schema)).with_config_options(Arc::clone(config()));
    let simplifier = ExprSimplifier::new(context.build());
    let expr = simplifier.coerce(expr, &schema)?;
    simplifier.simplify(keep_large_in(expr)?)
}
