//! A case through crashes: a worker is killed at a chosen step of a checkpoint, the next one goes on from the newest
//! manifest, and in the end there must be the rows of the run without crashes.
//!
//! ```text
//!   life 1:  x3 lost ✗   x1 manifest ✗   x1 published ✗   x3 lost ✗   x2 manifest ✗   x1 published ✗ ...   finished
//!   life 2:  x1 lost ✗   x2 manifest ✗   x2 published ✗   x1 lost ✗   x3 manifest ✗   x2 published ✗ ...
//!   life 3:  x2 lost ✗   x3 manifest ✗   x3 published ✗   x2 lost ✗   x1 manifest ✗   x3 published ✗ ...
//! ```
//!
//! So every manifest of a life is gone on from, the last one included, behind which there are no more rows; over the
//! three lives each is restored at parallelism 1, 2 and 3, and by as many tasks as it was taken from, more and fewer.
//!
//! Workers are real processes. Their controller is here: the real server, log and coordinator, but no timer. A worker's
//! sources read a given number of rows in each epoch (`--epoch-rows`), whenever the barrier is ordered, and wait until it
//! is published; so where a life is cut depends on the case alone. Epochs have 2, 2, 4, 8 ... rows for each source: a dozen
//! rows are four epochs, five hundred are nine.
//!
//! Rows that were printed in an epoch that is lost are not counted, as `stdout` promises no more. Whatever else is written is
//! read from where it lies, hidden files as well: what crashes leave behind must be gone at the end. Of changes the rows
//! count that are left of them, over all generations: one that takes back a row takes back what its predecessors wrote.
//!
//! Inputs are not cut in parts: a task that reads several files one after the other would find the rows of the second one
//! late, now that batches are small. A case whose rows come so late within its one file that small batches drop them
//! has a `.no-crashes`.
//!
//! The third life has no memory for state: after each batch all groups go to disk, and come back when they are asked for.
//!
//! Not here: crashes at random moments (`tests/cli/recovery.rs`), networks and stores that fail (`tests/simulation.rs`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use artifacts::objects::open_objects;
use controller::checkpoint::{Coordinator, Effect, Event, Setting};
use controller::log::{Claim, Log};
use controller::server::{self, Attachment, Outbound, Registry, Server};
use controller::state::Time;
use futures::future::join_all;
use protocol::checkpoint::Reason;
use protocol::job::JobPlan;
use protocol::rpc;
use protocol::rpc::controller_message::Message as Order;
use protocol::rpc::worker_message::Message as Word;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::case::Case;
use super::changes;
use super::running::{Outputs, Run, STDOUT, collect, lines, same, started, writes_to_stdout};
use super::world::World;

/// Where all workers attach.
struct Meeting {
    /// By job, who listens to its workers.
    workers: Registry,
    server: Server,
}

fn meeting(world: &World) -> Result<&'static Meeting, String> {
    static MEETING: OnceLock<Result<Meeting, String>> = OnceLock::new();
    let meeting = MEETING.get_or_init(|| {
        let workers = Registry::default();
        let started = world.runtime.block_on(server::start(workers.clone()));
        started.map(|server| Meeting { workers, server }).map_err(|error| error.to_string())
    });
    meeting.as_ref().map_err(Clone::clone)
}

/// Rows of a source's batch.
const BATCH_ROWS: u32 = 2;

/// Where in a checkpoint the worker of one generation after the other is killed.
const CRASHES: [Crash; 3] = [Crash::BeforeRecord, Crash::BeforePublish, Crash::AfterPublish];

/// Which parallelism one generation after the other has, counted from its life's. Of those that commit, one stays at that
/// of the manifest that it restores, the next goes on by one, the third by two.
const TURNS: [usize; 9] = [2, 0, 0, 2, 1, 0, 2, 0, 1];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    /// Every task has reported, and nothing is in the log.
    BeforeRecord,
    /// The manifest is in the log, and no sink knows.
    BeforePublish,
    /// All sinks have published.
    AfterPublish,
}

/// More than any case needs.
const GENERATIONS_MOST: usize = 100;

/// A generation that takes longer hangs: it has a few rows to read.
const GENERATION_MOST: Duration = Duration::from_secs(60);

/// Words of workers that wait to be heard.
const WORDS: usize = 64;

/// Whether a crash could change anything: the job keeps state, or publishes rows with its checkpoints.
pub(crate) fn concerns(plan: &JobPlan) -> bool {
    let publishes = |connector: &str| !matches!(connector, "stdout" | "blackhole");
    plan.stages
        .iter()
        .any(|stage| !stage.tables.is_empty() || stage.sink.as_ref().is_some_and(|sink| publishes(&sink.connector)))
}

/// Compares what comes out of all lives with the rows that are `expected`. `runs` are the parallelisms.
pub(crate) fn check(
    case: &Case,
    world: &World,
    binary: &Path,
    runs: &[&Run],
    expected: &Outputs,
) -> Result<(), String> {
    let meeting = meeting(world)?;
    let lives = (0..runs.len()).map(|first| async move {
        let mut life = Life::begin(case, meeting, binary, runs, first)?;
        let lived = life.live().await;
        meeting.workers.remove(&life.job);
        let what = format!("with crashes ({})", life.history.join(", "));
        same(&what, expected, &lived.map_err(|error| format!("{what}: {error}"))?)
    });
    let wrong: Vec<String> = world.runtime.block_on(join_all(lives)).into_iter().filter_map(Result::err).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n")),
    }
}

/// How a generation has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Killed, and nothing of its epoch is in the log.
    Lost,
    /// Killed, with a manifest in the log.
    Committed,
    Finished,
}

/// A job from its first generation to its end.
struct Life<'a> {
    case: &'a Case,
    meeting: &'static Meeting,
    binary: &'a Path,
    /// By parallelism, its own first.
    plans: Vec<JobPlan>,
    job: String,
    directory: TempDir,
    /// All state is to be on disk.
    short: bool,
    /// What its workers say.
    attachments: mpsc::Receiver<Attachment>,
    log: Log,
    /// Manifests in the log.
    epochs: u32,
    /// Bytes that the present worker had printed when its last checkpoint was complete.
    kept: usize,
    /// Rows that will not be printed again.
    printed: Vec<String>,
    /// What has become of each generation, for messages.
    history: Vec<String>,
}

impl<'a> Life<'a> {
    /// `first`: which of the runs has its own parallelism.
    fn begin(
        case: &'a Case,
        meeting: &'static Meeting,
        binary: &'a Path,
        runs: &[&Run],
        first: usize,
    ) -> Result<Life<'a>, String> {
        static LIVES: AtomicU64 = AtomicU64::new(0);
        let directory = TempDir::new().map_err(|error| error.to_string())?;
        let out = out(&directory);
        fs::create_dir(&out).map_err(|error| error.to_string())?;
        let mut plans = runs.iter().map(|run| run.plan_into(&out)).collect::<Result<Vec<_>, _>>()?;
        plans.rotate_left(first);
        let objects = open_objects(&checkpoints(&directory)).map_err(|error| error.to_string())?;
        let job = format!("life-{}", LIVES.fetch_add(1, Ordering::Relaxed));
        let (words, attachments) = mpsc::channel(WORDS);
        meeting.workers.add(&job, words);
        let log = Log::new(objects, job.clone());
        let (epochs, printed, history) = (0, vec![], vec![]);
        // The last life begins with three tasks.
        let short = first + 1 == runs.len();
        let kept = 0;
        Ok(Life {
            case,
            meeting,
            binary,
            plans,
            job,
            directory,
            short,
            attachments,
            log,
            epochs,
            kept,
            printed,
            history,
        })
    }

    async fn live(&mut self) -> Result<Outputs, String> {
        for generation in 0..GENERATIONS_MOST {
            let turn = TURNS[generation % TURNS.len()];
            let plan = self.plans[turn % self.plans.len()].clone();
            let tasks = plan.stages.iter().map(|stage| stage.parallelism).max().unwrap_or(0);
            let fate = self.generation(generation, plan).await.map_err(|error| format!("then x{tasks}: {error}"))?;
            self.history.push(format!("x{tasks} {fate:?}").to_lowercase());
            if fate == Fate::Finished {
                return self.outputs();
            }
        }
        Err(format!("not finished after {GENERATIONS_MOST} generations"))
    }

    async fn generation(&mut self, number: usize, plan: JobPlan) -> Result<Fate, String> {
        let owner = format!("{} {number}", self.job);
        let claim = self.log.claim(0, owner).await.map_err(|error| error.to_string())?;
        // Whoever finds that all rows have been read is the last.
        let all_read = claim.restore.as_ref().is_some_and(|manifest| manifest.reason == Reason::End);
        let crash = if all_read { None } else { Some(CRASHES[number % CRASHES.len()]) };
        let path = |name: &str| self.directory.path().join(name);
        let (stdout, stderr) = (path("stdout"), path("stderr"));
        let mut worker = self.start_worker(&claim, &stdout, &stderr)?;
        let fate = tokio::select! {
            biased;
            fate = self.control(&claim, plan, crash) => fate,
            ended = worker.wait() => Err(format!("the worker has ended by itself: {ended:?}")),
            () = tokio::time::sleep(GENERATION_MOST) => Err(format!("it hangs for {GENERATION_MOST:?}")),
        };
        if fate != Ok(Fate::Finished) {
            // One that has ended by itself cannot be killed, which is said above.
            let _ = worker.start_kill();
        }
        let status = worker.wait().await.map_err(|error| error.to_string())?;
        let fate = match fate {
            Ok(Fate::Finished) if !status.success() => Err(format!("it has finished with {status}")),
            fate => fate,
        };
        let fate = fate.map_err(|error| format!("{error}\n{}", read(&stderr).unwrap_or_default()))?;
        let printed = read(&stdout)?;
        match fate {
            Fate::Lost => {}
            // What has been printed since belongs to the next epoch, which will be read again.
            Fate::Committed => self.printed.extend(lines(&printed[..self.kept])),
            Fate::Finished => self.printed.extend(lines(&printed)),
        }
        self.epochs += u32::from(fate == Fate::Committed);
        Ok(fate)
    }

    fn start_worker(&self, claim: &Claim, stdout: &Path, stderr: &Path) -> Result<Child, String> {
        let file = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
        let epoch_rows = 1u64 << self.epochs.min(40);
        let mut command = Command::new(self.binary);
        command
            .arg("worker")
            .args(["--controller", &format!("http://{}", self.meeting.server.address)])
            .args(["--worker-id", "worker", "--job-id", &self.job])
            .args(["--generation", &claim.generation.to_string()])
            .args(["--epoch-rows", &epoch_rows.to_string(), "--threads", "2"])
            .current_dir(&self.case.directory)
            .stdin(Stdio::null())
            .stdout(file(stdout)?)
            .stderr(file(stderr)?)
            .kill_on_drop(true);
        started(self.binary, || command.spawn())
    }

    /// The controller's part, until the job has finished or its worker is to be killed.
    async fn control(&mut self, claim: &Claim, plan: JobPlan, crash: Option<Crash>) -> Result<Fate, String> {
        let clock = Instant::now();
        let now = || Time::after_start(clock.elapsed());
        let start = self.start_order(claim, &plan)?;
        let mut writer = self.log.writer(claim);
        let mut coordinator = Coordinator::new(self.setting(claim, plan), now());
        let mut worker = None;
        loop {
            let word = match self.attachments.recv().await.ok_or("the server for workers has ended")? {
                Attachment::Attached { register, outbound } if register.generation == claim.generation => {
                    say(&outbound, Order::Start(start.clone())).await?;
                    worker = Some(outbound);
                    continue;
                }
                Attachment::Said { generation, message, .. } if generation == claim.generation => message,
                // Of workers that have been killed.
                Attachment::Attached { .. } | Attachment::Said { .. } | Attachment::Detached { .. } => continue,
            };
            let Some(worker) = &worker else { continue };
            let mut events = match word {
                Word::Started(_) => vec![Event::Tick],
                Word::TaskCheckpointed(checkpointed) => {
                    let snapshot = serde_json::from_str(&checkpointed.snapshot).map_err(|error| error.to_string())?;
                    vec![Event::Snapshot(Box::new(snapshot))]
                }
                Word::TaskPublished(published) => {
                    let place = (published.stage as usize, published.task as usize);
                    vec![Event::Published { place, epoch: published.epoch }]
                }
                Word::TaskFailed(failed) => return Err(failed.message),
                Word::Finished(_) => return Ok(Fate::Finished),
                Word::Register(_) | Word::Progress(_) => continue,
            };
            while let Some(event) = events.pop() {
                for effect in coordinator.step(event, now(), 0) {
                    match effect {
                        Effect::Begin { epoch, last } => {
                            say(worker, Order::Checkpoint(rpc::Checkpoint { epoch, last })).await?;
                        }
                        Effect::Write(_) if crash == Some(Crash::BeforeRecord) => return Ok(Fate::Lost),
                        Effect::Write(manifest) => {
                            self.kept = bytes_of(&self.directory.path().join("stdout"))?;
                            let epoch = writer.append(*manifest).await.map_err(|error| error.to_string())?;
                            events.push(Event::Written { epoch });
                        }
                        Effect::Publish { .. } if crash == Some(Crash::BeforePublish) => return Ok(Fate::Committed),
                        Effect::Publish { epoch } => say(worker, Order::Publish(rpc::Publish { epoch })).await?,
                        Effect::Completed(_) if crash == Some(Crash::AfterPublish) => return Ok(Fate::Committed),
                        Effect::Completed(_) => {}
                        Effect::Fail(failure) => return Err(failure.to_string()),
                    }
                }
            }
        }
    }

    fn start_order(&self, claim: &Claim, plan: &JobPlan) -> Result<rpc::Start, String> {
        let restore = claim.restore.as_ref().map(serde_json::to_string).transpose();
        Ok(rpc::Start {
            plan: serde_json::to_string(plan).map_err(|error| error.to_string())?,
            source_batch_rows: BATCH_ROWS,
            checkpoint_url: checkpoints(&self.directory),
            restore: restore.map_err(|error| error.to_string())?.unwrap_or_default(),
            // In one life of three nothing fits into memory.
            state_memory: Some(if self.short { 0 } else { 1 << 30 }),
            spill_directory: self.directory.path().join("spill").to_string_lossy().into_owned(),
            ..rpc::Start::default()
        })
    }

    /// A checkpoint follows the other: how many rows are between them is the sources' business.
    fn setting(&self, claim: &Claim, plan: JobPlan) -> Setting {
        Setting {
            job: self.job.clone(),
            generation: claim.generation,
            plan,
            next_epoch: claim.number + 1,
            restored: claim.restore.clone(),
            interval: Duration::ZERO,
            timeout: GENERATION_MOST,
        }
    }

    fn outputs(&self) -> Result<Outputs, String> {
        let mut outputs = Outputs::new();
        if !self.printed.is_empty() || writes_to_stdout(&self.plans[0]) {
            outputs.insert(STDOUT.to_owned(), self.printed.clone());
        }
        collect(&out(&self.directory), None, &mut outputs)?;
        for (name, lines) in &mut outputs {
            // The files of several generations have no order in common.
            *lines = changes::folded(lines, name == STDOUT).map_err(|error| format!("output {name}: {error}"))?;
        }
        Ok(outputs)
    }
}

/// `$OUT` of a life.
fn out(directory: &TempDir) -> PathBuf {
    directory.path().join("out")
}

/// The URL of a life's checkpoints.
fn checkpoints(directory: &TempDir) -> String {
    directory.path().join("checkpoints").to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

async fn say(worker: &Outbound, order: Order) -> Result<(), String> {
    let message = rpc::ControllerMessage { message: Some(order) };
    worker.send(Ok(message)).await.map_err(|_| "the worker does not listen".to_owned())
}

fn bytes_of(path: &Path) -> Result<usize, String> {
    let found = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    usize::try_from(found.len()).map_err(|error| error.to_string())
}
