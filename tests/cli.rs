//! The program `streamwright` as a user meets it: arguments, files and signals go in; rows, messages, exit codes and
//! what lies in directories come out. What a query means is the test `sql`'s business.
//!
//! Every test has a user with a directory, a configuration and state of their own ([`user`]). Nothing is asserted about
//! time: what a test waits for may take up to two minutes.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "harness/program.rs"]
mod program;
#[path = "cli/user.rs"]
mod user;

#[path = "cli/build.rs"]
mod build;
#[path = "cli/duckdb.rs"]
mod duckdb;
#[path = "cli/faults.rs"]
mod faults;
#[path = "cli/prompt.rs"]
mod prompt;
#[path = "cli/query.rs"]
mod query;
#[path = "cli/recovery.rs"]
mod recovery;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/state.rs"]
mod state;
#[path = "cli/stop.rs"]
mod stop;
