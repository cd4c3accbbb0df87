//! Builds compiled pipelines: from the files that the driver generates to a binary in the artifact store.
//!
//! ```text
//!  Compiled (files, plan) ─▶ action key ─▶ in the store? ──yes──────────────────────────▶ Built
//!                               │no                                                        ▲
//!                               ▼                                                          │
//!             lock of the key ─▶ private directory ─▶ rustc against the bundle ─▶ store ───┘
//! ```
//!
//! All of the compiler's IO is here and nowhere else. What decides a binary's bytes is in its [`action`] key: the
//! generated files, the flags and the [`bundle`] of libraries. What does not (paths, topics, the machine, the user,
//! the number of its cores) must not reach the compiler.
//!
//! - [`bundle`]: the libraries that pipelines are linked with, from a directory or from the cargo build that made
//!   this program.
//! - [`build`]: the one entry point, [`build()`].
//! - `workdir`, `compiler`: the private directory with its lock, and the compiler's process.
//!
//! Not here: SQL, the IR, code generation, where artifacts go once they are stored.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod action;
pub mod build;
pub mod bundle;
mod compiler;
mod seal;
mod workdir;

pub use build::{BuildError, BuildOptions, Built, build, llvm_lines};
pub use bundle::{Bundle, BundleError};
