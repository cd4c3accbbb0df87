//! Disks that are full, directories that cannot be written to, checkpoints that do not end: the job waits or fails and says
//! why, and goes on when that is mended.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::recovery::{self, OFTEN};
use crate::user::{Running, User, children, names};

/// Rows without end, as fast as they are taken.
const FLOOD: &str = "CREATE TABLE beats WITH (connector = 'impulse'); SELECT counter FROM beats;";

/// What is said while state files cannot be written.
const WAITS: &str = "cannot write a checkpoint, trying again: ";

/// `streamwright run` of the query of the recovery tests, with many checkpoints and little patience between restarts.
fn arguments(user: &User) -> Vec<String> {
    let query = user.write("query.sql", &recovery::query(user)).display().to_string();
    user.streamwright(&["build", &query]).with_code(0);
    let soon = ["--set", "pipeline.state-initial-backoff=50ms", "--set", "pipeline.state-max-backoff=400ms"];
    let all = ["run", "--state-dir", "state", query.as_str()].into_iter().chain(OFTEN).chain(soon);
    all.map(str::to_owned).collect()
}

/// The same with little patience where the log cannot be written.
fn impatient(user: &User) -> Vec<String> {
    let mut arguments = arguments(user);
    let soon = ["--set", "pipeline.checkpoint.timeout=2s", "--set", "pipeline.allowed-restarts=1"];
    arguments.extend(soon.map(str::to_owned));
    arguments
}

fn refs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The directory of the only job's checkpoints.
fn job(user: &User) -> PathBuf {
    let checkpoints = user.path("state/checkpoints");
    let job = names(&checkpoints).into_iter().find(|name| !name.starts_with('.')).unwrap();
    checkpoints.join(job)
}

/// Puts each in the place of the other, at one moment: nobody finds nothing there.
fn exchange(one: &Path, other: &Path) {
    let path = |path: &Path| CString::new(path.to_str().unwrap()).unwrap();
    let (one, other) = (path(one), path(other));
    // SAFETY: both are texts that end with a zero, and live until the call has returned.
    let done =
        unsafe { libc::renameat2(libc::AT_FDCWD, one.as_ptr(), libc::AT_FDCWD, other.as_ptr(), libc::RENAME_EXCHANGE) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

fn has_checkpoints(user: &User) -> bool {
    let checkpoints = user.path("state/checkpoints");
    names(&checkpoints).iter().any(|name| names(&checkpoints.join(name).join("state")).len() > 2)
}

#[test]
fn a_job_waits_for_its_checkpoint_storage() {
    let user = User::new();
    let mut running = user.start(user.command(&refs(&arguments(&user))));
    running.wait_until("checkpoint", |_| has_checkpoints(&user));
    let (state, other) = (job(&user).join("state"), user.write("other", "no directory"));
    exchange(&state, &other);
    running.wait_until("second try", |run| run.stderr().matches(WAITS).count() >= 2);
    exchange(&state, &other);
    let ended = running.ended().with_code(0);
    assert!(!ended.stderr.contains("recovering"), "{}", ended.stderr);
    recovery::check(&user);
}

#[test]
fn a_log_that_cannot_be_written_ends_the_run_which_can_be_resumed() {
    let user = User::new();
    let arguments = impatient(&user);
    let mut running = user.start(user.command(&refs(&arguments)));
    running.wait_until("checkpoint", |_| has_checkpoints(&user));
    let (log, other) = (job(&user).join("log"), user.write("other", "no directory"));
    exchange(&log, &other);
    running.ended().with_code(1).saying("log/");
    exchange(&log, &other);
    user.streamwright(&refs(&arguments)).with_code(0).saying("going on from checkpoint ");
    recovery::check(&user);
}

#[test]
fn an_output_directory_that_is_gone_ends_the_run_which_can_be_resumed() {
    let user = User::new();
    let arguments = arguments(&user);
    let mut running = user.start(user.command(&refs(&arguments)));
    running.wait_until("checkpoint", |_| has_checkpoints(&user) && !names(&user.path("each")).is_empty());
    let (each, other) = (user.path("each"), user.write("other", "no directory"));
    exchange(&each, &other);
    running.ended().with_code(1).saying(&each.display().to_string());
    exchange(&each, &other);
    user.streamwright(&refs(&arguments)).with_code(0).saying("going on from checkpoint ");
    recovery::check(&user);
}

#[test]
fn a_savepoint_that_cannot_be_made_is_not_said_to_be_there() {
    let user = User::new();
    let mut with_savepoint = impatient(&user);
    with_savepoint.extend(["--savepoint-on-stop", "first"].map(str::to_owned));
    let mut running = user.start(user.command(&refs(&with_savepoint)));
    running.wait_until("checkpoint", |_| has_checkpoints(&user));
    let savepoints = job(&user).join("savepoints");
    fs::write(&savepoints, "no directory").unwrap();
    running.signal(libc::SIGINT);
    running.ended().with_code(1).saying("cannot make the savepoint: ");
    fs::remove_file(&savepoints).unwrap();
    // The checkpoint is there, and its output comes out with the next run.
    user.streamwright(&refs(&with_savepoint)).with_code(0).saying("going on from checkpoint ");
    recovery::check(&user);
}

/// A small disk, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// None, and a word about it, where nothing may be mounted.
    fn mount(path: PathBuf) -> Option<Disk> {
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&path).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Disk(path));
        }
        eprintln!("skipped: a disk of some size can be mounted by root only");
        None
    }

    /// Leaves nothing of it.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        let block = vec![1; 1 << 12];
        while file.write_all(&block).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join(".filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Runs with a small disk at a path of the user's, which is full for a while; `setting` says what is kept there.
fn waits_for_space(at: &str, setting: Option<&str>) {
    let user = User::new();
    let Some(disk) = Disk::mount(user.path(at)) else { return };
    let mut arguments = arguments(&user);
    if let Some(setting) = setting {
        arguments.extend(["--set".to_owned(), format!("{setting}={}", disk.0.display())]);
    }
    let mut running = user.start(user.command(&refs(&arguments)));
    running.wait_until("row", |_| !recovery::rows(&user.path("each")).is_empty());
    disk.fill();
    // Checkpoints wait for their store, sinks do not.
    let word = if setting.is_some() { WAITS } else { "recovering (restart 2): " };
    running.wait_until("word of it", |run| run.stderr().contains(word));
    assert!(running.stderr().to_lowercase().contains("no space left on device"), "{}", running.stderr());
    disk.empty();
    running.ended().with_code(0);
    recovery::check(&user);
}

#[test]
fn a_job_waits_for_space_for_its_checkpoints() {
    waits_for_space("checkpoints", Some("checkpoint-url"));
}

#[test]
fn a_job_waits_for_space_for_its_output() {
    waits_for_space("each", None);
}

// --- checkpoints that do not end, restarts that do not help --------------------------------------------------------------

#[test]
fn a_checkpoint_that_does_not_end_names_the_stage_and_the_task_that_are_missing() {
    let user = User::new();
    let (_reader, writer) = std::io::pipe().unwrap();
    let soon = ["pipeline.checkpoint.timeout=1s", "default-checkpoint-interval=50ms", "pipeline.allowed-restarts=0"];
    let settings = soon.iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<&str> = ["run", "-s", "state", FLOOD].into_iter().chain(settings).collect();
    // Nobody takes the rows, so the task that writes them does not come to the barrier.
    let ended = user.start_into(user.command(&arguments), writer).ended().with_code(1);
    ended.saying("a checkpoint is not complete after 1s: task 0 of stage \"").saying("\" has not reported");
}

/// Ends the worker, which is there, has checkpoints, and is healthy soon.
fn kill_worker(user: &User, running: &mut Running, restarts: usize) {
    running.wait_until("worker", |run| {
        run.stderr().matches("recovering (restart ").count() == restarts
            && !children(run.pid()).is_empty()
            && has_checkpoints(user)
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    for worker in children(running.pid()) {
        // SAFETY: `kill` takes numbers; the process is a child of one that we have started.
        unsafe { libc::kill(i32::try_from(worker).unwrap(), libc::SIGKILL) };
    }
}

#[test]
fn restarts_are_counted() {
    let user = User::new();
    let mut arguments = arguments(&user);
    arguments.extend(["--set", "pipeline.allowed-restarts=2"].map(str::to_owned));
    let mut running = user.start(user.command(&refs(&arguments)));
    for restarts in 0..3 {
        kill_worker(&user, &mut running, restarts);
    }
    let ended = running.ended().with_code(1).saying("recovering (restart 2): ");
    assert!(!ended.stderr.contains("recovering (restart 3)"), "{}", ended.stderr);
    // A run that the user begins has its restarts anew.
    user.streamwright(&refs(&arguments)).with_code(0).saying("going on from checkpoint ");
    recovery::check(&user);
}

#[test]
fn a_job_that_was_healthy_for_long_enough_has_all_its_restarts_again() {
    let user = User::new();
    let mut arguments = arguments(&user);
    let healthy = ["--set", "pipeline.allowed-restarts=1", "--set", "pipeline.healthy-duration=1ms"];
    arguments.extend(healthy.map(str::to_owned));
    let mut running = user.start(user.command(&refs(&arguments)));
    for time in 1..=3 {
        kill_worker(&user, &mut running, time - 1);
        running.wait_until("recovery", |run| run.stderr().matches("recovering (restart ").count() == time);
    }
    let ended = running.ended().with_code(0);
    assert!(!ended.stderr.contains("recovering (restart 2)"), "{}", ended.stderr);
    recovery::check(&user);
}

/// A division by zero is the user's, and no restart helps.
#[test]
fn an_error_of_the_user_is_not_tried_again() {
    let user = User::new();
    let query = "CREATE TABLE beats WITH (connector = 'impulse', message_count = 5);
                 SELECT counter / (counter / 100) AS x FROM beats;";
    let ended = user.streamwright(&["run", "-s", "state", query]).with_code(1);
    assert!(!ended.stderr.contains("recovering"), "{}", ended.stderr);
}
