//! Files under hidden names, until they are published.
//!
//! ```text
//!   .{name}.{job}-{generation}-{task}-{number}.tmp ──publish: rename──▶ {name}
//! ```
//!
//! A name belongs to one attempt, so attempts do not write over each other, and what an attempt left behind is known by
//! its name. A hidden file is removed when it is dropped, unless it has been prepared: then its token may be in a
//! manifest, and only the next attempt knows whether it is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use worker_lib::TaskError;
use worker_lib::connector::Attempt;

use crate::io_error;

/// A hidden file, and the name that it is to have.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub(crate) path: PathBuf,
    pub(crate) to: PathBuf,
    prepared: bool,
}

impl Temporary {
    /// `number`: no other hidden file of the task has it.
    pub(crate) fn new(to: PathBuf, attempt: &Attempt, task: usize, number: u64) -> Self {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let Attempt { job, generation } = attempt;
        let path = to.with_file_name(format!(".{name}.{job}-{generation}-{task}-{number}.tmp"));
        Temporary { path, to, prepared: false }
    }

    /// Sees the file onto the disk. It is opened anew, so that files which wait for this do not stay open.
    pub(crate) fn sync(&self) -> Result<(), TaskError> {
        let synced = File::options().write(true).open(&self.path).and_then(|opened| opened.sync_all());
        synced.map_err(|error| io_error("write", &self.path, &error))
    }

    /// The token's part for this file, which is on disk. From now on the file stays.
    pub(crate) fn prepare(&mut self) -> Result<Value, TaskError> {
        let part = json!({ "from": absolute(&self.path)?, "to": absolute(&self.to)? });
        self.prepared = true;
        Ok(part)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.prepared {
            // Nobody is left to be told of a failure.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The path as the next attempt can use it, whose working directory may be another one.
pub(crate) fn absolute(path: &Path) -> Result<String, TaskError> {
    let absolute = std::path::absolute(path).map_err(|error| io_error("find", path, &error))?;
    match absolute.into_os_string().into_string() {
        Ok(text) => Ok(text),
        Err(_) => Err(TaskError::user(format!("the path of \"{}\" is not UTF-8", path.display()))),
    }
}

/// Creates a directory and those above it that are missing. Gives the directories that have new entries by that.
pub(crate) fn create_directories(directory: &Path) -> Result<Vec<PathBuf>, TaskError> {
    let missing = |directory: &&Path| !directory.as_os_str().is_empty() && !directory.exists();
    let parents: Vec<PathBuf> = directory.ancestors().take_while(missing).map(parent).collect();
    if !parents.is_empty() {
        fs::create_dir_all(directory).map_err(|error| io_error("create directory", directory, &error))?;
    }
    Ok(parents)
}

/// The directory that a path is in.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) => PathBuf::from("."),
        None => path.to_path_buf(),
    }
}

/// Creations and renames in these directories survive a crash from now on.
pub(crate) fn sync_directories(directories: &BTreeSet<PathBuf>) -> Result<(), TaskError> {
    for directory in directories {
        let synced = File::open(directory).and_then(|opened| opened.sync_all());
        synced.map_err(|error| io_error("write directory", directory, &error))?;
    }
    Ok(())
}

/// Gives the files of a token `{"parts": [{"from": ..., "to": ...}]}` their names, those that do not have them yet.
/// Gives the names.
pub(crate) fn publish(token: &Value) -> Result<Vec<PathBuf>, TaskError> {
    let path = |part: &Value, key: &str| part.get(key).and_then(Value::as_str).map(PathBuf::from);
    let paths = |part: &Value| Some((path(part, "from")?, path(part, "to")?));
    let parts = token.get("parts").and_then(Value::as_array);
    let parts: Option<Vec<_>> = parts.and_then(|parts| parts.iter().map(paths).collect());
    let Some(parts) = parts else { return Err(TaskError::fatal(format!("no files can be published by {token}"))) };
    for (from, to) in &parts {
        // What is there under this name already, if anything, is of an earlier run: this attempt's names are its own.
        match fs::rename(from, to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Hidden files are removed by nobody whose manifest names them, so it was published, and is gone since.
                tracing::warn!("\"{}\" is not there any more: its reader has taken it away", to.display());
            }
            Err(error) => return Err(io_error("publish", to, &error)),
        }
    }
    let names: Vec<PathBuf> = parts.into_iter().map(|(_, to)| to).collect();
    sync_directories(&names.iter().map(|name| parent(name)).collect())?;
    Ok(names)
}

/// Removes what earlier attempts at the job have left in a directory, and `depth` levels below it.
pub(crate) fn discard(directory: &Path, depth: usize, attempt: &Attempt) -> Result<(), TaskError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // What is no directory says so when it is written to.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(io_error("read directory", directory, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| io_error("read directory", directory, &error))?;
        let ty = entry.file_type().map_err(|error| io_error("read directory", directory, &error))?;
        if ty.is_dir() {
            if depth > 0 {
                discard(&entry.path(), depth - 1, attempt)?;
            }
        } else if is_left_over(&entry.file_name().to_string_lossy(), attempt) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove", &entry.path(), &error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether an earlier attempt at the same job has given this name.
fn is_left_over(name: &str, attempt: &Attempt) -> bool {
    let generation = || {
        let word = name.strip_prefix('.')?.strip_suffix(".tmp")?;
        let mut words = word.rsplitn(4, '-');
        let (number, task, generation, rest) = (words.next()?, words.next()?, words.next()?, words.next()?);
        number.parse::<u64>().ok()?;
        task.parse::<usize>().ok()?;
        let generation = generation.parse::<u64>().ok()?;
        rest.strip_suffix(attempt.job.as_str())?.ends_with('.').then_some(generation)
    };
    generation().is_some_and(|generation| generation < attempt.generation)
}

/// Runs what waits for the disk, on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TaskError> + Send + 'static,
) -> Result<T, TaskError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(TaskError::fatal(format!("cannot write to the disk: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(job: &str, generation: u64) -> Attempt {
        Attempt { job: job.to_owned(), generation }
    }

    #[test]
    fn what_is_left_over_is_known_by_its_name() {
        let job = "a-1.b";
        let name = |job: &str, generation| {
            let mut temporary = Temporary::new("x/p-1.json.gz".into(), &attempt(job, generation), 3, 11);
            temporary.prepared = true;
            temporary.path.file_name().unwrap().to_string_lossy().into_owned()
        };
        assert_eq!(name(job, 2), ".p-1.json.gz.a-1.b-2-3-11.tmp");
        let left_over = |name: &str| is_left_over(name, &attempt(job, 3));
        assert!(left_over(&name(job, 1)) && left_over(&name(job, 2)));
        assert!(!left_over(&name(job, 3)) && !left_over(&name(job, 10)), "ours, and later ones");
        assert!(!left_over(&name("ba-1.b", 1)) && !left_over(&name("b", 1)), "another job's");
        assert!(!left_over("p-1.json.a-1.b-1-3-11.tmp") && !left_over(".hidden") && !left_over(".tmp"));
    }

    #[test]
    fn only_directories_with_new_entries_are_synced() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        assert_eq!(create_directories(&root.join("a/b")).unwrap(), [root.join("a"), root.to_path_buf()]);
        assert!(create_directories(&root.join("a/b")).unwrap().is_empty());
        assert_eq!(parent(Path::new("x")), Path::new("."));
    }
}
