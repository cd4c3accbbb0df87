//! The command line of a pipeline's binary.
//!
//! ```text
//!   BINARY worker --controller URL --worker-id ID --job-id ID --generation N   run a job for a controller
//!                 [--next-controller FILE --reattach-millis N]                 and for the one after it
//!                 [--epoch-rows N]                                             with epochs of so many rows, for tests
//!   BINARY run --plan FILE [--report]                                          run a job alone
//!   BINARY info                                                                what this binary is, as JSON
//!   BINARY --version
//! ```
//!
//! Arguments are read by hand: a parser crate would be in every pipeline that anybody ever builds.
//!
//! Two runtimes: tasks have one with a thread for each core, control has this thread to itself, so that heartbeats and
//! orders to stop are never behind data. Standard output belongs to the stdout sink (`info` and `--version`
//! apart, which run nothing); log lines go to standard error, filtered by `STREAMWRIGHT_LOG` (default `warn`).
//!
//! Signals: a worker ignores Ctrl-C, which a terminal sends to everyone; its controller decides and says how to
//! stop. Alone, the first Ctrl-C stops in good order and the second at once.
//!
//! The process ends with one of the [`exit`] codes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use protocol::job::{JobPlan, parse_bytes};
use protocol::report::TaskReport;
use tokio::runtime::{Builder, Handle, Runtime};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::error::TaskError;
use crate::rpc::{self, Identity, Outcome, Reattach};
use crate::runtime::{Ending, Job, Limits, Stop};
use crate::stage::Pipeline;

/// Exit codes of a pipeline's binary.
pub mod exit {
    /// All input has been processed, or the job has stopped in good order.
    pub const FINISHED: u8 = 0;
    /// A task has failed.
    pub const FAILED: u8 = 1;
    /// The arguments make no sense.
    pub const USAGE: u8 = 2;
    /// Stopped at once, as asked: what was not published is not.
    pub const STOPPED: u8 = 3;
    /// The controller could not be reached, refused this worker, or was lost.
    pub const LOST: u8 = 4;
}

/// Longest wait, at the end of the process, for threads in a blocking call (a write to a pipe that nobody empties).
const SHUTDOWN_MOST: Duration = Duration::from_millis(200);

const USAGE: &str = "\
usage: BINARY worker --controller URL --worker-id ID --job-id ID --generation N [--threads N] [--epoch-rows N]
                     [--next-controller FILE --reattach-millis N]
       BINARY run --plan FILE [--report] [--batch-rows N] [--linger-millis N] [--queue-batches N] [--flush-millis N]
                  [--threads N] [--state-memory BYTES] [--spill-dir DIRECTORY]
       BINARY info
       BINARY --version";

/// What the arguments ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Worker { identity: Identity, threads: Option<usize>, epoch_rows: Option<usize> },
    Run { plan: String, report: bool, limits: Limits, threads: Option<usize> },
    Info,
    Version,
    Help,
}

/// The whole program. Neither generic nor async, so that generated crates contain none of it.
#[inline(never)]
pub fn main(pipeline: &'static Pipeline) -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let code = match Command::parse(arguments) {
        Ok(Command::Help) => {
            println!("{USAGE}");
            exit::FINISHED
        }
        Ok(Command::Version) => {
            println!("streamwright pipeline {} ({})", env!("CARGO_PKG_VERSION"), pipeline.code);
            exit::FINISHED
        }
        Ok(Command::Info) => {
            println!("{}", info(pipeline));
            exit::FINISHED
        }
        Ok(Command::Worker { identity, threads, epoch_rows }) => {
            with_runtimes(threads, |control, data| control.block_on(worker(pipeline, &identity, epoch_rows, data)))
        }
        Ok(Command::Run { plan, report, limits, threads }) => {
            with_runtimes(threads, |control, data| control.block_on(run(pipeline, &plan, report, limits, data)))
        }
        Err(wrong) => {
            eprintln!("error: {wrong}\n{USAGE}");
            exit::USAGE
        }
    };
    ExitCode::from(code)
}

impl Command {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
        let mut arguments = Arguments { left: arguments.collect() };
        if arguments.left.is_empty() {
            return Err("a command is missing".into());
        }
        let name = arguments.left.remove(0);
        let command = match name.as_str() {
            "worker" => Command::Worker {
                identity: Identity {
                    controller: arguments.require("--controller")?,
                    worker_id: arguments.require("--worker-id")?,
                    job_id: arguments.require("--job-id")?,
                    generation: arguments.number("--generation")?.ok_or("--generation is missing")?,
                    reattach: match (arguments.value("--next-controller")?, arguments.number("--reattach-millis")?) {
                        (None, None) => None,
                        (Some(file), Some(millis)) => {
                            Some(Reattach { file: file.into(), most: Duration::from_millis(millis) })
                        }
                        _ => return Err("--next-controller and --reattach-millis go together".into()),
                    },
                },
                threads: arguments.positive("--threads")?,
                epoch_rows: arguments.positive("--epoch-rows")?,
            },
            "run" => {
                let default = Limits::default();
                Command::Run {
                    plan: arguments.require("--plan")?,
                    report: arguments.flag("--report"),
                    limits: Limits {
                        batch_rows: arguments.positive("--batch-rows")?.unwrap_or(default.batch_rows),
                        linger: arguments.number("--linger-millis")?.map_or(default.linger, Duration::from_millis),
                        queue_batches: arguments.positive("--queue-batches")?.unwrap_or(default.queue_batches),
                        flush_interval: arguments
                            .number("--flush-millis")?
                            .map_or(default.flush_interval, Duration::from_millis),
                        epoch_rows: None,
                        state_memory: arguments.bytes("--state-memory")?,
                        spill_directory: arguments.value("--spill-dir")?.map(PathBuf::from),
                    },
                    threads: arguments.positive("--threads")?,
                }
            }
            "info" => Command::Info,
            "version" | "--version" | "-V" => Command::Version,
            "help" | "--help" | "-h" => Command::Help,
            _ => return Err(format!("there is no command \"{name}\"")),
        };
        match arguments.left.first() {
            None => Ok(command),
            Some(argument) => Err(format!("\"{argument}\" means nothing to \"{name}\"")),
        }
    }
}

/// Arguments not understood yet: `--name value`, `--name=value` and `--flag` in any order.
struct Arguments {
    left: Vec<String>,
}

impl Arguments {
    fn flag(&mut self, name: &str) -> bool {
        match self.left.iter().position(|argument| argument == name) {
            Some(at) => {
                self.left.remove(at);
                true
            }
            None => false,
        }
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        for at in 0..self.left.len() {
            if self.left[at] == name {
                if at + 1 == self.left.len() {
                    return Err(format!("{name} needs a value"));
                }
                self.left.remove(at);
                return Ok(Some(self.left.remove(at)));
            }
            if let Some(value) = self.left[at].strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                let value = value.to_owned();
                self.left.remove(at);
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn require(&mut self, name: &str) -> Result<String, String> {
        self.value(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        value.parse().map(Some).map_err(|_| format!("{name} must be a whole number, not \"{value}\""))
    }

    fn bytes(&mut self, name: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        let bytes = parse_bytes(&value);
        bytes.map(Some).ok_or_else(|| format!("{name} must be a number of bytes such as 512MB, not \"{value}\""))
    }

    fn positive(&mut self, name: &str) -> Result<Option<usize>, String> {
        match self.number(name)? {
            Some(0) => Err(format!("{name} must be at least 1")),
            number => Ok(number.map(|number| number as usize)),
        }
    }
}

/// Sets up logs and both runtimes, and takes the data runtime down again.
fn with_runtimes(threads: Option<usize>, body: impl FnOnce(&Runtime, &Handle) -> u8) -> u8 {
    start_logs();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let data = Builder::new_multi_thread()
        .worker_threads(threads.unwrap_or_else(cores))
        .thread_name("data")
        .enable_all()
        .build();
    let control = Builder::new_current_thread().enable_all().build();
    match (data, control) {
        (Ok(data), Ok(control)) => {
            let code = body(&control, data.handle());
            data.shutdown_timeout(SHUTDOWN_MOST);
            code
        }
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("error: cannot start threads: {error}");
            exit::FAILED
        }
    }
}

fn start_logs() {
    let asked = std::env::var("STREAMWRIGHT_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    // Targets and levels: filters by span and field would bring regular expressions into every pipeline.
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    // A second subscriber is refused; the first one stays.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

async fn worker(pipeline: &'static Pipeline, identity: &Identity, epoch_rows: Option<usize>, data: &Handle) -> u8 {
    // Listening is what takes the default action away.
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    match rpc::attach(pipeline, identity, epoch_rows, data).await {
        Outcome::Finished => exit::FINISHED,
        Outcome::Failed(failure) => {
            // The controller tells the user.
            tracing::info!("{failure}");
            exit::FAILED
        }
        Outcome::Stopped => exit::STOPPED,
        Outcome::Lost(reason) => {
            tracing::error!("{reason}");
            exit::LOST
        }
    }
}

async fn run(pipeline: &'static Pipeline, path: &str, report: bool, limits: Limits, data: &Handle) -> u8 {
    let plan = match read_plan(path) {
        Ok(plan) => plan,
        Err(error) => return failed(&error.to_string(), error.hint.as_deref()),
    };
    let started = Instant::now();
    let handle = data.clone();
    let job = match data.spawn(async move { Job::start(pipeline, &plan, limits, &handle, None) }).await {
        Ok(Ok(job)) => job,
        Ok(Err(failure)) => return failed(&failure.to_string(), failure.error.hint.as_deref()),
        Err(error) => return failed(&format!("cannot start the job: {error}"), None),
    };
    let counters = job.counters();
    let controls = job.controls();
    tokio::spawn(async move {
        for stop in [Stop::Graceful, Stop::Immediate] {
            if tokio::signal::ctrl_c().await.is_ok() {
                controls.stop(stop);
            }
        }
    });
    let ended = job.wait().await;
    if report {
        eprintln!("{}", report_of(&counters, started.elapsed()));
    }
    match ended {
        Ok(Ending::Finished) => exit::FINISHED,
        Ok(Ending::Stopped) => exit::STOPPED,
        Err(failure) => failed(&failure.to_string(), failure.error.hint.as_deref()),
    }
}

fn failed(message: &str, hint: Option<&str>) -> u8 {
    eprintln!("error: {message}");
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    exit::FAILED
}

fn read_plan(path: &str) -> Result<JobPlan, TaskError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| TaskError::user(format!("cannot read the plan \"{path}\": {error}")))?;
    serde_json::from_str(&text).map_err(|error| TaskError::user(format!("\"{path}\" is not a job's plan: {error}")))
}

fn info(pipeline: &Pipeline) -> serde_json::Value {
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "protocol_version": protocol::VERSION,
        "code": pipeline.code,
        "stages": pipeline.stages.iter()
            .map(|stage| serde_json::json!({ "id": stage.id, "name": stage.name }))
            .collect::<Vec<_>>(),
        "connectors": pipeline.connectors.iter().map(|connector| connector.name).collect::<Vec<_>>(),
    })
}

fn report_of(counters: &[std::sync::Arc<crate::metrics::TaskCounters>], took: Duration) -> serde_json::Value {
    let tasks: Vec<_> = counters
        .iter()
        .map(|counters| TaskReport { name: counters.stage_name.clone(), counted: counters.snapshot() })
        .collect();
    serde_json::json!({ "seconds": took.as_secs_f64(), "tasks": tasks })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_come_in_any_order_and_both_spellings() {
        let identity = Identity {
            controller: "http://127.0.0.1:1".into(),
            worker_id: "w".into(),
            job_id: "j".into(),
            generation: 7,
            reattach: Some(Reattach { file: "next".into(), most: Duration::from_secs(60) }),
        };
        assert_eq!(
            parse(
                "worker --generation 7 --controller=http://127.0.0.1:1 --epoch-rows 9 --reattach-millis 60000 --job-id j \
                 --worker-id w --next-controller next"
            ),
            Ok(Command::Worker { identity, threads: None, epoch_rows: Some(9) })
        );
        let limits = Limits {
            batch_rows: 64,
            flush_interval: Duration::from_millis(5),
            state_memory: Some(2 << 20),
            spill_directory: Some("/tmp".into()),
            ..Limits::default()
        };
        assert_eq!(
            parse(
                "run --report --batch-rows 64 --plan p.json --flush-millis=5 --threads 2 --state-memory 2MiB --spill-dir=/tmp"
            ),
            Ok(Command::Run { plan: "p.json".into(), report: true, limits, threads: Some(2) })
        );
        assert_eq!(parse("--version"), Ok(Command::Version));
    }

    #[test]
    fn wrong_arguments_are_named() {
        assert_eq!(parse(""), Err("a command is missing".into()));
        assert_eq!(parse("dance"), Err("there is no command \"dance\"".into()));
        assert_eq!(parse("run"), Err("--plan is missing".into()));
        assert_eq!(parse("run --plan"), Err("--plan needs a value".into()));
        assert_eq!(parse("run --plan a --fast"), Err("\"--fast\" means nothing to \"run\"".into()));
        assert_eq!(parse("run --plan a --threads 0"), Err("--threads must be at least 1".into()));
        assert_eq!(
            parse("run --plan a --state-memory x"),
            Err("--state-memory must be a number of bytes such as 512MB, not \"x\"".into())
        );
        assert_eq!(
            parse("worker --controller a --worker-id b --job-id c --generation d"),
            Err("--generation must be a whole number, not \"d\"".into())
        );
        assert_eq!(
            parse("worker --controller a --worker-id b --job-id c --generation 1 --next-controller f"),
            Err("--next-controller and --reattach-millis go together".into())
        );
    }
}
