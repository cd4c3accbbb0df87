//! Text in, text out: every directory under `sql/` is a test.
//!
//! `sql/<area>/<case>/` is a query that runs: it is compiled, built with the toolchain bundle of the `streamwright`
//! that stands beside this test's executable, run at parallelism 1 and 3, and compared with what the directory holds
//! and with DataFusion. `sql/errors/<case>/` is a query that does not compile, and what is said about it.
//! `UPDATE_EXPECT=1` writes what is found into the directories instead of comparing.
//!
//! Binaries go to `target/.../sql-cases`, a content-addressed store: a case whose generated code has not changed starts
//! no compiler the next time, until the bundle changes (`harness/world.rs`).

#![allow(clippy::unwrap_used, clippy::panic)]

mod harness;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use harness::case::{Case, Kind};
use harness::world::World;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A case is a compiler or three tasks: more of them at once only make each other slow.
    arguments.test_threads.get_or_insert(2);
    let cases = match Case::all() {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let trials = cases.into_iter().map(|case| {
        Trial::test(case.name.clone(), move || {
            let result = match case.kind {
                Kind::Runs => World::get().and_then(|world| harness::running::check(&case, world)),
                Kind::Fails => harness::failing::check(&case),
            };
            result.map_err(Into::into)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
