//! How long until `streamwright run` prints a row: with a query that nobody has compiled, and with one from the store.
//!
//! ```text
//! cargo build --release -p cli && cargo run --release -p bench --bin startup
//! ```
//!
//! From the start of the process to the first line on its standard output. A pipeline that is compiled gets a store and
//! a build directory of its own, and a number in its text that no earlier one had. The row waits up to 100 ms in the
//! source's batch (`pipeline.source-batch-linger`), as it does for every user. The baseline is the program doing
//! nothing: `streamwright --version`.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 5;
const QUERY: &str = include_str!("../../queries/startup/impulse.sql");
const FILE: &str = "impulse.sql";
/// How long a run may take to stop in good order.
const STOP_MOST: Duration = Duration::from_secs(10);

fn main() -> Outcome<()> {
    let program = std::env::current_exe()?.with_file_name("streamwright");
    if !program.is_file() {
        return Err(format!("{} is not built: cargo build --release -p cli", program.display()).into());
    }
    let scratch = tempfile::tempdir()?;
    let first = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
    let (mut nothing, mut unseen, mut cached) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        let begun = Instant::now();
        Command::new(&program).arg("--version").stdout(Stdio::null()).status()?;
        nothing.push(begun.elapsed());
        let directory = scratch.path().join(run.to_string());
        std::fs::create_dir(&directory)?;
        std::fs::write(directory.join(FILE), QUERY.replace("$LITERAL", &(first + run as u64).to_string()))?;
        let start = Start { program: &program, directory: &directory };
        unseen.push(start.first_row()?);
        cached.push(start.first_row()?);
    }
    println!("streamwright run on impulse, from start to first row, {RUNS} runs");
    print("never seen before", &mut unseen);
    print("cached", &mut cached);
    print("baseline: --version", &mut nothing);
    Ok(())
}

fn print(name: &str, times: &mut [Duration]) {
    times.sort();
    let millis = |time: &Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
    let all: Vec<String> = times.iter().map(millis).collect();
    println!("  {name:<20} median {:>6} ms  ({})", millis(&times[times.len() / 2]), all.join(", "));
}

struct Start<'a> {
    program: &'a Path,
    /// Of the query, the store and everything else that is kept.
    directory: &'a Path,
}

impl Start<'_> {
    fn first_row(&self) -> Outcome<Duration> {
        let log = self.directory.join("log");
        let set = |key: &str, name: &str| format!("--set={key}={}", self.directory.join(name).display());
        let mut command = Command::new(self.program);
        command
            .args(["run", FILE])
            .arg(set("compiler.artifact-url", "artifacts"))
            .arg(set("compiler.build-dir", "build"))
            .current_dir(self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let begun = Instant::now();
        let mut running = Running { child: command.spawn()?, log };
        let output = running.child.stdout.take().ok_or("standard output is not a pipe")?;
        let mut rows = BufReader::new(output);
        let mut row = String::new();
        rows.read_line(&mut row)?;
        let took = begun.elapsed();
        // The reader stays: without one the job would stop for another reason.
        running.stop()?;
        if row.starts_with('{') { Ok(took) } else { Err(format!("not a row: \"{row}\"\n{}", running.said()).into()) }
    }
}

struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// As Ctrl-C does.
    fn stop(&mut self) -> Outcome<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        // SAFETY: the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGINT) };
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > STOP_MOST {
                return Err(format!("it does not stop\n{}", self.said()).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    /// Nothing is left running, whatever went wrong.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
