//! `run`: compile, start a controller, submit, watch, and end with it.
//!
//! Nothing waits that need not: the controller opens its store and its port, and the toolchain is found, while the query
//! is compiled.

use std::io::{BufRead, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use artifacts::{StorageUrl, Store};
use compiler_driver::Compiled;
use compiler_service::Built;
use controller::compatibility::{self, Compatibility};
use controller::store::JobRecord;
use controller::{
    Checkpointing, Controller, ControllerError, ControllerOptions, JobHandle, JobSpec, JobState, JobStatus,
    RestorePoint, StopMode, WorkerLog,
};
use protocol::checkpoint::{Manifest, Reason};
use protocol::job::JobPlan;
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::Run;
use crate::build::{find_toolchain, make, open_store};
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::query::Query;
use crate::report::Report;

/// How often it is looked whether anybody still reads the rows.
const READER_CHECK: Duration = Duration::from_millis(500);

/// Older checkpoints are removed.
pub(crate) const CHECKPOINTS_KEPT: usize = 10;

/// What can be done about a query that does not fit.
pub(crate) const REFUSED: &str = "--allow-lost-state lets go of what cannot go on; --allow-mixed-results goes on where only \
    the results of what is open now would be partly the old query's.";

pub(crate) fn run(arguments: Run, config: Config) -> Result<ExitCode, Failure> {
    let Some(query) = arguments.query.as_deref().or(config.query.as_deref()) else {
        return Err(Failure::usage("no query").with_hint(Some("Give a file, - for stdin, or the text in quotes.")));
    };
    let query = Query::read(query)?;
    let report = arguments.report.as_deref().map(Report::create).transpose()?;
    let state_dir = StateDir::new(arguments.state_dir.as_deref().or(config.state_dir.as_deref()))?;
    let kept = if arguments.restore != RestorePoint::Latest { Some("--restore") } else { None };
    let kept = kept.or(arguments.savepoint_on_stop.as_ref().map(|_| "--savepoint-on-stop"));
    if let (Some(flag), true) = (kept, state_dir.temporary.is_some()) {
        return Err(Failure::usage(format!("{flag} needs a state directory"))
            .with_hint(Some("Give one with --state-dir; without it nothing is kept.")));
    }
    let store = open_store(&config.artifact_url)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::job(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(Session { arguments, config, query, report, state_dir, store }.run());
    // A thread that is still waiting for the file system must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// Where the controller keeps its state; a temporary one is removed at the end.
struct StateDir {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl StateDir {
    fn new(url: Option<&str>) -> Result<StateDir, Failure> {
        match url {
            Some(url) => match StorageUrl::parse(url) {
                Ok(StorageUrl::Local(path)) => Ok(StateDir { path, temporary: None }),
                Err(error) => Err(Failure::usage(&error).with_hint(Some(error.hint()))),
            },
            None => {
                let directory = tempfile::Builder::new().prefix("streamwright-").tempdir().map_err(|error| {
                    Failure::usage(format!("cannot make a temporary state directory: {error}"))
                        .with_hint(Some("Give a directory with --state-dir."))
                })?;
                Ok(StateDir { path: directory.path().to_owned(), temporary: Some(directory) })
            }
        }
    }
}

struct Session {
    arguments: Run,
    config: Config,
    query: Query,
    report: Option<Report>,
    state_dir: StateDir,
    store: Store,
}

impl Session {
    async fn run(self) -> Result<ExitCode, Failure> {
        let mut interrupts = Interrupts::listen()?;
        let progress = Arc::new(Progress::new());
        let started =
            async { tokio::try_join!(self.compile(progress.clone()), self.start_controller(progress.clone())) };
        let ((compiled, built), controller) = tokio::select! {
            // Nothing runs yet: there is nothing to stop in good order.
            () = interrupts.next() => {
                progress.clear();
                return Err(Failure::aborted());
            }
            started = started => started.inspect_err(|_| progress.clear())?,
        };
        progress.compiled(built.cached);
        let started = self.start(&controller, &compiled, &built, &progress, &mut interrupts).await;
        let Some(job) = started.inspect_err(|_| progress.clear())? else {
            progress.clear();
            return Ok(ExitCode::SUCCESS);
        };
        let ended = self.watch(job, &compiled.plan, &progress, &mut interrupts).await;
        progress.clear();
        controller.shutdown().await;
        if let Some(directory) = self.state_dir.temporary {
            // What cannot be removed is the system's to clean.
            let _ = directory.close();
        }
        ended
    }

    async fn compile(&self, progress: Arc<Progress>) -> Result<(Compiled, Built), Failure> {
        let toolchain = find_toolchain(&self.config);
        progress.phase("compile");
        let (query, config, parallelism) = (self.query.clone(), self.config.clone(), self.arguments.parallelism);
        let compiled = tokio::task::spawn_blocking(move || query.compile(parallelism, &config))
            .await
            .map_err(|error| Failure::query(format!("error: cannot compile the query: {error}\n")))??;
        if let Some(warnings) = self.query.warnings(&compiled) {
            progress.line(&warnings);
        }
        let built = make(&compiled, toolchain, &self.store, &self.config, progress).await?;
        Ok((compiled, built))
    }

    async fn start_controller(&self, progress: Arc<Progress>) -> Result<Controller, Failure> {
        let worker_log: WorkerLog = Arc::new(move |line| progress.line(&line.line));
        let options = ControllerOptions {
            state_dir: self.state_dir.path.clone(),
            artifacts: self.store.clone(),
            policy: self.config.policy.clone(),
            worker_log: Some(worker_log),
            scheduler: None,
        };
        Controller::start(options).await.map_err(controller_failure)
    }

    /// Starts the job, or goes on with the one of the state directory; `None` if that has nothing left to do.
    async fn start(
        &self,
        controller: &Controller,
        compiled: &Compiled,
        built: &Built,
        progress: &Progress,
        interrupts: &mut Interrupts,
    ) -> Result<Option<JobHandle>, Failure> {
        let spec = self.spec(compiled, built);
        let at = &spec.checkpoints;
        let directory = self.state_dir.path.display();
        // Another job knows nothing of the earlier one's checkpoints.
        let last = if self.arguments.force { None } else { controller.last_job().await.map_err(controller_failure)? };
        let Some(last) = last else {
            if at.restore != RestorePoint::Latest {
                let message =
                    format!("there is no checkpoint \"{}\": nothing has run in \"{directory}\" yet", at.restore);
                return Err(Failure::usage(message));
            }
            return controller.submit(spec).await.map(Some).map_err(controller_failure);
        };
        if let Some(name) = &at.savepoint
            && controller.has_savepoint(at, &last.id, name).await.map_err(controller_failure)?
        {
            return Err(Failure::usage(format!("savepoint \"{name}\" already exists"))
                .with_hint(Some("Give another name to --savepoint-on-stop.")));
        }
        if let Some(from) = controller.checkpoint(at, &last.id, &at.restore).await.map_err(controller_failure)? {
            let changed = !compatibility::fits(&from, &compiled.plan);
            // What was prepared last may never have been published: then the job begins once more, does that, and ends.
            let tokens = from.stages.iter().flat_map(|stage| &stage.tasks).flat_map(|task| task.unpublished());
            if from.reason == Reason::End && changed {
                return Err(Failure::usage(format!(
                    "state directory \"{directory}\" belongs to another query, \"{}\", which has processed all of its input",
                    last.name
                ))
                .with_hint(Some("Give another --state-dir, or --force to run this query there from its beginning.")));
            } else if from.reason == Reason::End && tokens.count() == 0 {
                progress.line(&format!(
                    "finished already: all input was processed; --force runs the query of \"{directory}\" again"
                ));
                return Ok(None);
            } else if changed {
                self.agree(&from, compiled, &last, progress, interrupts).await?;
            }
            let newest =
                controller.checkpoint(at, &last.id, &RestorePoint::Latest).await.map_err(controller_failure)?;
            // What is left to be published does not make it another one.
            let is_newest = newest.is_some_and(|it| (it.epoch, it.generation) == (from.epoch, from.generation));
            progress.line(&if is_newest {
                format!("going on from checkpoint {}", from.epoch)
            } else {
                format!(
                    "going back to checkpoint {} of {}: what sinks have published since stays, and its rows come again",
                    from.epoch,
                    time_text(from.complete_micros)
                )
            });
        }
        controller.resume(&last, spec).await.map(Some).map_err(controller_failure)
    }

    /// Says what the query makes of the checkpoint of another one, and finds out whether that is wanted.
    async fn agree(
        &self,
        from: &Manifest,
        compiled: &Compiled,
        last: &JobRecord,
        progress: &Progress,
        interrupts: &mut Interrupts,
    ) -> Result<(), Failure> {
        let change = self.arguments.change;
        let found = compatibility::compare(from, &compiled.plan, change.allowed());
        if found.is_reuse() && last.query == self.query.text {
            // It was only compiled by another version.
            return Ok(());
        }
        progress.line(&format!("the query is not that of checkpoint {}:\n{}", from.epoch, findings_text(&found)));
        if found.refused() {
            let message = format!("checkpoint {} does not fit the query", from.epoch);
            return Err(Failure::usage(message).with_hint(Some(REFUSED)));
        }
        if self.arguments.yes || change.allow_lost_state || change.allow_mixed_results {
            return Ok(());
        }
        let declined = |message: &str| {
            Failure::usage(message).with_hint(Some("--yes goes on as said above, --force begins anew, as another job."))
        };
        if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            return Err(declined("nobody can be asked whether to go on"));
        }
        progress.clear();
        eprint!("Proceed? [y/N] ");
        let answered = tokio::task::spawn_blocking(|| is_yes(std::io::stdin().lock()));
        tokio::select! {
            () = interrupts.next() => Err(Failure::aborted()),
            yes = answered => match yes {
                Ok(true) => {
                    progress.resume();
                    Ok(())
                }
                _ => Err(declined("not started")),
            },
        }
    }

    fn spec(&self, compiled: &Compiled, built: &Built) -> JobSpec {
        let below = || self.state_dir.path.join("checkpoints").to_string_lossy().into_owned();
        JobSpec {
            name: self.arguments.name.clone().unwrap_or_else(|| self.query.name.clone()),
            query: self.query.text.clone(),
            code: compiled.code.clone(),
            binary: built.binary.digest,
            plan: serde_json::to_string(&compiled.plan).expect("a plan is JSON"),
            tuning: self.config.tuning.clone(),
            checkpoints: Checkpointing {
                url: self.config.checkpoint_url.clone().unwrap_or_else(below),
                interval: self.config.checkpoint_interval,
                timeout: self.config.checkpoint_timeout,
                keep: CHECKPOINTS_KEPT,
                restore: self.arguments.restore.clone(),
                allowed: self.arguments.change.allowed(),
                savepoint: self.arguments.savepoint_on_stop.clone(),
            },
            reattach: self
                .config
                .reattach
                .filter(|_| self.state_dir.temporary.is_none() && !writes_to_stdout(&compiled.plan)),
        }
    }

    /// Shows what the job does until it has ended, and stops it when the user, or the reader of its rows, is gone.
    async fn watch(
        &self,
        mut job: JobHandle,
        plan: &JobPlan,
        progress: &Progress,
        interrupts: &mut Interrupts,
    ) -> Result<ExitCode, Failure> {
        let to_stdout = writes_to_stdout(plan);
        let show = !(to_stdout && std::io::stdout().is_terminal());
        if !show {
            progress.clear();
        }
        let mut status = job.status();
        let mut reader_check = tokio::time::interval(READER_CHECK);
        let (mut begun, mut interrupted, mut reader_gone) = (Instant::now(), 0, false);
        let last = loop {
            let now = status.borrow_and_update().clone();
            if matches!(now.state, JobState::Created | JobState::Scheduling) {
                begun = Instant::now();
            }
            progress.job(&now, plan, show);
            if now.state.is_terminal() {
                break now;
            }
            tokio::select! {
                changed = status.changed() => {
                    if changed.is_err() {
                        break job.ended().await;
                    }
                }
                () = interrupts.next() => {
                    interrupted += 1;
                    if interrupted > 1 {
                        job.stop(StopMode::Immediate).await;
                    } else if self.state_dir.temporary.is_some() {
                        progress.line("stopping (Ctrl-C again to give up rows in flight)");
                        job.stop(StopMode::Graceful).await;
                    } else {
                        let what = match &self.arguments.savepoint_on_stop {
                            Some(name) => format!("savepoint \"{name}\""),
                            None => "a checkpoint".to_owned(),
                        };
                        progress.line(&format!("stopping with {what} (Ctrl-C again to go back to the last checkpoint)"));
                        job.stop(StopMode::Checkpoint).await;
                    }
                }
                _ = reader_check.tick(), if to_stdout && !reader_gone => {
                    if stdout_is_broken() {
                        reader_gone = true;
                        // In good order, as other sinks may still have their readers. A job that can be resumed goes
                        // back to its last checkpoint: it has not ended, and the next reader is to miss no row.
                        let lasting = self.state_dir.temporary.is_none();
                        job.stop(if lasting { StopMode::Immediate } else { StopMode::Graceful }).await;
                    }
                }
            }
        };
        let running = begun.elapsed();
        let reported = self.report.as_ref().map_or(Ok(()), |report| report.write(&last, plan, running));
        // Why the job failed matters more than that nobody will read of it.
        let code = self.conclude(&last, plan, progress, running, interrupted, to_stdout)?;
        reported.map(|()| code)
    }

    fn conclude(
        &self,
        last: &JobStatus,
        plan: &JobPlan,
        progress: &Progress,
        running: Duration,
        interrupted: u32,
        to_stdout: bool,
    ) -> Result<ExitCode, Failure> {
        // The user's `head` has seen enough: that is an end like any other, and quiet as in every tool.
        if to_stdout && stdout_is_broken() && last.state != JobState::Failed && interrupted <= 1 {
            progress.clear();
            return Ok(ExitCode::SUCCESS);
        }
        match (last.state, &last.failure) {
            (JobState::Failed, failure) => {
                progress.clear();
                let Some(failure) = failure else { return Err(Failure::job("the job failed")) };
                Err(Failure::job(&failure.message)
                    .with_hint(failure.hint.as_ref())
                    .with_detail(failure.detail.as_ref()))
            }
            (state, _) if !state.is_terminal() => {
                Err(Failure::job("the job is gone without having ended: this is a bug in streamwright"))
            }
            (state, _) => {
                progress.summary(last, plan, running);
                match state {
                    JobState::Stopped if interrupted > 1 => Err(Failure::aborted()),
                    _ if interrupted > 0 => self.conclude_savepoint(last, progress),
                    _ => Ok(ExitCode::SUCCESS),
                }
            }
        }
    }

    /// Says what has become of the savepoint that was to be made.
    fn conclude_savepoint(&self, last: &JobStatus, progress: &Progress) -> Result<ExitCode, Failure> {
        let Some(name) = &self.arguments.savepoint_on_stop else { return Ok(ExitCode::SUCCESS) };
        match &last.savepoint {
            Some(Ok(epoch)) => {
                progress.line(&format!("savepoint \"{name}\" is checkpoint {epoch}"));
                Ok(ExitCode::SUCCESS)
            }
            Some(Err(failure)) => Err(Failure::job(&failure.message).with_hint(failure.hint.as_ref())),
            None => {
                Err(Failure::job(format!("there is no savepoint \"{name}\": the job ended without another checkpoint")))
            }
        }
    }
}

fn writes_to_stdout(plan: &JobPlan) -> bool {
    plan.stages.iter().any(|stage| stage.sink.as_ref().is_some_and(|sink| sink.connector == "stdout"))
}

/// What a query makes of a checkpoint, a line for each operator, source and sink.
pub(crate) fn findings_text(found: &Compatibility) -> String {
    found.findings.iter().map(|finding| format!("  {finding}")).collect::<Vec<_>>().join("\n")
}

/// Whether the first line says so.
fn is_yes(mut input: impl BufRead) -> bool {
    let mut line = String::new();
    input.read_line(&mut line).is_ok() && ["y", "yes"].contains(&line.trim().to_lowercase().as_str())
}

/// A moment in UTC, as people read it.
pub(crate) fn time_text(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).map_or_else(String::new, |time| time.format("%F %T").to_string())
}

fn controller_failure(error: ControllerError) -> Failure {
    let failure = match &error {
        ControllerError::Listen(_) => Failure::job(&error),
        ControllerError::StateDir { .. }
        | ControllerError::Address { .. }
        | ControllerError::Lock(_)
        | ControllerError::Store(_)
        | ControllerError::Checkpoints { .. } => Failure::usage(&error),
    };
    failure.with_hint(error.hint())
}

/// Ctrl-C, and the signal with which others ask programs to end.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn listen() -> Result<Interrupts, Failure> {
        let failed = |error| Failure::job(format!("cannot listen for signals: {error}"));
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Whether stdout is a pipe that nobody reads any more.
fn stdout_is_broken() -> bool {
    let mut stdout = libc::pollfd { fd: libc::STDOUT_FILENO, events: 0, revents: 0 };
    // SAFETY: `poll` is given one valid `pollfd`, its count, and no time to wait.
    let ready = unsafe { libc::poll(&raw mut stdout, 1, 0) };
    ready == 1 && stdout.revents & libc::POLLERR != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in
            [("y\n", true), (" Yes \n", true), ("n\n", false), ("\n", false), ("", false), ("yay\n", false)]
        {
            assert_eq!(is_yes(answer.as_bytes()), yes, "{answer:?}");
        }
    }
}
