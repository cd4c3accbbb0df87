//! `check` and `explain`: the compiler without the build.

use std::io::Write as _;
use std::process::ExitCode;

use crate::arguments::{Check, Explain};
use crate::config::Config;
use crate::failure::{Failure, exit};
use crate::query::Query;

pub(crate) fn check(arguments: &Check, config: &Config) -> Result<ExitCode, Failure> {
    let query = Query::read(&arguments.query)?;
    match (compiler_driver::compile(&query.request(1, config)), arguments.json) {
        (Ok(compiled), false) => {
            if let Some(warnings) = query.warnings(&compiled) {
                eprintln!("{warnings}");
            }
            eprintln!("{}: no errors", query.origin);
            Ok(ExitCode::SUCCESS)
        }
        (Ok(compiled), true) => {
            print(&format!("{}\n", compiler_driver::to_json(&compiled.warnings)))?;
            Ok(ExitCode::SUCCESS)
        }
        (Err(diagnostics), false) => Err(query.wrong(&diagnostics)),
        (Err(diagnostics), true) => {
            print(&format!("{}\n", compiler_driver::to_json(&diagnostics)))?;
            Ok(ExitCode::from(exit::QUERY))
        }
    }
}

pub(crate) fn explain(arguments: &Explain, config: &Config) -> Result<ExitCode, Failure> {
    let query = Query::read(&arguments.query)?;
    let request = query.request(arguments.parallelism, config);
    let text = compiler_driver::explain(&request, arguments.view).map_err(|wrong| query.wrong(&wrong))?;
    print(text.trim_end())?;
    print("\n")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to stdout. A reader that has seen enough is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::job(format!("cannot write to the standard output: {error}")))
        }
        _ => Ok(()),
    }
}
