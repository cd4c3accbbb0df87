//! The compiler as a list of passes: from the text of a query to the files of a Rust crate and the plan of a job.
//!
//! ```text
//!  text ─ parse ─ bind ─ rules ─ lower ─ place ─ codegen ─ assemble ─▶ Compiled { files, code digest, plan }
//!           │      │       │       │       │        │         │
//!          ast   bound  logical   plan   stream    rust      job       (EXPLAIN: a view at every seam)
//! ```
//!
//! The list itself is [`compile`]'s, in `passes`; each pass is its own crate's. Whatever comes in, what comes out is
//! a result: a user's mistake is a diagnostic, and so is a bug of ours (`E0001`, with the pass and what it was given).
//!
//! Pure: text in, text out. Not here: files, processes, the store (the service's); what the passes do.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod compiled;
mod isolation;
mod meaning;
mod passes;
mod plan;
mod render;

pub use compiled::{CompileOptions, CompileRequest, Compiled, PassTime, View};
pub use compiler_sql::{Diagnostic, Position, Severity, Span};
pub use passes::{compile, compile_with_views, explain};
pub use render::{render, to_json};
