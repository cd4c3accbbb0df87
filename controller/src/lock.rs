//! One controller to a state directory.
//!
//! The lock is the operating system's, on an open file: it goes with the process however that ends, so there is no
//! stale lock to remove. The file's text, the owner's process id, is only for the message.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

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
        match file.try_lock() {
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
        drop(first);
        StateLock::acquire(directory.path()).unwrap();
    }
}
