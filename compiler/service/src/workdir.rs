//! A private directory to compile in, and the lock that makes it private.
//!
//! ```text
//!  <build-dir>/<action key>.lock     held by the process that builds
//!  <build-dir>/<action key>/         its directory; whoever gets the lock finds none, or a dead builder's
//! ```
//!
//! One mechanism does three things: identical builds of several processes happen once (the second waits, then finds
//! the result in the store), a directory has one user, and the leavings of processes that died are recognised (their
//! lock is free). Different builds do not wait for each other.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use artifacts::Digest;

/// How often a waiting process looks. The builds that it waits for take a second.
const POLL: Duration = Duration::from_millis(10);

/// Removed, directory and lock, when dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    lock_path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl WorkDir {
    /// Waits for the lock of an action, then makes an empty directory. `on_wait` is called once if another process
    /// has it. May be dropped at any await.
    pub(crate) async fn acquire(build_dir: &Path, key: &Digest, on_wait: &(dyn Fn() + Sync)) -> io::Result<WorkDir> {
        fs::create_dir_all(build_dir)?;
        let lock_path = build_dir.join(format!("{key}.lock"));
        let mut waited = false;
        let lock = loop {
            if let Some(lock) = try_lock(&lock_path)? {
                break lock;
            }
            if !std::mem::replace(&mut waited, true) {
                on_wait();
            }
            tokio::time::sleep(POLL).await;
        };
        let workdir = WorkDir { path: build_dir.join(key.to_string()), lock_path, _lock: lock };
        match fs::remove_dir_all(&workdir.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir(&workdir.path)?;
        Ok(workdir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        // While it is still held: whoever waits for this file finds that it is gone, and makes a new one.
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// The lock, if it is free.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Its last holder may have removed the file between our opening and locking it: then others lock another one.
    let same = fs::metadata(path).is_ok_and(|meta| file.metadata().is_ok_and(|own| own.ino() == meta.ino()));
    Ok(same.then_some(file))
}

/// Removes what processes that died have left in a build directory. Best effort.
pub(crate) fn remove_dead(build_dir: &Path) {
    for entry in fs::read_dir(build_dir).into_iter().flatten().flatten() {
        let lock_path = entry.path();
        if lock_path.extension().is_some_and(|extension| extension == "lock")
            && let Ok(Some(lock)) = try_lock(&lock_path)
        {
            drop(WorkDir { path: lock_path.with_extension(""), lock_path, _lock: lock });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_builder_at_a_time_and_nothing_left() {
        let directory = tempfile::tempdir().unwrap();
        let inside = &*Box::leak(Box::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let build_dir = directory.path().to_owned();
                tokio::spawn(async move {
                    for _ in 0..5 {
                        let workdir = WorkDir::acquire(&build_dir, &Digest::of("key"), &|| {}).await.unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        fs::write(workdir.path().join("file"), "").unwrap();
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[tokio::test]
    async fn different_actions_do_not_wait() {
        let directory = tempfile::tempdir().unwrap();
        let fail = || panic!("waited");
        let first = WorkDir::acquire(directory.path(), &Digest::of("a"), &fail).await.unwrap();
        let second = WorkDir::acquire(directory.path(), &Digest::of("b"), &fail).await.unwrap();
        assert_ne!(first.path(), second.path());
    }

    #[tokio::test]
    async fn the_dead_are_removed_and_the_living_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let living = WorkDir::acquire(directory.path(), &Digest::of("living"), &|| {}).await.unwrap();
        let dead = Digest::of("dead");
        fs::create_dir(directory.path().join(dead.to_string())).unwrap();
        fs::write(directory.path().join(format!("{dead}.lock")), "").unwrap();
        remove_dead(directory.path());
        assert!(living.path().is_dir());
        assert_eq!(names(directory.path()).len(), 2, "the living one's directory and lock");
    }
}
