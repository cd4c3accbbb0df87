//! `savepoint`, `checkpoint`, `stop`, `status`: asks the controller that runs on a state directory.

use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use artifacts::StorageUrl;
use controller::operator::{Operator, OperatorError};
use protocol::operator::JobStatus;
use serde_json::json;

use crate::arguments::{Asked, Savepoint, Status, Stop};
use crate::config::Config;
use crate::explain::print;
use crate::failure::Failure;
use crate::progress::grouped;

pub(crate) fn savepoint(arguments: &Savepoint, config: &Config) -> Result<ExitCode, Failure> {
    ask(&arguments.asked, config, async |mut operator| {
        let epoch = operator.savepoint(&arguments.name).await?;
        Ok(format!("savepoint \"{}\" is checkpoint {epoch}\n", arguments.name))
    })
}

pub(crate) fn checkpoint(asked: &Asked, config: &Config) -> Result<ExitCode, Failure> {
    ask(asked, config, async |mut operator| Ok(format!("checkpoint {}\n", operator.checkpoint().await?)))
}

pub(crate) fn stop(arguments: &Stop, config: &Config) -> Result<ExitCode, Failure> {
    ask(&arguments.asked, config, async |mut operator| {
        let stopped = operator.stop(arguments.mode.into(), arguments.savepoint.as_deref()).await?;
        let mut text = format!("the job is {}\n", stopped.state.to_lowercase());
        if let (Some(name), Some(epoch)) = (&arguments.savepoint, stopped.savepoint) {
            let _ = writeln!(text, "savepoint \"{name}\" is checkpoint {epoch}");
        }
        Ok(text)
    })
}

pub(crate) fn status(arguments: &Status, config: &Config) -> Result<ExitCode, Failure> {
    ask(&arguments.asked, config, async |mut operator| {
        let status = operator.status().await?;
        Ok(if arguments.json { status_json(&status) } else { status_text(&status) })
    })
}

/// Prints what the controller of the state directory answers.
fn ask<F: Future<Output = Result<String, OperatorError>>>(
    asked: &Asked,
    config: &Config,
    question: impl FnOnce(Operator) -> F,
) -> Result<ExitCode, Failure> {
    let directory = directory(asked, config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::job(format!("cannot start threads: {error}")))?;
    let job = asked.job.as_deref().unwrap_or_default();
    let answered = runtime.block_on(async { question(Operator::connect(&directory, job).await?).await });
    let text = answered.map_err(|error| {
        let failure = if error.is_usage() { Failure::usage(&error) } else { Failure::job(&error) };
        failure.with_hint(error.hint())
    })?;
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn directory(asked: &Asked, config: &Config) -> Result<PathBuf, Failure> {
    let Some(url) = asked.state_dir.as_ref().or(config.state_dir.as_ref()) else {
        return Err(Failure::usage("no state directory").with_hint(Some("Give that of the job with --state-dir.")));
    };
    match StorageUrl::parse(url) {
        Ok(StorageUrl::Local(path)) => Ok(path),
        Err(error) => Err(Failure::usage(&error).with_hint(Some(error.hint()))),
    }
}

fn status_json(status: &JobStatus) -> String {
    let document = json!({
        "job": status.job,
        "state": status.state,
        "attempt": status.generation,
        "restarts": status.restarts,
        "epoch": status.epoch,
        "failure": status.failure,
        "tasks": status.tasks,
    });
    format!("{document:#}\n")
}

fn status_text(status: &JobStatus) -> String {
    let JobStatus { job, state, generation, restarts, tasks, .. } = status;
    let mut text = format!("job {job}: {state}, attempt {generation}, {restarts} restarts\n");
    let newest = status.epoch.map_or("none yet".to_owned(), |epoch| epoch.to_string());
    let _ = writeln!(text, "  newest checkpoint: {newest}");
    if let Some(failure) = &status.failure {
        let _ = writeln!(text, "  last restarted because: {failure}");
    }
    for task in tasks {
        let (rows_in, rows_out) = (grouped(task.rows_in), grouped(task.rows_out));
        let ended = if task.finished { ", ended" } else { "" };
        let _ = writeln!(text, "  stage {} task {}: {rows_in} in, {rows_out} out{ended}", task.stage, task.task);
    }
    text
}

#[cfg(test)]
mod tests {
    use protocol::rpc::TaskProgress;

    use super::*;

    #[test]
    fn a_status_is_told_to_people_and_to_programs() {
        let task = TaskProgress { stage: 1, rows_in: 1234, rows_out: 5, finished: true, ..TaskProgress::default() };
        let status = JobStatus {
            job: "j".into(),
            state: "Running".into(),
            generation: 2,
            restarts: 1,
            epoch: Some(7),
            failure: Some("a disk is full".into()),
            tasks: vec![task],
        };
        assert_eq!(
            status_text(&status),
            "job j: Running, attempt 2, 1 restarts\n  newest checkpoint: 7\n  last restarted because: a disk is full\n  \
             stage 1 task 0: 1,234 in, 5 out, ended\n"
        );
        let json: serde_json::Value = serde_json::from_str(&status_json(&status)).unwrap();
        assert_eq!((&json["epoch"], &json["tasks"][0]["rows_in"]), (&7.into(), &1234.into()));
    }
}
