//! The compiler's process.
//!
//! It runs in a process group of its own, with the linker that it starts, in an environment of a few named variables,
//! and is killed with all of its children when its time is over or the future that waits for it is dropped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::action::{Action, ROOT_FILE};
use crate::bundle::Bundle;

/// What the compiler may see of our environment: where programs are, and which toolchain the user has chosen.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "RUSTUP_HOME", "CARGO_HOME", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"];

/// How a compilation ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Exited(ExitStatus),
    TimedOut,
}

/// A compilation, ready to run in a directory.
pub(crate) struct Compilation<'a> {
    pub(crate) compiler: PathBuf,
    pub(crate) bundle: &'a Bundle,
    pub(crate) action: &'a Action,
    pub(crate) directory: &'a Path,
}

impl Compilation<'_> {
    /// Writes the generated crate.
    pub(crate) fn write(&self, files: &BTreeMap<String, String>) -> io::Result<()> {
        for (path, text) in files {
            let path = self.directory.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, text)?;
        }
        Ok(())
    }

    /// What the compiler has said.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.directory.join("rustc.log")
    }

    /// Compiles the crate to `output`, a file of the directory.
    pub(crate) async fn run(&self, emit: &str, output: &str, limit: Duration) -> io::Result<Outcome> {
        let log = File::create(self.log_path())?;
        let mut command = Command::new(&self.compiler);
        command
            .args(&self.action.flags)
            .args(["--color", "never"])
            .args(["--emit", emit, "-o", output])
            // Paths must not reach the binary: the same input makes the same bytes wherever it is compiled.
            .arg(format!("--remap-path-prefix={}=/pipeline", self.directory.display()))
            .arg(format!("--remap-path-prefix={}=/toolchain", self.bundle.directory().display()));
        let lib = self.bundle.directory().join("lib");
        for (name, file) in &self.bundle.spec().crates {
            command.arg("--extern").arg(format!("{name}={}", lib.join(file).display()));
        }
        command
            .arg("-L")
            .arg(format!("dependency={}", lib.display()))
            .arg(ROOT_FILE)
            .current_dir(self.directory)
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("STREAMWRIGHT_CODE", self.action.code.to_string())
            // So that its temporary files go with the directory, should it be killed.
            .env("TMPDIR", self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        die_with_us(&mut command);
        let mut group = Group(command.spawn()?);
        match tokio::time::timeout(limit, group.0.wait()).await {
            Ok(status) => Ok(Outcome::Exited(status?)),
            Err(_) => {
                group.kill();
                group.0.wait().await?;
                Ok(Outcome::TimedOut)
            }
        }
    }
}

/// The compiler is of no use to anybody when we have been killed.
#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command) {
    let die = || {
        // SAFETY: PR_SET_PDEATHSIG takes one number and concerns the calling process only.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: between fork and exec, `die` makes one system call and touches no memory but its own.
    unsafe { command.pre_exec(die) };
}

/// Elsewhere it runs to its end.
#[cfg(not(target_os = "linux"))]
fn die_with_us(_command: &mut Command) {}

/// A process that leads a group. The group dies with it.
struct Group(Child);

impl Group {
    fn kill(&self) {
        // `id` is none once the process has been waited for, so its number cannot be another's.
        if let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            // SAFETY: `kill` takes numbers and touches no memory of ours.
            unsafe { libc::kill(-id, libc::SIGKILL) };
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
