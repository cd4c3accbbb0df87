//! SQL to a plan: the passes parse, bind, rules and lower.
//!
//! ```text
//!  text ── parse ──▶ Script ── bind ──▶ Bound ── optimize ──▶ Bound ── lower ──▶ compiler_ir::Plan
//! ```
//!
//! DataFusion binds names and types and rewrites the logical plan; nothing behind this crate knows of it. What the
//! user got wrong comes back as [`Diagnostic`]s with places in the text, all that a pass can find.
//!
//! What a script says in vain, and what it says in an old form, comes along with its [`Bound`] as warnings.
//!
//! Invariants: no text makes a pass panic; what [`lower()`] returns holds by the IR's verifier.
//!
//! Not here: placement, code generation, rendering of diagnostics, files.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod diagnostic;

mod brackets;
mod cost;
mod dialect;
mod parse;

mod bind;
mod catalog;
mod check;
mod context;
mod define;
mod functions;
mod hints;
mod names;
mod scope;
mod spelling;
mod syntax;
mod translate;
mod types;
mod typing;
mod using;

mod comparisons;
mod constants;
mod filters;
mod guards;
mod join;
mod rules;
mod substitution;
mod window;

mod lower;

mod stack;

#[cfg(test)]
mod tests;

pub use bind::{Bound, SqlOptions, bind, optimize};
pub use diagnostic::{Diagnostic, Position, Severity, Span};
pub use lower::lower;
pub use parse::{MAX_DEPTH, Script, parse};
