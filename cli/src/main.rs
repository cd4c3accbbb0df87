//! `streamwright`: the program.
//!
//! Wiring only: arguments and configuration come in here, the compiler, the build service and the controller do the
//! work, and what they say goes to the right stream with the right exit code. Rows go to stdout, everything that is
//! said about them to stderr.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod arguments;
mod build;
mod config;
mod explain;
mod failure;
mod key;
mod operate;
mod progress;
mod query;
mod report;
mod run;
mod state;

// Pipelines link these; see Cargo.toml.
use connectors_blackhole as _;
use connectors_filesystem as _;
use connectors_impulse as _;
use connectors_nexmark as _;
use connectors_stdout as _;
use kernels as _;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Command};
use crate::config::Config;
use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logs();
    match dispatch(arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{}", failure.text(colored()));
            failure.code()
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<ExitCode, Failure> {
    let set = match &arguments.command {
        Command::Run(run) => run.set.as_slice(),
        Command::Build(build) => build.set.as_slice(),
        Command::Check(check) => check.set.as_slice(),
        Command::Explain(explain) => explain.set.as_slice(),
        Command::Bundle(_) => &[],
        Command::State(state) => state.command.place().set.as_slice(),
        Command::Savepoint(savepoint) => savepoint.asked.set.as_slice(),
        Command::Checkpoint(asked) => asked.set.as_slice(),
        Command::Stop(stop) => stop.asked.set.as_slice(),
        Command::Status(status) => status.asked.set.as_slice(),
    };
    let config = Config::load(arguments.config.as_deref(), arguments.config_dir.as_deref(), set)?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    match arguments.command {
        Command::Run(run) => run::run(run, config),
        Command::Check(check) => explain::check(&check, &config),
        Command::Explain(explain) => explain::explain(&explain, &config),
        Command::Build(build) => build::build(&build, &config),
        Command::Bundle(bundle) => build::bundle(&bundle, &config),
        Command::State(state) => state::state(&state.command, &config),
        Command::Savepoint(savepoint) => operate::savepoint(&savepoint, &config),
        Command::Checkpoint(asked) => operate::checkpoint(&asked, &config),
        Command::Stop(stop) => operate::stop(&stop, &config),
        Command::Status(status) => operate::status(&status, &config),
    }
}

/// Whether stderr is read by a person who sees colours.
fn colored() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Logs of the program itself: to stderr, filtered by `STREAMWRIGHT_LOG` as those of workers are.
fn start_logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("STREAMWRIGHT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colored()).with_writer(std::io::stderr).init();
}
