//! What it costs when state does not fit into memory.
//!
//! ```text
//! cargo build --release --workspace --bins
//! target/release/spill [DIRECTORY] [keys=N] [rows=N] [times=N]
//! ```
//!
//! A pipeline's binary alone, on one core, over `rows` numbers: a count and a sum for each of `keys` keys, by a window that
//! does not close before the end (`tumble`), and without a window (`updating`). Every key comes once, then keys come as often as
//! each other (`uniform`), or a few of them most of the time (`zipf`). Baseline: the same with all state in memory. Beside it the
//! limit is the largest that the state was there, divided by `times` (4, unless given), so that most of it is on disk, below
//! DIRECTORY (a temporary one, unless given; it should be on the disk that is meant).
//!
//! The machine's page cache may hold what is on disk; a limit by control group shows what remains without it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use artifacts::Store as Artifacts;
use bench::Outcome;
use bench::process::{Core, Cost, title};
use compiler_driver::{CompileOptions, CompileRequest};
use compiler_service::{BuildOptions, Bundle};
use serde_json::Value;

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../../queries/spill/", $name, ".sql"))
    };
}

/// No state comes near it.
const NO_LIMIT: &str = "1TiB";

fn main() -> Outcome<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let temporary = tempfile::tempdir()?;
    let directory = arguments.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
    fs::create_dir_all(&directory)?;
    let bench = Bench {
        directory: std::path::absolute(directory)?,
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        core: Core::choose()?,
        arguments,
    };
    for (aggregate, query) in [("tumble", sql!("tumble")), ("updating", sql!("updating"))] {
        for (keys, source) in [("uniform", sql!("uniform")), ("zipf", sql!("zipf"))] {
            bench.compare(&format!("{aggregate}, {keys} keys"), &[source, SINK, query].concat())?;
        }
    }
    Ok(())
}

const SINK: &str = "CREATE TABLE kept WITH (connector = 'blackhole', type = 'sink');\nINSERT INTO kept\n";

struct Arguments {
    directory: Option<PathBuf>,
    keys: u64,
    rows: u64,
    times: u64,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Outcome<Arguments> {
        let mut parsed = Arguments { directory: None, keys: 4_000_000, rows: 20_000_000, times: 4 };
        let number = |text: &str| text.replace('_', "").parse::<u64>();
        for argument in arguments {
            match argument.split_once('=') {
                Some(("keys", value)) => parsed.keys = number(value)?.max(1),
                Some(("rows", value)) => parsed.rows = number(value)?,
                Some(("times", value)) => parsed.times = number(value)?.max(1),
                Some((key, _)) if !key.contains('/') => return Err(format!("there is no option \"{key}\"").into()),
                _ if parsed.directory.is_some() => return Err("at most one directory, please".into()),
                _ => parsed.directory = Some(PathBuf::from(argument)),
            }
        }
        Ok(parsed)
    }
}

struct Bench {
    directory: PathBuf,
    arguments: Arguments,
    runtime: tokio::runtime::Runtime,
    core: Core,
}

impl Bench {
    /// One query, with all state in memory and with little of it.
    fn compare(&self, what: &str, sql: &str) -> Outcome<()> {
        let Arguments { keys, rows, times, .. } = self.arguments;
        let sql = sql
            .replace("$KEYS", &keys.to_string())
            .replace("$ROWS", &rows.to_string())
            .replace("$MORE", &rows.saturating_sub(keys).to_string());
        let (binary, plan) = self.build(&sql)?;
        title(&format!("{what}: {rows} rows, {keys} keys"), "in memory");
        let in_memory = self.run(&binary, &plan, NO_LIMIT)?;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        in_memory.cost.print(&format!("in memory: {:.0} MB", megabytes(in_memory.most)), rows, None);
        let limit = in_memory.most / times;
        let on_disk = self.run(&binary, &plan, &limit.to_string())?;
        on_disk.cost.print(&format!("with {:.0} MB", megabytes(limit)), rows, Some(&in_memory.cost));
        println!(
            "  at most {:.0} MB in memory, {:.0} MB on disk; wall time {:.2} of that in memory",
            megabytes(on_disk.most),
            megabytes(on_disk.on_disk),
            on_disk.cost.wall / in_memory.cost.wall,
        );
        if on_disk.rows_out != in_memory.rows_out && what.starts_with("tumble") {
            return Err(format!("{} rows out, {} in memory", on_disk.rows_out, in_memory.rows_out).into());
        }
        fs::remove_file(&binary)?;
        Ok(())
    }

    fn build(&self, sql: &str) -> Outcome<(PathBuf, PathBuf)> {
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
        Ok((binary, plan))
    }

    fn run(&self, binary: &Path, plan: &Path, limit: &str) -> Outcome<Run> {
        let mut command = Command::new(binary);
        command.arg("run").arg("--report").arg("--plan").arg(plan);
        command.args(["--state-memory", limit]).arg("--spill-dir").arg(&self.directory);
        let (cost, output) = self.core.run(&mut command)?;
        let report = output.lines().last().ok_or("there is no report")?;
        let report: Value = serde_json::from_str(report)?;
        let tasks = report["tasks"].as_array().ok_or("the report has no tasks")?;
        let sum = |name: &str| tasks.iter().filter_map(|task| task[name].as_u64()).sum();
        let rows_out = tasks.last().and_then(|task| task["rows_out"].as_u64()).unwrap_or(0);
        Ok(Run { cost, most: sum("state_bytes_most"), on_disk: sum("spilled_bytes_most"), rows_out })
    }
}

/// What a run has cost, and where its state was.
struct Run {
    cost: Cost,
    /// The largest that each task's state was in memory, and on disk: bytes.
    most: u64,
    on_disk: u64,
    rows_out: u64,
}
