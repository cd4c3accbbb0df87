//! The functions that a query may call.
//!
//! Scalar functions come from the `kernels` crate, which can also run them. Here are those that have no kernel,
//! because the lowering gives them their meaning: `tumble(width)`, the window of the row, and `row_time()`, its event
//! time. Both are volatile to DataFusion, so that no rule evaluates or moves them.
//!
//! Aggregates are the five that the pipeline can merge; the names of DataFusion's others are known, to be refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion_common::{DFSchema, Result, exec_err};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::{
    AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use schema::ScalarType;
use sqlparser::ast::BinaryOperator;

pub(crate) const TUMBLE: &str = "tumble";
pub(crate) const ROW_TIME: &str = "row_time";

/// Time windows that are functions in GROUP BY, as users know them; `tumble` is the one that is supported.
pub(crate) const OTHER_WINDOWS: &[&str] = &["hop", "session", "cumulate"];

const AGGREGATES: &[&str] = &["count", "sum", "min", "max", "avg"];

/// How functions are called that have no documentation of their own.
const SYNTAX: &[(&str, &str)] = &[
    (TUMBLE, "tumble(interval '10 seconds')"),
    (ROW_TIME, "row_time()"),
    ("position", "position(substr IN str)"),
    ("trim", "trim(str)"),
    ("extract", "extract(day FROM time)"),
    ("json_get", "json_get(json, name_or_number[, ...])"),
    ("json_get_str", "json_get_str(json, name_or_number[, ...])"),
    ("json_get_int", "json_get_int(json, name_or_number[, ...])"),
    ("json_get_float", "json_get_float(json, name_or_number[, ...])"),
    ("json_get_bool", "json_get_bool(json, name_or_number[, ...])"),
    ("json_get_json", "json_get_json(json, name_or_number[, ...])"),
    ("json_get_array", "json_get_array(json, name_or_number[, ...])"),
    ("json_as_text", "json_as_text(json, name_or_number[, ...])"),
    ("json_contains", "json_contains(json, name_or_number[, ...])"),
    ("json_length", "json_length(json[, name_or_number, ...])"),
    ("json_object_keys", "json_object_keys(json[, name_or_number, ...])"),
    ("get_first_json_object", "get_first_json_object(json, path)"),
    ("extract_json", "extract_json(json, path)"),
    ("extract_json_string", "extract_json_string(json, path)"),
    ("multi_hash", "multi_hash(expression[, ...])"),
];

/// Functions whose calls are never the same value, even on the same row.
pub(crate) const FRESH_PER_CALL: &[&str] = &["random", "uuid"];

/// Those whose calls are another value each time, on the same row too: these, and those that read the clock.
pub(crate) fn is_changing(name: &str) -> bool {
    FRESH_PER_CALL.contains(&name) || ["now", "current_date", "current_time"].contains(&name)
}

pub(crate) struct Registry {
    pub(crate) scalars: BTreeMap<String, Arc<ScalarUDF>>,
    pub(crate) aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    pub(crate) unsupported_aggregates: BTreeSet<String>,
    pub(crate) unsupported_window_functions: BTreeSet<String>,
    pub(crate) planners: Vec<Arc<dyn ExprPlanner>>,
}

/// Made once: it holds some 300 functions.
pub(crate) fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::new)
}

impl Registry {
    fn new() -> Registry {
        let mut scalars = BTreeMap::new();
        let own = [ScalarUDF::from(Tumble::new()), ScalarUDF::from(RowTime::new())].map(Arc::new);
        for udf in kernels::scalar_functions().into_iter().chain(own) {
            for alias in udf.aliases() {
                scalars.entry(alias.clone()).or_insert_with(|| Arc::clone(&udf));
            }
            scalars.insert(udf.name().to_owned(), udf);
        }
        let mut aggregates = BTreeMap::new();
        let mut unsupported_aggregates = BTreeSet::new();
        for udaf in datafusion_functions_aggregate::all_default_aggregate_functions() {
            for name in std::iter::once(udaf.name()).chain(udaf.aliases().iter().map(String::as_str)) {
                if AGGREGATES.contains(&udaf.name()) {
                    aggregates.insert(name.to_owned(), Arc::clone(&udaf));
                } else {
                    unsupported_aggregates.insert(name.to_owned());
                }
            }
        }
        let unsupported_window_functions = datafusion_functions_window::all_default_window_functions()
            .iter()
            .flat_map(|udwf| std::iter::once(udwf.name().to_owned()).chain(udwf.aliases().iter().cloned()))
            .filter(|name| !scalars.contains_key(name) && !unsupported_aggregates.contains(name))
            .collect();
        let planners: Vec<Arc<dyn ExprPlanner>> = vec![
            Arc::new(JsonOperators),
            Arc::new(crate::spelling::Members),
            Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
            Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
            Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
            Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
            Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
            Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
        ];
        Registry { scalars, aggregates, unsupported_aggregates, unsupported_window_functions, planners }
    }

    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        self.aggregates.contains_key(name) || self.unsupported_aggregates.contains(name)
    }

    /// How a function is called: `substr(str, start_pos[, length])`.
    pub(crate) fn syntax(&self, name: &str) -> Option<&str> {
        if let Some((_, syntax)) = SYNTAX.iter().find(|(function, _)| *function == name) {
            return Some(syntax);
        }
        let documentation = match (self.scalars.get(name), self.aggregates.get(name)) {
            (Some(udf), _) => udf.documentation(),
            (None, Some(udaf)) => udaf.documentation(),
            (None, None) => None,
        };
        documentation?.syntax_example.lines().map(str::trim).find(|line| !line.is_empty())
    }

    /// Every name that can be called.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.scalars.keys().chain(self.aggregates.keys()).map(String::as_str)
    }
}

/// `tumble(width)`: the window `STRUCT<start, end>` that holds the row.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Tumble {
    signature: Signature,
}

impl Tumble {
    fn new() -> Self {
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        Tumble { signature: Signature::exact(vec![interval], Volatility::Volatile) }
    }
}

impl ScalarUDFImpl for Tumble {
    fn name(&self) -> &str {
        TUMBLE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(ScalarType::window().to_arrow())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("tumble is a group key and has no value of its own")
    }
}

/// `row_time()`: the event time of the row.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RowTime {
    signature: Signature,
}

impl RowTime {
    fn new() -> Self {
        RowTime { signature: Signature::new(TypeSignature::Nullary, Volatility::Volatile) }
    }
}

impl ScalarUDFImpl for RowTime {
    fn name(&self) -> &str {
        ROW_TIME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(ScalarType::TIMESTAMP_NS.to_arrow())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("row_time is the event time column and has no value of its own")
    }
}

/// `json -> 'key'`, `json ->> 'key'`, `json ? 'key'`.
#[derive(Debug)]
struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let function = match &expr.op {
            BinaryOperator::Arrow => "json_get",
            BinaryOperator::LongArrow => "json_as_text",
            BinaryOperator::Question => "json_contains",
            _ => return Ok(PlannerResult::Original(expr)),
        };
        match registry().scalars.get(function) {
            Some(udf) => Ok(PlannerResult::Planned(udf.call(vec![expr.left, expr.right]))),
            None => Ok(PlannerResult::Original(expr)),
        }
    }
}
