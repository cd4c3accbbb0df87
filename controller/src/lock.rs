//! One controller to a state directory.
//!
//! The lock is the operating system's, on an open file: it goes with the process however that ends, so there is no
//! stale lock to remove. The file's text, the owner's process id, is only for the message.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Held for as long as the value lives.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("state directory \"{}\" is in use{}", directory.display(), owner.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    InUse { directory: PathBuf, owner: Option<u32> },
    #[error("cannot lock state directory \"{}\": {source}", directory.display())]
    Io { directory: PathBuf, source: io::Error },
}

impl LockError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            LockError::InUse { .. } => "Stop the other run, or give this one another directory with --state-dir.",
            LockError::Io { .. } => "Give a directory that can be written with --state-dir.",
        }
    }
}

impl StateLock {
    /// Takes the lock, or says who has it. Does not wait.
    ///
    /// # Errors
    /// When another process, or another controller of this one, has it, or the file cannot be written.
    pub fn acquire(directory: &Path) -> Result<StateLock, LockError> {
        let failed = |source| LockError::Io { directory: directory.to_owned(), source };
        let path = directory.join("lock");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let owner = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LockError::InUse { directory: directory.to_owned(), owner });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(StateLock { _file: file })
    }
}

/// Whether somebody has the lock of a directory.
///
/// # Errors
/// When that cannot be told.
pub fn is_locked(directory: &Path) -> io::Result<bool> {
    let file = match File::open(directory.join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // Beside others that look, but not beside an owner. It goes with the file.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Somebody who looks has the lock for a moment.
const LOOK_MOST: Duration = Duration::from_millis(50);

fn try_lock(file: &File) -> Result<(), TryLockError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            std::thread::sleep(LOOK_MOST);
            file.try_lock()
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_was_first() {
        let directory = tempfile::tempdir().unwrap();
        let first = StateLock::acquire(directory.path()).unwrap();
        let refused = StateLock::acquire(directory.path()).unwrap_err();
        assert!(matches!(refused, LockError::InUse { owner: Some(pid), .. } if pid == std::process::id()));
        assert!(refused.to_string().ends_with(&format!("is in use by process {}", std::process::id())));
        assert!(is_locked(directory.path()).unwrap());
        drop(first);
        assert!(!is_locked(directory.path()).unwrap());
        StateLock::acquire(directory.path()).unwrap();
        assert!(!is_locked(&directory.path().join("elsewhere")).unwrap());
    }
}
