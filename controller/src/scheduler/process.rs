//! Workers as processes of this machine.
//!
//! The binary is copied from the artifact store, verified on the way, into the job's own directory for this attempt: a
//! file that some earlier run left there is never executed.
//!
//! A worker's life hangs on the controller's in both directions, unless it is to outlive it. It has its own process group, so that Ctrl-C in the
//! terminal reaches the controller only, which then stops it in good order; and on Linux it asks the kernel to kill it
//! when the thread that started it ends, which here is a thread that lives as long as the scheduler. Its stdout is the
//! controller's: rows go from the sink to the user's pipe without a copy. Its stderr is read line by line.
//!
//! One that outlives its controller asks the kernel for nothing, writes no rows to stdout, and has a file for its stderr; the
//! next controller finds it by its process ([`super::found`]). A controller that ends in good order takes it along.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use artifacts::Store;
use futures::future::BoxFuture;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::stderr::{From, Stderr};
use super::{FindWorker, ProcessId, Scheduler, StartWorker, Worker};
use crate::control::{WorkerLine, WorkerLog};
use crate::job::{ErrorClass, Failure};
use crate::state::Exit;

/// From SIGTERM to SIGKILL.
pub(super) const ESCALATION: Duration = Duration::from_secs(1);
/// How often a binary that the kernel calls busy is tried again, and the wait between.
const BUSY_TRIES: u32 = 20;
const BUSY_WAIT: Duration = Duration::from_millis(10);

pub struct ProcessScheduler {
    artifacts: Store,
    /// `<state-dir>/jobs`: a directory for each job that runs.
    directory: PathBuf,
    log: WorkerLog,
    spawner: Spawner,
}

impl ProcessScheduler {
    /// Keeps binaries in `directory`, which need not exist.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn new(artifacts: Store, directory: PathBuf, log: WorkerLog) -> io::Result<Self> {
        Ok(ProcessScheduler { artifacts, directory, log, spawner: Spawner::new()? })
    }

    fn job_directory(&self, job_id: &str) -> PathBuf {
        self.directory.join(job_id)
    }

    /// The stderr of a worker that outlives its controller.
    fn log_file(&self, job_id: &str, worker_id: &str) -> PathBuf {
        self.job_directory(job_id).join(format!("{worker_id}.log"))
    }
}

impl Scheduler for ProcessScheduler {
    fn start(&self, worker: StartWorker) -> BoxFuture<'static, Result<Box<dyn Worker>, Failure>> {
        let artifacts = self.artifacts.clone();
        let path = self.job_directory(&worker.job_id).join(format!("pipeline-{}", worker.generation));
        let log_file = self.log_file(&worker.job_id, &worker.worker_id);
        let log = self.log.clone();
        let spawner = self.spawner.clone();
        Box::pin(async move {
            let (binary, to) = (worker.binary, path.clone());
            tokio::task::spawn_blocking(move || fetch(&artifacts, &binary, &to))
                .await
                .map_err(|error| Failure::new(ErrorClass::Fatal, format!("cannot fetch the binary: {error}")))??;
            let child = spawn(&spawner, &path, &worker, &log_file).await?;
            let process: Box<dyn Worker> = Box::new(Process::new(child, &worker, log_file, log));
            Ok(process)
        })
    }

    #[cfg(target_os = "linux")]
    fn find(&self, worker: FindWorker) -> Option<Box<dyn Worker>> {
        let (path, log) = (self.log_file(&worker.job_id, &worker.worker_id), self.log.clone());
        let stderr = || Stderr::of_file(path, From::End, logged(log, worker.job_id, worker.generation));
        let found = super::found::Found::new(worker.process, stderr)?;
        Some(Box::new(found))
    }

    #[cfg(not(target_os = "linux"))]
    fn find(&self, _worker: FindWorker) -> Option<Box<dyn Worker>> {
        None
    }

    fn forget(&self, job_id: &str) {
        // What cannot be removed is found by its user; it harms nobody.
        if let Err(error) = fs::remove_dir_all(self.job_directory(job_id))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(job_id, %error, "cannot remove the job's directory");
        }
    }
}

/// Puts a verified, executable copy of the binary at `to`.
fn fetch(artifacts: &Store, binary: &artifacts::Digest, to: &Path) -> Result<(), Failure> {
    let io_failed = |action: &str, error: io::Error| {
        Failure::new(ErrorClass::Fatal, format!("cannot {action} \"{}\": {error}", to.display()))
            .with_hint("Check that the state directory is writable and has space.")
    };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|error| io_failed("make the directory of", error))?;
    }
    artifacts.fetch(binary, to).map_err(|error| {
        let failure = Failure::new(ErrorClass::Fatal, error.to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    })?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).map_err(|error| io_failed("make executable", error))
}

async fn spawn(spawner: &Spawner, path: &Path, worker: &StartWorker, log_file: &Path) -> Result<Child, Failure> {
    for attempt in 1.. {
        let (path_here, worker_here, log_here) = (path.to_owned(), worker.clone(), log_file.to_owned());
        let spawned = spawner.run(move || command(&path_here, &worker_here, &log_here)?.spawn()).await;
        let error = match spawned {
            Ok(child) => return Ok(child),
            Err(error) => error,
        };
        // While this process forks elsewhere, that child briefly has our file open for writing.
        if error.kind() == io::ErrorKind::ExecutableFileBusy && attempt < BUSY_TRIES {
            tokio::time::sleep(BUSY_WAIT).await;
            continue;
        }
        let failure =
            Failure::new(ErrorClass::Fatal, format!("cannot execute the pipeline \"{}\": {error}", path.display()));
        return Err(match error.kind() {
            io::ErrorKind::PermissionDenied => failure
                .with_hint("The file system may forbid executables; give a directory on another one with --state-dir."),
            _ => failure.with_hint("The artifact may have been built for another platform."),
        });
    }
    Err(Failure::new(ErrorClass::Fatal, "cannot execute the pipeline"))
}

fn command(path: &Path, worker: &StartWorker, log_file: &Path) -> io::Result<Command> {
    let mut command = Command::new(path);
    command
        .arg("worker")
        .args(["--controller", &worker.controller])
        .args(["--worker-id", &worker.worker_id])
        .args(["--job-id", &worker.job_id])
        .args(["--generation", &worker.generation.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::inherit())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(outlives) = &worker.outlives {
        let log = fs::OpenOptions::new().create(true).append(true).open(log_file)?;
        command
            .arg("--next-controller")
            .arg(&outlives.next_controller)
            .args(["--reattach-millis", &outlives.most.as_millis().to_string()])
            .stdout(Stdio::null())
            .stderr(log);
    }
    let parent = worker.outlives.is_none().then(std::process::id);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed, and no allocation. `prepare` makes three
    // system calls and builds its errors from numbers.
    unsafe {
        command.pre_exec(move || prepare(parent));
    }
    Ok(command)
}

/// Runs in the child, before exec. `parent`: with which it dies.
fn prepare(parent: Option<u32>) -> io::Result<()> {
    // SAFETY: `signal` with SIG_IGN installs no handler. In a background process group, writing to a terminal that is
    // set to `tostop` would stop the worker.
    if unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    #[cfg(target_os = "linux")]
    if let Some(parent) = parent {
        // SAFETY: PR_SET_PDEATHSIG takes one number and concerns the calling process only.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `getppid` cannot fail. A parent that died before the call above would never be noticed.
        if unsafe { libc::getppid() } as u32 != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    Ok(())
}

/// The thread that all workers are children of: the kernel's death signal follows the thread, not the process, and
/// threads of the runtime come and go.
#[derive(Clone)]
struct Spawner {
    work: std::sync::mpsc::SyncSender<Box<dyn FnOnce() + Send>>,
}

impl Spawner {
    fn new() -> io::Result<Self> {
        let (work, jobs) = std::sync::mpsc::sync_channel::<Box<dyn FnOnce() + Send>>(64);
        thread::Builder::new().name("worker-spawner".into()).spawn(move || jobs.into_iter().for_each(|job| job()))?;
        Ok(Spawner { work })
    }

    /// Spawns on that thread, with this task's runtime watching the child.
    async fn run(&self, spawn: impl FnOnce() -> io::Result<Child> + Send + 'static) -> io::Result<Child> {
        let runtime = Handle::current();
        let (reply, spawned) = oneshot::channel();
        let job = Box::new(move || {
            let _inside = runtime.enter();
            // A receiver that is gone drops the child, which kills it.
            let _ = reply.send(spawn());
        });
        self.work.send(job).map_err(|_| io::Error::other("the spawning thread has ended"))?;
        spawned.await.map_err(|_| io::Error::other("the spawning thread has ended"))?
    }
}

/// A running process.
struct Process {
    child: Child,
    pid: Option<u32>,
    escalate_at: Option<Instant>,
    stderr: Stderr,
}

/// What becomes of a worker's lines.
fn logged(log: WorkerLog, job_id: String, generation: u64) -> impl FnMut(String) + Send + 'static {
    move |line| log(&WorkerLine { job_id: job_id.clone(), generation, line })
}

impl Process {
    fn new(mut child: Child, worker: &StartWorker, log_file: PathBuf, log: WorkerLog) -> Self {
        let line = logged(log, worker.job_id.clone(), worker.generation);
        let stderr = match child.stderr.take() {
            Some(pipe) => Stderr::of_pipe(pipe, line),
            None => Stderr::of_file(log_file, From::Begin, line),
        };
        Process { pid: child.id(), child, escalate_at: None, stderr }
    }

    /// To the whole group: whatever the worker may have started goes with it.
    fn signal(&self, signal: i32) {
        let Some(pid) = self.pid.filter(|_| self.child.id().is_some()).and_then(|pid| i32::try_from(pid).ok()) else {
            return;
        };
        // SAFETY: `kill` takes numbers. The child has not been waited for (`id` is there), so its process id, which
        // is the group's, cannot have been given to another process.
        unsafe { libc::kill(-pid, signal) };
    }

    async fn explain(&mut self, status: io::Result<ExitStatus>) -> Exit {
        let stderr = self.stderr.last_lines().await;
        match status {
            Ok(status) => Exit { code: status.code(), signal: status.signal(), stderr },
            Err(_) => Exit { code: None, signal: None, stderr },
        }
    }
}

impl Worker for Process {
    #[cfg(target_os = "linux")]
    fn process(&self) -> Option<ProcessId> {
        super::found::identify(self.child.id()?)
    }

    #[cfg(not(target_os = "linux"))]
    fn process(&self) -> Option<ProcessId> {
        None
    }

    fn exited(&mut self) -> BoxFuture<'_, Exit> {
        Box::pin(async move {
            loop {
                let escalate_at = self.escalate_at;
                let escalation = async {
                    match escalate_at {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    status = self.child.wait() => return self.explain(status).await,
                    () = escalation => {
                        self.escalate_at = None;
                        self.signal(libc::SIGKILL);
                    }
                }
            }
        })
    }

    fn kill(&mut self) {
        self.signal(libc::SIGTERM);
        self.escalate_at = Some(Instant::now() + ESCALATION);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::Outlives;
    use super::*;

    struct Bench {
        directory: tempfile::TempDir,
        store: Store,
        scheduler: ProcessScheduler,
        lines: Arc<Mutex<Vec<String>>>,
    }

    fn bench() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("artifacts").to_str().unwrap()).unwrap();
        let lines = Arc::new(Mutex::new(vec![]));
        let log: WorkerLog = {
            let lines = lines.clone();
            Arc::new(move |line| lines.lock().unwrap().push(line.line.clone()))
        };
        let scheduler = ProcessScheduler::new(store.clone(), directory.path().join("jobs"), log).unwrap();
        Bench { directory, store, scheduler, lines }
    }

    fn worker(binary: artifacts::Digest) -> StartWorker {
        StartWorker {
            job_id: "job".into(),
            worker_id: "worker".into(),
            generation: 3,
            binary,
            controller: "http://127.0.0.1:1".into(),
            outlives: None,
        }
    }

    #[tokio::test]
    async fn the_verified_binary_runs_with_its_arguments_and_its_stderr_is_read() {
        let bench = bench();
        let script = "#!/bin/sh\necho \"$@\" >&2\nexit 7\n";
        let blob = bench.store.put_bytes(script.as_bytes()).unwrap();
        let mut process = bench.scheduler.start(worker(blob.digest)).await.unwrap();
        let exit = process.exited().await;
        let said = "worker --controller http://127.0.0.1:1 --worker-id worker --job-id job --generation 3";
        assert_eq!(exit, Exit { code: Some(7), signal: None, stderr: said.into() });
        assert_eq!(*bench.lines.lock().unwrap(), [said]);
        bench.scheduler.forget("job");
        assert!(!bench.directory.path().join("jobs/job").exists());
    }

    #[tokio::test]
    async fn a_damaged_binary_is_not_executed() {
        let bench = bench();
        let blob = bench.store.put_bytes(b"#!/bin/sh\n").unwrap();
        let ran = bench.directory.path().join("ran");
        fs::write(bench.store.blob_path(&blob.digest), format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
        let failure = bench.scheduler.start(worker(blob.digest)).await.err().unwrap();
        assert_eq!(failure.class, ErrorClass::Fatal);
        assert!(failure.message.contains("is damaged"), "{failure}");
        assert!(!ran.exists());
    }

    #[tokio::test]
    async fn a_missing_binary_says_so() {
        let bench = bench();
        let missing = bench.scheduler.start(worker(artifacts::Digest::of("?"))).await.err().unwrap();
        assert!(missing.message.contains("is not in"), "{missing}");
        assert!(missing.hint.is_some());
    }

    #[tokio::test]
    async fn a_worker_that_ignores_the_polite_signal_is_killed_with_its_children() {
        let bench = bench();
        let script = "#!/bin/sh\ntrap '' TERM\necho ready >&2\nwhile :; do sleep 0.05; done\n";
        let blob = bench.store.put_bytes(script.as_bytes()).unwrap();
        let mut process = bench.scheduler.start(worker(blob.digest)).await.unwrap();
        while bench.lines.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.kill();
        let exit = process.exited().await;
        assert_eq!(exit.signal, Some(libc::SIGKILL));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_worker_that_outlives_its_controller_is_found_by_the_next() {
        let bench = bench();
        let script = "#!/bin/sh\necho \"$@\" >&2\nwhile :; do sleep 0.05; done\n";
        let blob = bench.store.put_bytes(script.as_bytes()).unwrap();
        let outlives = Outlives { next_controller: "/next".into(), most: Duration::from_secs(7) };
        let start = StartWorker { outlives: Some(outlives), ..worker(blob.digest) };
        let first = bench.scheduler.start(start).await.unwrap();
        while bench.lines.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(bench.lines.lock().unwrap()[0].ends_with("--next-controller /next --reattach-millis 7000"));
        let process = first.process().unwrap();
        // As if the first controller had been killed, which drops nothing.
        std::mem::forget(first);
        let find = FindWorker { job_id: "job".into(), worker_id: "worker".into(), generation: 4, process };
        let mut found = bench.scheduler.find(find.clone()).unwrap();
        found.kill();
        found.exited().await;
        assert!(bench.scheduler.find(find).is_none());
    }
}
