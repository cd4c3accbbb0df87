//! Constants that must not become their values while planning.
//!
//! DataFusion computes what reads no column. `repeat('x', 2147483647)` would take the planner's memory, and what
//! `range(0, 100000)` makes would stand in the generated code, item by item. So before it does, a call whose value may
//! be large is marked [`Late`]: volatile, which the rules leave alone. It is computed by its kernel when the pipeline
//! runs. What is small in the end, such as `array_length(range(0, 100000))`, is computed still.
//!
//! A call that is known to make more than [`MAX_TEXT`] or [`MAX_ITEMS`] for each row is refused: a batch has thousands
//! of rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion_expr::expr::{Cast, ScalarFunction};
use datafusion_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

/// Most bytes of a constant that is made while planning, and stands in the generated code.
const MAX_FOLDED: u64 = 64 << 10;

/// Most bytes of any value on the way to it.
const MAX_COMPUTED: u64 = 16 << 20;

/// Most bytes of text that a call may make for each row, where the query says how many they are.
const MAX_TEXT: u64 = 1 << 20;

/// Most items of a list.
const MAX_ITEMS: u64 = 1 << 17;

/// Of a value that is no text, or an item of a list.
const VALUE_BYTES: u64 = 16;

/// Refuses calls whose results are known to be enormous.
///
/// # Errors
/// The first such call.
pub(crate) fn check_sizes(plan: &LogicalPlan) -> Result<()> {
    let check = |expr: &Expr| -> Result<TreeNodeRecursion> {
        if let Expr::ScalarFunction(call) = expr {
            check_size(call)?;
        }
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply(|node| node.apply_expressions(|expr| expr.apply(check)))?;
    Ok(())
}

fn check_size(call: &ScalarFunction) -> Result<()> {
    let name = call.func.name();
    let number = |index: usize| call.args.get(index).and_then(count);
    let (size, most, what) = match (name, call.args.as_slice()) {
        ("repeat", [Expr::Literal(text, _), ..]) => {
            (number(1).map(|count| count.saturating_mul(bytes(text))), MAX_TEXT, "bytes")
        }
        ("lpad" | "rpad", _) => (number(1), MAX_TEXT, "letters"),
        ("array_repeat" | "array_resize", _) => (number(1), MAX_ITEMS, "items"),
        ("range" | "generate_series", args) => (steps(args), MAX_ITEMS, "items"),
        _ => return Ok(()),
    };
    match size {
        Some(size) if size > most => {
            plan_err!("the result of {name} is too large: it has {size} {what} for each row; {most} are allowed")
        }
        _ => Ok(()),
    }
}

/// Marks the calls of a plan that are to be computed late.
pub(crate) fn keep_large(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up(|plan| plan.map_expressions(|expr| expr.transform_down(keep)))?.data)
}

/// The same of an expression.
pub(crate) fn keep_large_in(expr: Expr) -> Result<Expr> {
    Ok(expr.transform_down(keep)?.data)
}

fn keep(expr: Expr) -> Result<Transformed<Expr>> {
    let Some(Bytes { value, most }) = Bytes::of(&expr) else { return Ok(Transformed::no(expr)) };
    if value <= MAX_FOLDED && most <= MAX_COMPUTED {
        return Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump));
    }
    Ok(match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if value > MAX_FOLDED && !is_written_out(&func) => {
            let func = Arc::new(ScalarUDF::from(Late::new(func)));
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        other => Transformed::no(other),
    })
}

/// The most bytes that a constant expression can take.
#[derive(Clone, Copy)]
struct Bytes {
    /// Its value.
    value: u64,
    /// The largest of the values on the way to it.
    most: u64,
}

impl Bytes {
    /// `None` when the expression is not computed while planning.
    fn of(expr: &Expr) -> Option<Bytes> {
        if let Expr::Literal(value, _) = expr {
            let value = bytes(value);
            return Some(Bytes { value, most: value });
        }
        if !is_computed(expr, Volatility::Stable) {
            return None;
        }
        let mut parts = Some(Bytes { value: 0, most: 0 });
        let walked = expr.apply_children(|part| {
            parts = match (parts, Bytes::of(part)) {
                (Some(all), Some(part)) => {
                    Some(Bytes { value: all.value.saturating_add(part.value), most: all.most.max(part.most) })
                }
                _ => None,
            };
            Ok(if parts.is_some() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        debug_assert!(walked.is_ok(), "the walk itself does not fail");
        let Bytes { value: all, most } = parts?;
        let value = match expr {
            Expr::ScalarFunction(call) => made(call, all),
            _ => all.saturating_mul(2),
        };
        // The type is asked for only where it matters.
        let value = if value > MAX_FOLDED && is_single(expr) { VALUE_BYTES } else { value.max(VALUE_BYTES) };
        Some(Bytes { value, most: most.max(value) })
    }
}

/// The most bytes that a call makes of arguments that have so many together.
fn made(call: &ScalarFunction, all: u64) -> u64 {
    let times = |count: Option<u64>| all.saturating_mul(count.unwrap_or(u64::MAX));
    match call.func.name() {
        "repeat" | "lpad" | "rpad" | "array_repeat" | "array_resize" => times(call.args.get(1).and_then(count)),
        "range" | "generate_series" => steps(&call.args).unwrap_or(u64::MAX).saturating_mul(VALUE_BYTES),
        "replace" | "regexp_replace" | "array_to_string" => times(Some(all)),
        _ if is_written_out(&call.func) => all,
        _ => all.saturating_mul(32),
    }
}

/// Whether what it makes stands in the text of the query.
fn is_written_out(function: &ScalarUDF) -> bool {
    matches!(function.name(), "make_array" | "struct" | "named_struct" | "map")
}

/// Whether its value is known when planning if those of all its parts are. `most`: what functions may be.
pub(crate) fn is_computed(expr: &Expr, most: Volatility) -> bool {
    match expr {
        Expr::ScalarFunction(call) => call.func.signature().volatility <= most,
        Expr::Column(_)
        | Expr::OuterReferenceColumn(..)
        | Expr::ScalarVariable(..)
        | Expr::Placeholder(_)
        | Expr::AggregateFunction(_)
        | Expr::WindowFunction(_)
        | Expr::ScalarSubquery(_)
        | Expr::InSubquery(_)
        | Expr::Exists(_) => false,
        _ => true,
    }
}

/// Whether its value is a number, a time or a truth value.
fn is_single(expr: &Expr) -> bool {
    expr.get_type(&DFSchema::empty())
        .is_ok_and(|ty| ty.is_primitive() || matches!(ty, DataType::Boolean | DataType::Null))
}

fn bytes(value: &ScalarValue) -> u64 {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            text.len() as u64
        }
        ScalarValue::Binary(Some(bytes)) | ScalarValue::LargeBinary(Some(bytes)) => bytes.len() as u64,
        ScalarValue::List(_) | ScalarValue::LargeList(_) | ScalarValue::Struct(_) | ScalarValue::Map(_) => {
            value.size() as u64
        }
        _ => VALUE_BYTES,
    }
}

/// A whole number that is written out.
fn whole(expr: &Expr) -> Option<i64> {
    let value = match expr {
        Expr::Literal(value, _) => value,
        Expr::Cast(Cast { expr, .. }) => match expr.as_ref() {
            Expr::Literal(value, _) => value,
            _ => return None,
        },
        _ => return None,
    };
    match value.data_type().is_integer().then(|| value.cast_to(&DataType::Int64)) {
        Some(Ok(ScalarValue::Int64(number))) => number,
        _ => None,
    }
}

/// How many times: none, if the number is negative.
fn count(expr: &Expr) -> Option<u64> {
    whole(expr).map(|number| u64::try_from(number).unwrap_or(0))
}

/// How many numbers `range(stop)`, `range(start, stop)` or `range(start, stop, step)` has, or one less.
fn steps(args: &[Expr]) -> Option<u64> {
    let (start, stop, step) = match args {
        [stop] => (0, whole(stop)?, 1),
        [start, stop] => (whole(start)?, whole(stop)?, 1),
        [start, stop, step] => (whole(start)?, whole(stop)?, whole(step)?),
        _ => return None,
    };
    let towards = (stop >= start) == (step > 0);
    Some(if towards && step != 0 { stop.abs_diff(start) / step.unsigned_abs() } else { 0 })
}

/// A function that no rule evaluates or moves.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Late {
    function: Arc<ScalarUDF>,
    signature: Signature,
}

impl Late {
    fn new(function: Arc<ScalarUDF>) -> Self {
        let mut signature = function.signature().clone();
        signature.volatility = Volatility::Volatile;
        Late { function, signature }
    }
}

impl ScalarUDFImpl for Late {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.function.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.inner().coerce_types(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.invoke_with_args(args)
    }
}
