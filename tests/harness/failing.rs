//! A query that does not compile: what is said about it.

use compiler_driver::{CompileOptions, CompileRequest, compile, render};

use super::case::Case;

pub(crate) fn check(case: &Case) -> Result<(), String> {
    let request = CompileRequest::new(&case.query, CompileOptions::default());
    match compile(&request) {
        Ok(_) => Err("the query compiles, which it should not".to_owned()),
        Err(diagnostics) => case.expect("message.txt", &render(&diagnostics, "query.sql", &case.query, false)),
    }
}
