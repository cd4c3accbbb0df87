//! What stands before guards what comes after it.
//!
//! SQL evaluates the right side of AND and OR, the branches of CASE and the later arguments of coalesce for the rows that
//! reach them: `b = 0 OR 100 / b > 5` never divides by zero. DataFusion's simplification does not know that something can
//! fail. `(a AND x) OR (b AND x)` becomes `x AND (a OR b)`, and of a CASE of truth values it makes ORs, which evaluate the
//! second condition where the first one holds. So an operator that guards what can fail is hidden while expressions are
//! simplified, in a call of [`InOrder`] that no rule knows; its operands are simplified, each by itself.
//!
//! Not here: the conditions of a filter, which change places too ([`crate::filters`]).
//!
//! Cost: one walk. What the operands of a cast are is asked of DataFusion, which walks them again.

use std::sync::Arc;

use arrow::datatypes::DataType;
use compiler_ir::expr::cast_always_fits;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, Result, internal_err};
use datafusion_expr::expr::{Case, Cast, ScalarFunction};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, binary_expr,
};
use schema::ScalarType;

/// Whether evaluating the expression can end the job, as far as can be told here: when in doubt it can.
pub(crate) fn can_fail(expr: &Expr, schema: &DFSchema) -> bool {
    expr.exists(|part| Ok(fails(part, schema))).unwrap_or(true)
}

/// Whether an operation can fail by itself, whatever its operands are made of.
fn fails(expr: &Expr, schema: &DFSchema) -> bool {
    use Operator::{
        And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or, RegexIMatch, RegexMatch,
        RegexNotIMatch, RegexNotMatch, StringConcat,
    };
    match expr {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::Literal(..)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::InList(_)
        | Expr::TryCast(_) => false,
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) => match op {
            And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom | StringConcat => false,
            RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch => !is_constant(right),
            _ => true,
        },
        Expr::Like(like) | Expr::SimilarTo(like) => !is_constant(&like.pattern),
        Expr::Cast(cast) => !fits(cast, schema),
        Expr::ScalarFunction(call) => call.func.name() != "get_field",
        _ => true,
    }
}

fn is_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..))
}

/// Whether every value has one of the type that it is cast to.
fn fits(cast: &Cast, schema: &DFSchema) -> bool {
    let from = cast.expr.get_type(schema).ok().and_then(|ty| ScalarType::from_arrow(&ty).ok());
    let to = ScalarType::from_arrow(cast.field.data_type()).ok();
    from.zip(to).is_some_and(|(from, to)| cast_always_fits(&from, &to))
}

/// The expression with the operators hidden that guard something.
pub(crate) fn hide(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(hide_below(expr, schema)?.0)
}

/// Also whether the expression can fail.
fn hide_below(expr: Expr, schema: &DFSchema) -> Result<(Expr, bool)> {
    let fails = fails(&expr, schema);
    let guard = guard(&expr, schema)?;
    let mut operands_fail = Vec::new();
    let expr = expr.map_children(|operand| {
        let (operand, fails) = hide_below(operand, schema)?;
        operands_fail.push(fails);
        Ok(Transformed::yes(operand))
    })?;
    let expr = match guard {
        Some((unguarded, ty)) if operands_fail.iter().skip(unguarded).any(|fails| *fails) => in_order(expr.data, ty),
        _ => expr.data,
    };
    Ok((expr, fails || operands_fail.contains(&true)))
}

/// Of an operator that does not evaluate all operands for all rows: how many it does, the first ones, and its type.
fn guard(expr: &Expr, schema: &DFSchema) -> Result<Option<(usize, DataType)>> {
    Ok(match expr {
        // A constant on the left decides by itself, so there is nothing to keep.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, .. }) if !is_constant(left) => {
            Some((1, DataType::Boolean))
        }
        Expr::Case(case) => Some((1 + usize::from(case.expr.is_some()), expr.get_type(schema)?)),
        Expr::ScalarFunction(call) if call.func.name() == "coalesce" => Some((1, expr.get_type(schema)?)),
        _ => None,
    })
}

/// The expression with the operators that [`hide`] has hidden.
pub(crate) fn show(expr: Expr) -> Result<Expr> {
    expr.transform_up(|expr| match expr {
        Expr::ScalarFunction(call) => Ok(match call.func.inner().downcast_ref::<InOrder>() {
            Some(hidden) => Transformed::yes(hidden.operator.of(call.args)),
            None => Transformed::no(Expr::ScalarFunction(call)),
        }),
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn in_order(expr: Expr, ty: DataType) -> Expr {
    let (operator, args) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => (Guard::Connective(op), vec![*left, *right]),
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let operator = Guard::Case { operand: expr.is_some(), otherwise: else_expr.is_some() };
            let branches = when_then_expr.into_iter().flat_map(|(when, then)| [when, then]);
            (operator, expr.into_iter().chain(branches).chain(else_expr).map(|operand| *operand).collect())
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => (Guard::Call(func), args),
        other => return other,
    };
    let hidden = InOrder { operator, ty, signature: Signature::variadic_any(Volatility::Volatile) };
    Expr::ScalarFunction(ScalarFunction { func: Arc::new(ScalarUDF::from(hidden)), args })
}

/// An operator whose operands have become arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Guard {
    /// AND or OR.
    Connective(Operator),
    /// `operand`: it has one before the first WHEN; `otherwise`: it has an ELSE.
    Case {
        operand: bool,
        otherwise: bool,
    },
    Call(Arc<ScalarUDF>),
}

impl Guard {
    fn of(&self, args: Vec<Expr>) -> Expr {
        match self {
            Guard::Connective(op) => {
                let all = args.into_iter().reduce(|left, right| binary_expr(left, *op, right));
                all.expect("a connective has operands")
            }
            Guard::Case { operand, otherwise } => {
                let mut args = args.into_iter().map(Box::new);
                let operand = if *operand { args.next() } else { None };
                let otherwise = if *otherwise { args.next_back() } else { None };
                let mut branches = Vec::with_capacity(args.len() / 2);
                while let (Some(when), Some(then)) = (args.next(), args.next()) {
                    branches.push((when, then));
                }
                Expr::Case(Case::new(operand, branches, otherwise))
            }
            Guard::Call(func) => Expr::ScalarFunction(ScalarFunction { func: Arc::clone(func), args }),
        }
    }
}

/// An operator in disguise: a function that no rule evaluates, moves or looks into.
#[derive(Debug, PartialEq, Eq, Hash)]
struct InOrder {
    operator: Guard,
    ty: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for InOrder {
    fn name(&self) -> &str {
        "in_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.ty.clone())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a hidden operator is not evaluated")
    }
}
