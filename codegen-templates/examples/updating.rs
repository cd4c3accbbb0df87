//! The generated pipeline in `generated/updating`, as a program.

use std::process::ExitCode;

// Printed by code generation, whose layout differs from rustfmt's, and as literal as the query: rustc's lints hold for it,
// clippy's taste does not.
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../generated/updating/main.rs"]
mod pipeline;

fn main() -> ExitCode {
    pipeline::main()
}
