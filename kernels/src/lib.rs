//! Scalar functions and operators as kernels over blocks of rows.
//!
//! What generated code does not fuse into a stage's loop runs here: all of DataFusion's scalar functions, Arrow's
//! arithmetic and comparison on types that native code lacks, casts, pattern matching, JSON. A [`Kernel`] is made once
//! per call site, when the stage starts, and then called once per block.
//!
//! **Why this shape.** Whatever is generic and reachable from a generated crate is compiled again for each pipeline.
//! So the façade ([`Kernel`], [`Param`], [`function`]) has no generics and no async, and every body is compiled here,
//! once. A generated crate names the functions that it uses, `kernels::function::regexp_replace`, as plain function
//! pointers: the linker then drops all the others, which a lookup by name ([`Kernel::named`]) would keep.
//!
//! Invariants: a kernel's result has as many rows as the block and the one Arrow representation that
//! [`ScalarType::to_arrow`] gives for its declared type, whatever the function underneath returns; arguments that are
//! constants in the query reach the function as constants; errors are one line, lower case, without a prefix that
//! names a library.
//!
//! Semantics fixed here for all of them: integers wrap; division by zero is an error; floats compare with NaN equal to
//! NaN and largest, and -0.0 equal to 0.0; `SIMILAR TO` is SQL's, anchored, and not a plain regular expression.
//!
//! Not here: type coercion across unlike types (the planner has done it; a function that wants another representation
//! of the same value is given it), aggregates, window functions, higher-order functions (those with lambdas).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod function;

mod call;
mod cast;
mod clock;
mod hash;
mod json;
mod operator;
mod param;
mod pattern;
mod represent;

#[cfg(test)]
mod every_function;

use std::sync::Arc;

use datafusion_expr::ScalarUDF;

pub use arrow::array::{ArrayRef, BooleanArray};
pub use call::Kernel;
pub use function::Function;
pub use param::Param;
pub use schema::{Field, ScalarType, TimeUnit};

/// Every scalar function that a query may call, for the planner: DataFusion's core and nested functions, those on JSON
/// ([`json_functions`]) and the rest of ours ([`extra_functions`]).
///
/// Differences from DataFusion's list: `now`, `current_date` and `current_time` are evaluated per block and never
/// folded when the query is planned, which for a pipeline may be months before; `input_file_name` and `file_row_index`
/// are left out, since nothing in a pipeline gives them a value.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let ours: Vec<_> = json_functions().into_iter().chain(extra_functions()).collect();
    let replaced = |udf: &Arc<ScalarUDF>| {
        matches!(udf.name(), "input_file_name" | "file_row_index") || ours.iter().any(|own| own.name() == udf.name())
    };
    let mut all = datafusion_functions::all_default_functions();
    all.extend(datafusion_functions_nested::all_default_nested_functions());
    all.retain(|udf| !replaced(udf));
    all.extend(ours);
    all
}

/// `json_get` and its family, and the functions that take a JSONPath.
pub fn json_functions() -> Vec<Arc<ScalarUDF>> {
    json::functions()
}

/// `multi_hash`, and the clock functions that are not folded.
pub fn extra_functions() -> Vec<Arc<ScalarUDF>> {
    vec![hash::multi_hash(), clock::now(), clock::current_date(), clock::current_time()]
}

/// Whether [`Kernel::named`] and [`function`] know a kernel of that name.
pub fn is_known(name: &str) -> bool {
    function::by_name(name).is_some()
}
