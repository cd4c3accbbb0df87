//! JSON in text columns: the `json_get` family and the functions that take a JSONPath.
//!
//! Both read the text as it streams by ([`scan`]) and copy nothing but what they return: no document tree is built.
//! Text that is not JSON gives null, never an error, as a missing member does. Where an object has a name twice, the
//! first counts.
//!
//! `json_get(json, step, ...)` returns JSON text (null for a missing member and for a JSON null). A step is a member's
//! name or an array's index; a negative index counts from the end, and a name that spells an integer indexes an array.

mod get;
mod jsonpath;
mod query;
mod scan;

use std::sync::Arc;

use datafusion_expr::ScalarUDF;

pub(crate) use get::*;
pub(crate) use query::*;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        json_get(),
        json_get_str(),
        json_get_int(),
        json_get_float(),
        json_get_bool(),
        json_get_json(),
        json_get_array(),
        json_as_text(),
        json_contains(),
        json_length(),
        json_object_keys(),
        get_first_json_object(),
        extract_json(),
        extract_json_string(),
    ]
}
