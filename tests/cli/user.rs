//! Somebody at a terminal: a directory, the program, what it says, and how it ends.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program;

/// Longest wait for anything. Who waits longer waits for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Five numbered rows, then the end.
pub(crate) const BEATS: &str = "\
CREATE TABLE beats WITH (connector = 'impulse', message_count = 5);
SELECT counter FROM beats;
";

/// The same, of another code: rows 3 and 4.
pub(crate) const LAST_BEATS: &str = "\
CREATE TABLE beats WITH (connector = 'impulse', message_count = 5);
SELECT counter FROM beats WHERE counter >= 3;
";

/// The program, and where tests that do not mind share what is compiled.
struct Shared {
    program: PathBuf,
    cache: PathBuf,
}

impl Shared {
    fn get() -> &'static Shared {
        static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
        SHARED.get_or_init(Shared::make).as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    fn make() -> Result<Shared, String> {
        let shared = Shared { program: program::build()?, cache: program::cache_directory("cli-cases")? };
        // The first build seals the toolchain bundle, with all cores: here, and not in every test at once. What is
        // wrong with it is for the tests to say.
        let _ = shared.command(&shared.cache).args(["build", BEATS]).output();
        Ok(shared)
    }

    /// The program in an environment that says nothing of configuration, stores and colours.
    fn command(&self, cache: &Path) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if ["STREAMWRIGHT", "ARROYO"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.env("XDG_CONFIG_HOME", cache.join("no-configuration")).env("XDG_CACHE_HOME", cache);
        command
    }
}

pub(crate) struct User {
    directory: TempDir,
    /// Stands for `~/.cache`.
    cache: PathBuf,
    runs: Cell<usize>,
}

impl User {
    /// Who finds compiled what other tests have compiled.
    pub(crate) fn new() -> User {
        User { directory: tempfile::tempdir().unwrap(), cache: Shared::get().cache.clone(), runs: Cell::new(0) }
    }

    /// Who has never compiled anything.
    pub(crate) fn with_empty_store() -> User {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("cache");
        User { directory, cache, runs: Cell::new(0) }
    }

    /// A file of the user's directory, which is the working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `compiler.artifact-url`, where it is by default.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.cache.join("streamwright/artifacts")
    }

    /// `compiler.build-dir`, where it is by default.
    pub(crate) fn build_dir(&self) -> PathBuf {
        self.cache.join("streamwright/build")
    }

    /// `streamwright ARGUMENTS`, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Shared::get().command(&self.cache);
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    /// `streamwright ARGUMENTS`, to its end.
    pub(crate) fn streamwright(&self, arguments: &[&str]) -> Ended {
        self.start(self.command(arguments)).ended()
    }

    pub(crate) fn start(&self, command: Command) -> Running {
        let stdout = File::create(self.said("stdout")).unwrap();
        self.start_into(command, stdout)
    }

    /// At a terminal, with rows in a file.
    pub(crate) fn start_at(&self, mut command: Command, terminal: impl Into<Stdio>) -> Running {
        let (out, err) = (self.said("stdout"), self.said("stderr"));
        self.runs.set(self.runs.get() + 1);
        let child = command.stdout(File::create(&out).unwrap()).stderr(terminal).spawn().unwrap();
        Running { child, stdout: out, stderr: err }
    }

    /// With something else than a file behind stdout.
    pub(crate) fn start_into(&self, mut command: Command, stdout: impl Into<Stdio>) -> Running {
        let (out, err) = (self.said("stdout"), self.said("stderr"));
        self.runs.set(self.runs.get() + 1);
        let child = command.stdout(stdout).stderr(File::create(&err).unwrap()).spawn().unwrap();
        Running { child, stdout: out, stderr: err }
    }

    /// Where a stream of the next run goes.
    fn said(&self, stream: &str) -> PathBuf {
        self.path(&format!(".{stream}-{}", self.runs.get()))
    }
}

/// Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed by now.
    pub(crate) fn stdout(&self) -> String {
        text(&self.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Sends a signal to this one process.
    pub(crate) fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: `kill` takes numbers. The child has not been waited for, so its number is not another's.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    pub(crate) fn wait_until(&mut self, what: &str, condition: impl Fn(&Running) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?} before {what}:\n{}", self.stderr());
            assert!(begun.elapsed() < PATIENCE, "no {what} in {PATIENCE:?}:\n{}", self.stderr());
            thread::sleep(LOOK_EVERY);
        }
    }

    /// As [`Self::wait_until`]; false: it has ended before.
    pub(crate) fn reaches(&mut self, what: &str, condition: impl Fn(&Running) -> bool) -> bool {
        let begun = Instant::now();
        while !condition(self) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(begun.elapsed() < PATIENCE, "no {what} in {PATIENCE:?}:\n{}", self.stderr());
            thread::sleep(LOOK_EVERY);
        }
        true
    }

    /// Waits for the end.
    pub(crate) fn ended(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "no end in {PATIENCE:?}:\n{}", self.stderr());
            thread::sleep(LOOK_EVERY);
        };
        Ended { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None: a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// It ended with this exit code, and nothing panicked.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "stderr:\n{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// It said this on stderr.
    #[track_caller]
    pub(crate) fn saying(self, text: &str) -> Ended {
        assert!(self.stderr.contains(text), "not there: {text}\nstderr:\n{}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn without_rows(self) -> Ended {
        assert_eq!(self.stdout, "");
        self
    }

    /// stdout: a document of JSON on each line, and nothing else.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<Value> {
        let row = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no row: {line}: {error}"));
        self.stdout.lines().map(row).collect()
    }
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Names of the files in a directory, hidden ones too; none if it is not there.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// State and parent of a process, if it is listed.
fn process(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Whether a process runs; a dead one stays listed until its parent has noticed.
pub(crate) fn is_alive(pid: u32) -> bool {
    process(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

pub(crate) fn children(parent: u32) -> Vec<u32> {
    let pids = names(Path::new("/proc")).into_iter().filter_map(|name| name.parse::<u32>().ok());
    pids.filter(|pid| process(*pid).is_some_and(|(_, of)| of == parent) && is_alive(*pid)).collect()
}

/// Waits until a process is gone.
pub(crate) fn wait_for_end_of(pid: u32) {
    let begun = Instant::now();
    while is_alive(pid) {
        assert!(begun.elapsed() < PATIENCE, "process {pid} still runs after {PATIENCE:?}");
        thread::sleep(LOOK_EVERY);
    }
}
