//! What checkpoints cost a pipeline that runs, and how long it takes to go on from one.
//!
//! ```text
//! cargo build --release --workspace --bins
//! target/release/checkpoints [DIRECTORY] [only=PART,...] [events=N] [keys=N,...] [rate=N] [checkpoints=N] [state=MB]
//! ```
//!
//! Everything goes through the program itself, `streamwright run`, with its controller, its worker and a state directory
//! below DIRECTORY (a temporary one, unless given; it should be on the disk that is meant). The parts:
//!
//! - `throughput`: the 10 s tumble of the end-to-end benchmark and an aggregate without a window, over `events` nexmark
//!   events, on one core, with a checkpoint each second. Baseline: the same job without any; beside it the binary alone, which does not even note what changes.
//!   Medians of [`RUNS`] runs.
//! - `pause`: for each number of `keys` a job with that many groups, of which `rate` rows change some each second, and a
//!   checkpoint each second; once with files as they are, once with compaction. How long a task did nothing but align and
//!   take its snapshot (of the tasks the slowest, over so many `checkpoints` after all keys have come), and what went to disk
//!   beside the changed rows as bare columns.
//! - `recovery`: a job with `state` megabytes of state on disk, whose worker is killed (`kill -9`) [`KILLS`] times: the time to
//!   the first row and to the first row that had not come before. It is killed right behind a checkpoint, because what came
//!   after it would be made again at the generator's pace. Restoring by itself, as the worker's log says, is compared with
//!   reading the same Parquet files and doing nothing (in one thread, all columns; a restore also checks their digests).
//!
//! Processes are found in `/proc`, so this runs on Linux only.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::hint::black_box;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use artifacts::Store as Artifacts;
use bench::Outcome;
use bench::process::{Core, Cost, title};
use compiler_driver::{CompileOptions, CompileRequest};
use compiler_service::{BuildOptions, Bundle};
use controller::checkpoint::Completed;
use controller::store::Store;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use serde_json::Value;

const RUNS: usize = 3;
const KILLS: usize = 5;

/// Of a group of `keys.sql`, as bare columns: key, window, count, sum.
const GROUP_BYTES: u64 = 32;
/// Of a group of `large.sql` in a file.
const LARGE_GROUP_BYTES: u64 = 272;
/// Changes of `large.sql` in a second.
const BEATS: u64 = 200;

/// Longest wait for a job to come to anything.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// From the end of a worker until its last rows are out of the pipe.
const PIPE_EMPTY: Duration = Duration::from_millis(50);
/// Checkpoints are waited for by looking, more often where the moment counts.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_CLOSELY: Duration = Duration::from_millis(5);

const BASELINE_BATCH_ROWS: usize = 8_192;

fn main() -> Outcome<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let temporary = tempfile::tempdir()?;
    let directory = arguments.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
    fs::create_dir_all(&directory)?;
    let bench = Bench::new(std::path::absolute(directory)?, arguments)?;
    for (name, measure) in PARTS {
        if bench.arguments.wants(name) {
            measure(&bench)?;
        } else {
            println!("left out: {name}");
        }
    }
    Ok(())
}

type Part = (&'static str, fn(&Bench) -> Outcome<()>);

const PARTS: [Part; 3] = [("throughput", Bench::throughput), ("pause", Bench::pause), ("recovery", Bench::recovery)];

struct Arguments {
    directory: Option<PathBuf>,
    /// Names of parts; none: all.
    only: Vec<String>,
    events: u64,
    keys: Vec<u64>,
    rate: u64,
    checkpoints: usize,
    /// Megabytes.
    state: u64,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Outcome<Arguments> {
        let mut parsed = Arguments {
            directory: None,
            only: vec![],
            events: 100_000_000,
            keys: vec![1_000_000, 10_000_000],
            rate: 100_000,
            checkpoints: 100,
            state: 1_000,
        };
        let number = |text: &str| text.replace('_', "").parse::<u64>();
        for argument in arguments {
            match argument.split_once('=') {
                Some(("only", names)) => parsed.only = names.split(',').map(str::to_owned).collect(),
                Some(("events", value)) => parsed.events = number(value)?,
                Some(("keys", values)) => parsed.keys = values.split(',').map(number).collect::<Result<_, _>>()?,
                Some(("rate", value)) => parsed.rate = number(value)?,
                Some(("checkpoints", value)) => parsed.checkpoints = number(value)?.clamp(1, 100) as usize,
                Some(("state", value)) => parsed.state = number(value)?,
                Some((key, _)) if !key.contains('/') => return Err(format!("there is no option \"{key}\"").into()),
                _ if parsed.directory.is_some() => return Err("at most one directory, please".into()),
                _ => parsed.directory = Some(PathBuf::from(argument)),
            }
        }
        match parsed.only.iter().find(|wanted| PARTS.iter().all(|(name, _)| name != wanted)) {
            Some(unknown) => Err(format!("there is no part \"{unknown}\"").into()),
            None => Ok(parsed),
        }
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == part)
    }
}

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../../queries/", $name, ".sql"))
    };
}

struct Bench {
    program: PathBuf,
    directory: PathBuf,
    arguments: Arguments,
    runtime: tokio::runtime::Runtime,
    core: Core,
}

impl Bench {
    fn new(directory: PathBuf, arguments: Arguments) -> Outcome<Bench> {
        let program = std::env::current_exe()?.with_file_name("streamwright");
        if !program.is_file() {
            return Err(format!("{} is not built: cargo build --release -p cli", program.display()).into());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Bench { program, directory, arguments, runtime, core: Core::choose()? })
    }

    // --- parts ------------------------------------------------------------------------------------------------------

    fn throughput(&self) -> Outcome<()> {
        let events = self.arguments.events;
        let source = sql!("end_to_end/nexmark").replace("$EVENTS", &events.to_string());
        let tumble = [sql!("end_to_end/to_blackhole"), sql!("end_to_end/tumble")].concat();
        let queries = [("tumble 10 s", tumble.as_str()), ("updating aggregate", sql!("checkpoints/updating"))];
        for (name, query) in queries {
            let sql = format!("{source}{query}");
            let query = self.query("throughput.sql", &sql)?;
            title(&format!("{name} by auction over {events} nexmark events, one core"), "no checkpoint");
            let none = self.job(&query, &["default-checkpoint-interval=1h"])?;
            self.alone(&sql)?.print("the binary alone", events, Some(&none));
            none.print("no checkpoint", events, None);
            let each_second = "default-checkpoint-interval=1s";
            self.job(&query, &[each_second])?.print("one each second", events, Some(&none));
            let compacted = self.job(&query, &[each_second, "pipeline.compaction.enabled=true"])?;
            compacted.print("  with compaction", events, Some(&none));
        }
        Ok(())
    }

    fn pause(&self) -> Outcome<()> {
        let Arguments { rate, checkpoints, .. } = self.arguments;
        println!("\n{checkpoints} checkpoints, one each second, while {rate} rows a second change something");
        println!(
            "{:<28} {:>26} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}",
            "",
            "pause ms: p50, p99, most",
            "upload ms",
            "changed",
            "rows MB",
            "files MB",
            "ratio",
            "merged MB",
            "files"
        );
        for keys in &self.arguments.keys {
            let sql = sql!("checkpoints/keys").replace("$KEYS", &keys.to_string()).replace("$RATE", &rate.to_string());
            let query = self.query("keys.sql", &sql)?;
            for compaction in [false, true] {
                let state = tempfile::tempdir_in(&self.directory)?;
                let compact = format!("pipeline.compaction.enabled={compaction}");
                let settings = ["default-checkpoint-interval=1s", compact.as_str()];
                let command = self.run(&query, state.path(), &settings);
                let mut running = Running::start(command, self.directory.join("log"), Stdio::null())?;
                running.worker()?;
                let history = self.history(state.path())?;
                let taken = history.steady(&mut running, *keys, rate, checkpoints)?;
                running.stop()?;
                let what = if compaction { ", compaction" } else { "" };
                print_pause(&format!("{keys} keys{what}"), &taken, history.files(state.path())?.len());
            }
        }
        Ok(())
    }

    fn recovery(&self) -> Outcome<()> {
        let keys = self.arguments.state * 1_000_000 / LARGE_GROUP_BYTES;
        let query = self.query("large.sql", &sql!("checkpoints/large").replace("$KEYS", &keys.to_string()))?;
        let state = tempfile::tempdir_in(&self.directory)?;
        // Each kill is to be the first in a while.
        let settings = ["default-checkpoint-interval=1s", "pipeline.healthy-duration=1s"];
        let mut command = self.run(&query, state.path(), &settings);
        command.env("STREAMWRIGHT_LOG", "worker_lib=info,warn");
        let log = self.directory.join("log");
        let mut running = Running::start(command, log.clone(), Stdio::piped())?;
        let beats = running.rows()?;
        running.worker()?;
        let history = self.history(state.path())?;
        history.steady(&mut running, keys, BEATS, 1)?;

        let (mut first, mut new, mut last) = (vec![], vec![], 0);
        for _ in 0..KILLS {
            let epoch = history.last_epoch()?;
            history.wait_for(&mut running, epoch + 2)?;
            let worker = running.worker()?;
            // SAFETY: `kill` takes numbers; the process is a child of one that we have started.
            if unsafe { libc::kill(worker as libc::pid_t, libc::SIGKILL) } != 0 {
                return Err("the worker is gone".into());
            }
            let killed = Instant::now();
            thread::sleep(PIPE_EMPTY);
            last = beats.try_iter().map(|(_, counter)| counter).fold(last, u64::max);
            let (at, mut counter) = beats.recv_timeout(PATIENCE)?;
            first.push((at - killed).as_secs_f64());
            let mut at = at;
            while counter <= last {
                (at, counter) = beats.recv_timeout(PATIENCE)?;
            }
            new.push((at - killed).as_secs_f64());
        }
        running.stop()?;

        let files = history.files(state.path())?;
        let megabytes = files.iter().map(|(_, bytes)| *bytes).sum::<u64>() as f64 / 1e6;
        println!("\nkill -9 of a worker with {megabytes:.0} MB of state in {} files, {KILLS} times", files.len());
        print_seconds("to the first row", &first);
        print_seconds("to the first new row", &new);
        let restored = restores(&fs::read_to_string(&log)?);
        if restored.len() != KILLS {
            return Err(format!("the log tells of {} restores: {}", restored.len(), log.display()).into());
        }
        let plain = (0..RUNS).map(|_| read_plainly(&files)).collect::<Outcome<Vec<f64>>>()?;
        println!("restoring, beside plain reading of the same Parquet files");
        println!("  {:<24} median {:>6.0} MB/s", "restoring", median(&restored));
        println!("  {:<24} median {:>6.0} MB/s", "baseline: reading", median(&plain));
        println!("  {:<24}        {:>6.2}", "ratio", median(&restored) / median(&plain));
        Ok(())
    }

    // --- the program ------------------------------------------------------------------------------------------------

    /// Writes a query and compiles it, so that running it starts at once.
    fn query(&self, name: &str, sql: &str) -> Outcome<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, sql)?;
        let built = self.command("build", &path).stdin(Stdio::null()).stdout(Stdio::null()).output()?;
        match built.status.success() {
            true => Ok(path),
            false => Err(format!("cannot build {name}\n{}", String::from_utf8_lossy(&built.stderr)).into()),
        }
    }

    fn command(&self, verb: &str, query: &Path) -> Command {
        let set = |key: &str, name: &str| format!("--set={key}={}", self.directory.join(name).display());
        let mut command = Command::new(&self.program);
        command.arg(verb).arg(query);
        command.arg(set("compiler.artifact-url", "artifacts")).arg(set("compiler.build-dir", "build"));
        command
    }

    fn run(&self, query: &Path, state: &Path, settings: &[&str]) -> Command {
        let mut command = self.command("run", query);
        command.arg("--state-dir").arg(state).args(settings.iter().map(|setting| format!("--set={setting}")));
        command
    }

    /// A job from its beginning to its end, on one core.
    fn job(&self, query: &Path, settings: &[&str]) -> Outcome<Cost> {
        let finished = format!("finished: {} rows in", grouped(self.arguments.events));
        Cost::median(RUNS, || {
            let state = tempfile::tempdir_in(&self.directory)?;
            let (cost, output) = self.core.run(&mut self.run(query, state.path(), settings))?;
            if output.contains(&finished) { Ok(cost) } else { Err(format!("not \"{finished}\":\n{output}").into()) }
        })
    }

    /// The same pipeline without a controller, on one core.
    fn alone(&self, sql: &str) -> Outcome<Cost> {
        let request = CompileRequest::new(sql, CompileOptions::default());
        let compiled = compiler_driver::compile(&request)
            .map_err(|found| compiler_driver::render(&found, "query.sql", sql, false))?;
        let artifacts = Artifacts::open(&self.directory.join("artifacts").to_string_lossy())?;
        let options = BuildOptions::new(Bundle::find(None)?, artifacts, self.directory.join("build"));
        let built = self.runtime.block_on(compiler_service::build(&compiled, &options))?;
        let (binary, plan) = (self.directory.join("pipeline"), self.directory.join("plan.json"));
        options.store.fetch(&built.binary.digest, &binary)?;
        fs::set_permissions(&binary, Permissions::from_mode(0o755))?;
        fs::write(&plan, serde_json::to_vec(&compiled.plan)?)?;
        let cost = Cost::median(RUNS, || {
            let mut command = Command::new(&binary);
            command.arg("run").arg("--plan").arg(&plan);
            Ok(self.core.run(&mut command)?.0)
        });
        fs::remove_file(&binary)?;
        cost
    }

    /// What a state directory knows of the checkpoints of its job, which has been submitted.
    fn history(&self, state: &Path) -> Outcome<History<'_>> {
        let store = self.runtime.block_on(Store::open(state))?;
        let job = self.runtime.block_on(store.last_job())?.ok_or("the state directory has no job")?;
        Ok(History { bench: self, store, job: job.id })
    }
}

/// A running `streamwright run`. Dropped, it is killed.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(mut command: Command, log: PathBuf, stdout: Stdio) -> Outcome<Running> {
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(File::create(&log)?).spawn()?;
        Ok(Running { child, log })
    }

    /// It has not ended.
    fn check(&mut self) -> Outcome<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{status}\n{}", fs::read_to_string(&self.log)?).into()),
        }
    }

    /// Its worker, once there is one.
    fn worker(&mut self) -> Outcome<u32> {
        let begun = Instant::now();
        loop {
            self.check()?;
            if let Some(worker) = worker_of(self.child.id()) {
                return Ok(worker);
            }
            if begun.elapsed() > PATIENCE {
                return Err("there is no worker".into());
            }
            thread::sleep(LOOK_CLOSELY);
        }
    }

    /// The counters of the rows that it prints, and when each came.
    fn rows(&mut self) -> Outcome<Receiver<(Instant, u64)>> {
        let stdout = self.child.stdout.take().ok_or("standard output is not a pipe")?;
        let (sender, rows) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Of a worker that was killed the last line may be torn.
                if let Ok(Row { counter }) = serde_json::from_str(&line)
                    && sender.send((Instant::now(), counter)).is_err()
                {
                    return;
                }
            }
        });
        Ok(rows)
    }

    /// As Ctrl-C does: with a last checkpoint.
    fn stop(mut self) -> Outcome<()> {
        // SAFETY: the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGINT) };
        let status = self.child.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{status}\n{}", fs::read_to_string(&self.log)?).into()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[derive(Deserialize)]
struct Row {
    counter: u64,
}

/// The worker among the processes that a process has started and that have not ended.
fn worker_of(parent: u32) -> Option<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let mut fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
        let (state, of) = (fields.next(), fields.next().and_then(|of| of.parse().ok()));
        of == Some(parent) && !matches!(state, Some("Z" | "X")) && read("cmdline").contains("--worker-id")
    })
}

/// The checkpoints of a job, as the database of its state directory has them.
struct History<'a> {
    bench: &'a Bench,
    store: Store,
    job: String,
}

impl History<'_> {
    fn read(&self) -> Outcome<Vec<Completed>> {
        Ok(self.bench.runtime.block_on(self.store.checkpoints(&self.job))?)
    }

    fn last_epoch(&self) -> Outcome<u64> {
        Ok(self.read()?.last().map_or(0, |completed| completed.epoch))
    }

    /// Returns at the moment at which a checkpoint is done.
    fn wait_for(&self, running: &mut Running, epoch: u64) -> Outcome<()> {
        let begun = Instant::now();
        while self.last_epoch()? < epoch {
            running.check()?;
            if begun.elapsed() > PATIENCE {
                return Err(format!("there is no checkpoint {epoch}").into());
            }
            thread::sleep(LOOK_CLOSELY);
        }
        Ok(())
    }

    /// So many checkpoints from when `keys` keys have come and no more than about `rate` rows change from one to the next.
    fn steady(&self, running: &mut Running, keys: u64, rate: u64, count: usize) -> Outcome<Vec<Completed>> {
        let begun = Instant::now();
        let mut seen: BTreeMap<u64, Completed> = BTreeMap::new();
        while begun.elapsed() < PATIENCE {
            running.check()?;
            seen.extend(self.read()?.into_iter().map(|completed| (completed.epoch, completed)));
            let mut rows = 0;
            let filling = |completed: &&Completed| {
                let changed = changed(completed);
                rows += changed;
                rows < keys || changed > 2 * rate
            };
            let steady: Vec<&Completed> = seen.values().skip_while(filling).skip(1).take(count).collect();
            if steady.len() == count {
                return Ok(steady.into_iter().cloned().collect());
            }
            thread::sleep(LOOK);
        }
        Err(format!("there are no {count} checkpoints with all {keys} keys").into())
    }

    /// The state files of the newest manifest, with their sizes.
    fn files(&self, state: &Path) -> Outcome<Vec<(PathBuf, u64)>> {
        let job = state.join("checkpoints").join(&self.job);
        let path = |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.path());
        let mut records = fs::read_dir(job.join("log"))?.map(path).collect::<Result<Vec<_>, _>>()?;
        records.sort();
        for record in records.into_iter().rev() {
            let record: Value = serde_json::from_slice(&fs::read(record)?)?;
            if record["record"] == "checkpoint" {
                let items = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
                let tables = items(&record, "stages").into_iter().flat_map(|stage| items(&stage, "tables"));
                let files = tables.flat_map(|table| items(&table, "files"));
                let file = |file: Value| -> Option<(PathBuf, u64)> {
                    Some((job.join(file["path"].as_str()?), file["bytes"].as_u64()?))
                };
                return Ok(files.filter_map(file).collect());
            }
        }
        Err("there is no manifest".into())
    }
}

/// Rows that a checkpoint has written.
fn changed(completed: &Completed) -> u64 {
    completed.tasks.iter().map(|part| part.rows).sum()
}

fn print_pause(name: &str, taken: &[Completed], files: usize) {
    let of = |figure: fn(&Completed) -> f64| taken.iter().map(figure).collect::<Vec<f64>>();
    let pauses = of(|completed| {
        let pauses = completed.tasks.iter().map(|part| part.times.align + part.times.snapshot);
        pauses.max().unwrap_or(0) as f64 / 1e3
    });
    let uploads = of(|completed| completed.tasks.iter().map(|part| part.times.upload).max().unwrap_or(0) as f64 / 1e3);
    let rows = of(|completed| changed(completed) as f64);
    let written = of(|completed| completed.bytes as f64 / 1e6);
    let merged = of(|completed| completed.merged_bytes as f64 / 1e6);
    let plain = median(&rows) * GROUP_BYTES as f64 / 1e6;
    let pause = format!("{:.1}, {:.1}, {:.1}", median(&pauses), quantile(&pauses, 0.99), quantile(&pauses, 1.0));
    println!(
        "{name:<28} {pause:>26} {:>9.1} {:>9.0} {plain:>9.2} {:>9.2} {:>9.2} {:>9.2} {files:>6}",
        median(&uploads),
        median(&rows),
        median(&written),
        median(&written) / plain,
        merged.iter().sum::<f64>() / merged.len() as f64,
    );
}

fn print_seconds(name: &str, seconds: &[f64]) {
    let all: Vec<String> = seconds.iter().map(|seconds| format!("{seconds:.2}")).collect();
    println!("  {name:<24} median {:>6.2} s  ({})", median(seconds), all.join(", "));
}

fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = part * sorted.len().saturating_sub(1) as f64;
    sorted.get(at.round() as usize).copied().unwrap_or(f64::NAN)
}

/// Megabytes per second of each restore that a worker's log tells of.
fn restores(log: &str) -> Vec<f64> {
    let number = |line: &str, name: &str| -> Option<f64> {
        let digits = line.split_once(&format!(" {name}="))?.1.split_whitespace().next()?;
        digits.parse().ok()
    };
    let lines = log.lines().filter(|line| line.contains("state is restored"));
    lines.filter_map(|line| Some(number(line, "bytes")? / 1e3 / number(line, "millis")?.max(1.0))).collect()
}

/// Megabytes per second.
fn read_plainly(files: &[(PathBuf, u64)]) -> Outcome<f64> {
    let begun = Instant::now();
    let mut bytes = 0;
    for (path, size) in files {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        for batch in builder.with_batch_size(BASELINE_BATCH_ROWS).build()? {
            black_box(batch?);
        }
        bytes += size;
    }
    Ok(bytes as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
