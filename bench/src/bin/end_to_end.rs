//! Whole pipelines on one core: rows per second and per second of CPU time, beside reading the same columns without
//! doing anything.
//!
//! ```text
//! cargo build --release --workspace --bins
//! target/release/end_to_end [BIDS [DIRECTORY]] [only=PART,...] [batch=ROWS]
//! ```
//!
//! A part is a source of bids: `parquet`, a file (written first, by a pipeline); `nexmark`, the generator itself;
//! `json`, a file of JSON lines. `only` leaves the other parts out, so that a long run can be split. Without BIDS a
//! part has 20 million, `json` 2 million. `batch` is `pipeline.source-batch-size`, also where files are written.
//!
//! A query is `SOURCE.sql` + `SINK.sql` + `QUERY.sql` of `queries/end_to_end`, compiled as `streamwright build` does
//! it, and its binary runs alone (`run --threads 1`). Baselines:
//!
//! - Parquet: the Arrow reader in a plain loop, with the columns that the query needs;
//! - the generator: a pipeline that only takes those fields;
//! - JSON lines: a loop that takes those fields of each line with the fastest parser. Which one that is, and which way
//!   of using it, is measured: what needs the least CPU time of the readers in `bench/json-readers` is the baseline; it
//!   is shown once more with times left as text.
//!
//! Everything that is measured is a process of its own, pinned to the same core, baselines too (this program started
//! again): so wall and CPU time contain the same things, the start of the process among them. Figures are medians of
//! [`RUNS`] runs, with the files in the page cache. A run that did not read all rows, or dropped some, is an error.
//!
//! In a given DIRECTORY the data and the binaries stay for the next time.

use std::fs::{self, File, Permissions};
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use artifacts::Store;
use bench::Outcome;
use bench::process::{Core, Cost, title};
use compiler_driver::{CompileOptions, CompileRequest};
use compiler_service::{BuildOptions, Bundle};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use worker_lib::runtime::Limits;

const RUNS: usize = 3;
const BIDS: u64 = 20_000_000;
const JSON_BIDS: u64 = 2_000_000;
const BASELINE_BATCH_ROWS: usize = 8_192;

/// First arguments with which this program starts itself.
const READ_PARQUET: &str = "read-parquet";

/// A query over `bids` and the columns that it needs.
struct Query {
    name: &'static str,
    sql: &'static str,
    columns: &'static [&'static str],
}

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../../queries/end_to_end/", $name, ".sql"))
    };
}

const QUERIES: [Query; 4] = [
    Query { name: "q0: four columns", sql: sql!("q0"), columns: &["auction", "bidder", "price", "dt"] },
    Query { name: "q1: price converted", sql: sql!("q1"), columns: &["auction", "bidder", "price", "dt"] },
    Query { name: "q2: one auction in 123", sql: sql!("q2"), columns: &["auction", "price"] },
    TUMBLE,
];

const TUMBLE: Query =
    Query { name: "tumble 10 s by auction", sql: sql!("tumble"), columns: &["auction", "price", "dt"] };

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(READ_PARQUET) = args.first().map(String::as_str) {
        return read_parquet(&args[1..]);
    }
    let arguments = Arguments::parse(&args)?;
    let temporary = tempfile::tempdir()?;
    let directory = arguments.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
    fs::create_dir_all(&directory)?;
    let bench = Bench::new(std::path::absolute(directory)?, arguments.batch_rows)?;
    println!("one core, {} rows a batch in pipelines, medians of {RUNS}", arguments.batch_rows);
    let (chosen, left_out): (Vec<&Part>, Vec<&Part>) = PARTS.iter().partition(|part| arguments.wants(part));
    for part in left_out {
        println!("left out: {}", part.name);
    }
    for part in chosen {
        (part.measure)(&bench, arguments.bids.unwrap_or(part.bids))?;
    }
    Ok(())
}

struct Part {
    name: &'static str,
    /// Unless the command line says how many.
    bids: u64,
    measure: fn(&Bench, u64) -> Outcome<()>,
}

const PARTS: &[Part] = &[
    Part { name: "parquet", bids: BIDS, measure: Bench::parquet },
    Part { name: "nexmark", bids: BIDS, measure: Bench::nexmark },
    Part { name: "json", bids: JSON_BIDS, measure: Bench::json },
];

/// `[BIDS [DIRECTORY]] [only=PART,...] [batch=ROWS]`, the options anywhere.
struct Arguments {
    bids: Option<u64>,
    directory: Option<PathBuf>,
    /// Names of parts; none: all.
    only: Vec<&'static str>,
    batch_rows: usize,
}

impl Arguments {
    fn parse(arguments: &[String]) -> Outcome<Arguments> {
        let mut parsed =
            Arguments { bids: None, directory: None, only: vec![], batch_rows: Limits::DEFAULT_BATCH_ROWS };
        let mut plain = vec![];
        for argument in arguments {
            match argument.split_once('=') {
                Some(("only", names)) => {
                    for name in names.split(',') {
                        let part = PARTS.iter().find(|part| part.name == name);
                        parsed.only.push(part.ok_or_else(|| format!("there is no part \"{name}\""))?.name);
                    }
                }
                Some(("batch", rows)) => parsed.batch_rows = rows.replace('_', "").parse()?,
                Some((key, _)) if !key.contains('/') => return Err(format!("there is no option \"{key}\"").into()),
                _ => plain.push(argument.as_str()),
            }
        }
        match plain.as_slice() {
            [] => {}
            [bids] => parsed.bids = Some(bids.replace('_', "").parse()?),
            [bids, directory] => {
                parsed.bids = Some(bids.replace('_', "").parse()?);
                parsed.directory = Some(PathBuf::from(directory));
            }
            _ => return Err("at most a number of bids and a directory, please".into()),
        }
        Ok(parsed)
    }

    fn wants(&self, part: &Part) -> bool {
        self.only.is_empty() || self.only.contains(&part.name)
    }
}

/// Events among which there are that many bids: in each 50, the last 46.
fn events_of(bids: u64) -> u64 {
    bids / 46 * 50 + if bids.is_multiple_of(46) { 0 } else { 4 + bids % 46 }
}

struct Bench {
    directory: PathBuf,
    /// Most rows of a source's batch.
    batch_rows: usize,
    options: BuildOptions,
    runtime: tokio::runtime::Runtime,
    core: Core,
}

/// A pipeline that is ready to run.
struct Pipeline {
    binary: PathBuf,
    plan: PathBuf,
    /// Stages that read a source.
    sources: Vec<u64>,
}

impl Bench {
    fn new(directory: PathBuf, batch_rows: usize) -> Outcome<Bench> {
        let store = Store::open(&directory.join("artifacts").to_string_lossy())?;
        let options = BuildOptions::new(Bundle::find(None)?, store, directory.join("build"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Bench { directory, batch_rows, options, runtime, core: Core::choose()? })
    }

    fn parquet(&self, bids: u64) -> Outcome<()> {
        let file = self.file(bids, "parquet", sql!("to_parquet"))?;
        let size = fs::metadata(&file)?.len();
        title(&format!("Parquet file of {bids} bids ({:.0} MB) to blackhole", size as f64 / 1e6), "plain reading");
        let source = with_path(sql!("parquet"), "$IN", &file);
        let mut baselines = Baselines::default();
        for query in &QUERIES {
            let baseline = baselines.of(query.columns, || {
                let mut arguments = vec![READ_PARQUET.to_owned(), file.to_string_lossy().into_owned()];
                arguments.extend(query.columns.iter().map(|column| (*column).to_owned()));
                self.baseline(&arguments, bids)
            })?;
            let sql = [source.as_str(), sql!("to_blackhole"), query.sql].concat();
            self.pipeline(&sql)?.measure(self, bids)?.print(query.name, bids, Some(&baseline));
        }
        baselines.print(bids);
        Ok(())
    }

    /// Rows are events here, whether the query takes them or not.
    fn nexmark(&self, bids: u64) -> Outcome<()> {
        let events = events_of(bids);
        title(&format!("nexmark, {events} events, to blackhole"), "source alone");
        let source = sql!("nexmark").replace("$EVENTS", &events.to_string());
        let to_blackhole = |query: &str| -> Outcome<Cost> {
            self.pipeline(&[source.as_str(), sql!("to_blackhole"), query].concat())?.measure(self, events)
        };
        to_blackhole(sql!("everything"))?.print("all fields", events, None);
        let mut baselines = Baselines::default();
        for query in &QUERIES {
            let baseline = baselines.of(query.columns, || {
                to_blackhole(&format!("INSERT INTO results SELECT {} FROM bids;\n", query.columns.join(", ")))
            })?;
            to_blackhole(query.sql)?.print(query.name, events, Some(&baseline));
        }
        baselines.print(events);
        Ok(())
    }

    fn json(&self, bids: u64) -> Outcome<()> {
        let file = self.file(bids, "json", sql!("to_json"))?;
        let megabytes = fs::metadata(&file)?.len() as f64 / 1e6;
        title(&format!("JSON lines, {bids} bids ({megabytes:.0} MB), to a JSON file"), "plain reading");
        let program = json_readers()?;
        let read = |reader: &str, times: &str| {
            let mut command = Command::new(&program);
            command.args([reader, times]).arg(&file);
            self.baseline_of(command, bids)
        };
        let names = String::from_utf8(Command::new(&program).output()?.stdout)?;
        let mut readers = vec![];
        for reader in names.lines() {
            readers.push((reader, read(reader, "times-parsed")?));
        }
        let fastest = readers.iter().min_by(|(_, a), (_, b)| a.cpu.total_cmp(&b.cpu));
        let (fastest, baseline) = *fastest.ok_or("there is no reader of JSON")?;
        let source = with_path(sql!("json"), "$IN", &file);
        let sink = with_path(sql!("to_json"), "$OUT", &self.directory.join("totals.json"));
        let cost = self.pipeline(&[source.as_str(), sink.as_str(), TUMBLE.sql].concat())?.measure(self, bids)?;
        cost.print(TUMBLE.name, bids, Some(&baseline));
        for (reader, cost) in &readers {
            cost.print(&format!("  {reader}"), bids, Some(&baseline));
        }
        read(fastest, "times-as-text")?.print("  the fastest, times left as text", bids, Some(&baseline));
        println!("plain reading is the fastest in CPU time: {fastest}");
        for (what, cost) in [(TUMBLE.name, &cost), ("  plain reading", &baseline)] {
            println!("{what:<34} {:>6.0} MB/s, {:.0} MB per CPU-second", megabytes / cost.wall, megabytes / cost.cpu);
        }
        Ok(())
    }

    /// A file of that many bids. It has its name only when it is complete, so one that is there is good.
    fn file(&self, bids: u64, format: &str, sink: &str) -> Outcome<PathBuf> {
        let file = self.directory.join(format!("bids-{bids}.{format}"));
        if file.exists() {
            return Ok(file);
        }
        let partial = self.directory.join(format!("partial-{bids}.{format}"));
        let events = events_of(bids);
        let source = sql!("nexmark").replace("$EVENTS", &events.to_string());
        let sink = with_path(sink, "$OUT", &partial);
        let cost = self
            .pipeline(&[source.as_str(), sink.as_str(), sql!("all_bids")].concat())?
            .measure_runs(self, events, 1)?;
        fs::rename(&partial, &file)?;
        title(&format!("nexmark, {events} events, to a {format} file (one run)"), "");
        cost.print("all columns of bids", events, None);
        Ok(file)
    }

    fn pipeline(&self, sql: &str) -> Outcome<Pipeline> {
        let request = CompileRequest::new(sql, CompileOptions::default());
        let compiled = compiler_driver::compile(&request)
            .map_err(|found| compiler_driver::render(&found, "query.sql", sql, false))?;
        let built = self.runtime.block_on(compiler_service::build(&compiled, &self.options))?;
        let binary = self.directory.join(format!("pipeline-{}", built.binary.digest));
        self.options.store.fetch(&built.binary.digest, &binary)?;
        fs::set_permissions(&binary, Permissions::from_mode(0o755))?;
        let plan = self.directory.join("plan.json");
        fs::write(&plan, serde_json::to_vec(&compiled.plan)?)?;
        let stages = compiled.plan.stages.iter().filter(|stage| stage.source.is_some());
        Ok(Pipeline { binary, plan, sources: stages.map(|stage| stage.id as u64).collect() })
    }

    /// Runs this program with these arguments; it prints the rows that it has read.
    fn baseline(&self, arguments: &[String], rows: u64) -> Outcome<Cost> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments);
        self.baseline_of(command, rows)
    }

    /// A program that says on stderr how many rows it has read.
    fn baseline_of(&self, mut command: Command, rows: u64) -> Outcome<Cost> {
        Cost::median(RUNS, || {
            let (cost, output) = self.core.run(&mut command)?;
            let read: u64 = output.trim().parse()?;
            if read == rows { Ok(cost) } else { Err(format!("the baseline has read {read} rows of {rows}").into()) }
        })
    }
}

/// Builds the loops that only read JSON lines; their program.
fn json_readers() -> Outcome<PathBuf> {
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/json-readers");
    let exe = std::env::current_exe()?;
    let target = exe.parent().and_then(Path::parent).ok_or("the program has no directory")?.join("json-readers");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--quiet", "--target-dir"]).arg(&target).current_dir(package);
    match cargo.status()?.success() {
        true => Ok(target.join("release/json-readers")),
        false => Err("cannot build bench/json-readers".into()),
    }
}

/// A table's text with its path, as a string literal has it.
fn with_path(sql: &str, placeholder: &str, path: &Path) -> String {
    sql.replace(placeholder, &path.to_string_lossy().replace('\'', "''"))
}

impl Pipeline {
    fn measure(&self, bench: &Bench, rows: u64) -> Outcome<Cost> {
        self.measure_runs(bench, rows, RUNS)
    }

    fn measure_runs(&self, bench: &Bench, rows: u64, runs: usize) -> Outcome<Cost> {
        let cost = Cost::median(runs, || {
            let mut command = Command::new(&self.binary);
            command.args(["run", "--report", "--threads", "1", "--batch-rows"]).arg(bench.batch_rows.to_string());
            command.arg("--plan").arg(&self.plan);
            let (cost, output) = bench.core.run(&mut command)?;
            self.check(&output, rows)?;
            Ok(cost)
        });
        fs::remove_file(&self.binary)?;
        cost
    }

    /// All rows have been read, and none was left out.
    fn check(&self, output: &str, rows: u64) -> Outcome<()> {
        let report = output.lines().rev().find(|line| line.starts_with('{')).ok_or("the pipeline gave no report")?;
        let report: Report = serde_json::from_str(report)?;
        let sources = report.tasks.iter().filter(|task| self.sources.contains(&task.stage));
        let read: u64 = sources.map(|task| task.rows_in).sum();
        if read != rows {
            return Err(format!("the pipeline has read {read} rows of {rows}").into());
        }
        let dropped: u64 = report.tasks.iter().map(|task| task.late_rows + task.bad_rows).sum();
        match dropped {
            0 => Ok(()),
            _ => Err(format!("the pipeline has dropped {dropped} rows").into()),
        }
    }
}

/// What `run --report` says last.
#[derive(Deserialize)]
struct Report {
    tasks: Vec<TaskReport>,
}

#[derive(Deserialize)]
struct TaskReport {
    stage: u64,
    rows_in: u64,
    late_rows: u64,
    bad_rows: u64,
}

/// Baselines that have been measured, by their columns.
#[derive(Default)]
struct Baselines(Vec<(&'static [&'static str], Cost)>);

impl Baselines {
    fn of(&mut self, columns: &'static [&'static str], measure: impl FnOnce() -> Outcome<Cost>) -> Outcome<Cost> {
        if let Some((_, cost)) = self.0.iter().find(|(known, _)| *known == columns) {
            return Ok(*cost);
        }
        let cost = measure()?;
        self.0.push((columns, cost));
        Ok(cost)
    }

    fn print(&self, rows: u64) {
        for (columns, cost) in &self.0 {
            cost.print(&format!("  only {}", columns.join(", ")), rows, None);
        }
    }
}

/// Baseline: `FILE COLUMN...`. Every batch is decoded and dropped.
fn read_parquet(arguments: &[String]) -> Outcome<()> {
    let (file, columns) = arguments.split_first().ok_or("no file")?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
    let mut rows = 0;
    for batch in builder.with_projection(columns).with_batch_size(BASELINE_BATCH_ROWS).build()? {
        rows += black_box(batch?).num_rows();
    }
    eprintln!("{rows}");
    Ok(())
}
