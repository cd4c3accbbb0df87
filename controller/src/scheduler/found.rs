//! A worker that an earlier controller has started: a process that is not this one's child.
//!
//! It is held by a descriptor of the process itself (Linux's pidfd): its number may become another's, the descriptor does
//! not. That the number was not another's before is known by the time at which the process began. How it ended cannot be
//! known, only that it has.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use futures::future::BoxFuture;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::process::ESCALATION;
use super::stderr::Stderr;
use super::{ProcessId, Worker};
use crate::state::Exit;

/// The process of that number, if there is one.
pub(super) fn identify(pid: u32) -> Option<ProcessId> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, in which anything may be.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    // Field 22: clock ticks from the machine's start to the process's.
    let began = fields.nth(18)?.parse().ok()?;
    // One that has ended is listed until its parent has noticed.
    (state != "Z" && state != "X").then_some(ProcessId { pid, began })
}

pub(super) struct Found {
    id: ProcessId,
    descriptor: AsyncFd<OwnedFd>,
    escalate_at: Option<Instant>,
    stderr: Stderr,
}

impl Found {
    /// `None`: it is not there any more. To be called in a runtime.
    pub(super) fn new(id: ProcessId, stderr: impl FnOnce() -> Stderr) -> Option<Found> {
        let pid = libc::pid_t::try_from(id.pid).ok()?;
        // SAFETY: the call takes two numbers, and returns a descriptor of our own or -1.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let descriptor = i32::try_from(descriptor).ok().filter(|descriptor| *descriptor >= 0)?;
        // SAFETY: it is open, and nobody else's.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // Looked at with the descriptor open: whatever it is, it is this process.
        if identify(id.pid) != Some(id) {
            return None;
        }
        // SAFETY: it stays open for as long as the `AsyncFd` owns it, and nobody else has it.
        let descriptor = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.ok()?;
        Some(Found { id, descriptor, escalate_at: None, stderr: stderr() })
    }

    fn signal(&self, signal: i32) {
        let nothing: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: an open descriptor, numbers, and no information to be read.
        let sent = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.descriptor.get_ref().as_raw_fd(), signal, nothing, 0)
        };
        if sent == -1 {
            let error = io::Error::last_os_error();
            // It has ended.
            if error.raw_os_error() != Some(libc::ESRCH) {
                tracing::warn!(pid = self.id.pid, %error, "cannot end a worker");
            }
        }
    }
}

impl Worker for Found {
    fn process(&self) -> Option<ProcessId> {
        Some(self.id)
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
                    // It can be read when the process has ended.
                    _ = self.descriptor.readable() => break,
                    () = escalation => {
                        self.escalate_at = None;
                        self.signal(libc::SIGKILL);
                    }
                }
            }
            Exit { code: None, signal: None, stderr: self.stderr.last_lines().await }
        })
    }

    fn kill(&mut self) {
        self.signal(libc::SIGTERM);
        self.escalate_at = Some(Instant::now() + ESCALATION);
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::stderr::From;
    use super::*;

    #[tokio::test]
    async fn a_process_that_is_not_a_child_is_watched_and_ended() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        fs::write(&log, "").unwrap();
        let stderr = || Stderr::of_file(log.clone(), From::Begin, |_| {});
        let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
        let id = identify(sleeper.id()).unwrap();
        assert!(Found::new(ProcessId { began: id.began + 1, ..id }, stderr).is_none(), "another has its number");
        let mut found = Found::new(id, stderr).unwrap();
        assert_eq!(found.process(), Some(id));
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), found.exited()).await;
        assert!(waiting.is_err(), "it runs");
        fs::write(&log, "last words").unwrap();
        found.kill();
        let exit = found.exited().await;
        assert_eq!((exit.signal, exit.stderr.as_str()), (None, "last words"));
        // It has ended and its parent has not noticed.
        assert_eq!(identify(id.pid), None);
        assert!(Found::new(id, stderr).is_none());
        sleeper.wait().unwrap();

        let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
        drop(Found::new(identify(sleeper.id()).unwrap(), stderr).unwrap());
        sleeper.wait().unwrap();
    }
}
