//! Text compared with numbers.
//!
//! DataFusion reads the text as a number: `WHERE user_id <> 123` would end the job at the first user whose id is
//! none. So before it settles types, a numeric constant that stands beside text becomes text, written as CAST writes
//! it, and both are compared as texts are: `'9' > 10`. Text and a number that is no constant are not compared.
//!
//! A text constant beside a number stays what it is: `price = '5'` compares numbers, as in PostgreSQL.

use std::iter;

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError, Diagnostic, Result, Span};
use datafusion_expr::expr::Case;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Volatility};
use datafusion_optimizer::analyzer::AnalyzerRule;

use crate::constants::is_computed;
use crate::translate::sql_type;

#[derive(Debug)]
pub(crate) struct TextComparisons;

impl AnalyzerRule for TextComparisons {
    fn name(&self) -> &str {
        "text_comparisons"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up(settle_node)?.data)
    }
}

fn settle_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if plan.inputs().is_empty() {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let settled = expr.transform_up(|expr| settle(expr, &schema))?;
        Ok(match settled.transformed {
            true => settled.update_data(|expr| name.restore(expr)),
            false => settled,
        })
    })
}

fn settle(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            let op = if *op == Operator::NotEq { "<>".to_owned() } else { op.to_string() };
            as_text(vec![left.as_mut(), right.as_mut()], &op, schema)?
        }
        Expr::Between(between) => {
            let values = vec![between.expr.as_mut(), between.low.as_mut(), between.high.as_mut()];
            as_text(values, ">=", schema)?
        }
        Expr::InList(list) => {
            let values = iter::once(list.expr.as_mut()).chain(list.list.iter_mut());
            as_text(values.collect(), "=", schema)?
        }
        Expr::Case(Case { expr: Some(operand), when_then_expr, .. }) => {
            let values = iter::once(operand.as_mut()).chain(when_then_expr.iter_mut().map(|(when, _)| when.as_mut()));
            as_text(values.collect(), "=", schema)?
        }
        _ => false,
    };
    Ok(Transformed::new_transformed(expr, changed))
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Makes values that are compared with each other text, if one is and is no constant. Whether any was changed.
fn as_text(mut values: Vec<&mut Expr>, op: &str, schema: &DFSchema) -> Result<bool> {
    // What has no type is told by the rule that settles types.
    let types: Vec<Option<DataType>> = values.iter().map(|value| value.get_type(schema).ok()).collect();
    let is = |index: usize, wanted: fn(&DataType) -> bool| types[index].as_ref().is_some_and(wanted);
    let text = (0..values.len()).find(|&index| is(index, is_text) && !is_constant(values[index]));
    let Some(text) = text else { return Ok(false) };
    let mut changed = false;
    for index in 0..values.len() {
        if !is(index, DataType::is_numeric) {
            continue;
        }
        if !is_constant(values[index]) {
            let (first, second) = (text.min(index), text.max(index));
            return Err(no_comparison((&*values[first], &types[first]), op, (&*values[second], &types[second])));
        }
        let number = std::mem::take(values[index]);
        *values[index] = match number {
            Expr::Literal(value, metadata) => Expr::Literal(value.cast_to(&DataType::Utf8)?, metadata),
            other => other.cast_to(&DataType::Utf8, schema)?,
        };
        changed = true;
    }
    Ok(changed)
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether it has one value for all rows, known when planning.
fn is_constant(expr: &Expr) -> bool {
    let mut constant = true;
    let walked = expr.apply(|part| {
        constant &= is_computed(part, Volatility::Immutable);
        Ok(if constant { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    debug_assert!(walked.is_ok(), "the walk itself does not fail");
    constant
}

fn no_comparison(
    (left, left_type): (&Expr, &Option<DataType>),
    op: &str,
    (right, right_type): (&Expr, &Option<DataType>),
) -> DataFusionError {
    let name = |ty: &Option<DataType>| ty.as_ref().map_or_else(|| "UNKNOWN".to_owned(), sql_type);
    let message = format!("operator does not exist: {} {op} {}", name(left_type), name(right_type));
    let span = Span::union_iter(spans(left).into_iter().chain(spans(right)));
    DataFusionError::Plan(message.clone()).with_diagnostic(Diagnostic::new_error(message, span))
}

/// Where the columns of an expression stand.
fn spans(expr: &Expr) -> Vec<Span> {
    let mut found = Vec::new();
    let walked = expr.apply(|part| {
        if let Expr::Column(column) = part {
            found.extend(column.spans().first());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "the walk itself does not fail");
    found
}
