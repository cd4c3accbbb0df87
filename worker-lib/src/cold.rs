//! What does not fit into memory: ordered maps of byte strings, scratch of one task.
//!
//! A [`Cold`] has a directory to itself, which is empty when it is opened and gone when it is dropped: nothing in it
//! outlives the task, whose checkpoints are elsewhere. Its [`Space`]s are named and independent of each other.
//!
//! This one is in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::{Bound, Deref};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::TaskError;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The spaces of one task.
#[derive(Debug)]
pub struct Cold {
    directory: PathBuf,
    spaces: Mutex<HashMap<String, Arc<Mutex<Map>>>>,
}

impl Cold {
    /// Empties the directory, or makes it.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn open(directory: &Path) -> Result<Cold, TaskError> {
        let failed = |error| TaskError::retryable(format!("cannot use \"{}\": {error}", directory.display()));
        if directory.exists() {
            fs::remove_dir_all(directory).map_err(failed)?;
        }
        fs::create_dir_all(directory).map_err(failed)?;
        Ok(Cold { directory: directory.to_owned(), spaces: Mutex::default() })
    }

    /// The space of that name.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn space(&self, name: &str) -> Result<Space, TaskError> {
        let map = locked(&self.spaces).entry(name.to_owned()).or_default().clone();
        Ok(Space { map })
    }

    /// Bytes that it occupies on disk.
    pub fn disk_bytes(&self) -> u64 {
        let bytes = |map: &Arc<Mutex<Map>>| -> usize {
            locked(map).iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
        };
        locked(&self.spaces).values().map(bytes).sum::<usize>() as u64
    }
}

impl Drop for Cold {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An ordered map of byte strings.
#[derive(Debug)]
pub struct Space {
    map: Arc<Mutex<Map>>,
}

impl Space {
    /// Stores entries, each in place of what its key had.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn put(
        &mut self,
        entries: impl ExactSizeIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>,
    ) -> Result<(), TaskError> {
        let entries = entries.map(|(key, value)| (key.as_ref().to_vec(), value.as_ref().to_vec()));
        locked(&self.map).extend(entries);
        Ok(())
    }

    /// What keys have, in their order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Option<Value>>, TaskError> {
        let map = locked(&self.map);
        Ok(keys.iter().map(|key| map.get(key.as_ref()).cloned().map(Bytes)).collect())
    }

    /// Forgets keys.
    ///
    /// # Errors
    /// When the disk does not take that.
    pub fn remove(&mut self, keys: &[impl AsRef<[u8]>]) -> Result<(), TaskError> {
        let mut map = locked(&self.map);
        for key in keys {
            map.remove(key.as_ref());
        }
        Ok(())
    }

    /// Entries whose keys begin with `prefix`, in order, at most `limit`, behind `after` if given.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<(Key, Value)>, TaskError> {
        Ok(scan(&locked(&self.map), prefix, after, limit))
    }

    /// Forgets all keys that begin with `prefix`.
    ///
    /// # Errors
    /// When the disk does not take that.
    pub fn remove_prefix(&mut self, prefix: &[u8]) -> Result<(), TaskError> {
        locked(&self.map).retain(|key, _| !key.starts_with(prefix));
        Ok(())
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When the disk does not take that.
    pub fn clear(&mut self) -> Result<(), TaskError> {
        locked(&self.map).clear();
        Ok(())
    }

    /// The space as it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { map: locked(&self.map).clone() }
    }

    pub fn len(&self) -> usize {
        locked(&self.map).len()
    }

    pub fn is_empty(&self) -> bool {
        locked(&self.map).is_empty()
    }
}

/// A space as it was.
#[derive(Debug)]
pub struct Snapshot {
    map: Map,
}

impl Snapshot {
    /// As [`Space::scan`].
    ///
    /// # Errors
    /// When entries cannot be read.
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<(Key, Value)>, TaskError> {
        Ok(scan(&self.map, prefix, after, limit))
    }
}

fn scan(map: &Map, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Key, Value)> {
    let from = match after {
        Some(after) => Bound::Excluded(after),
        None => Bound::Included(prefix),
    };
    let entries = map.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
    entries.take(limit).map(|(key, value)| (Bytes(key.clone()), Bytes(value.clone()))).collect()
}

/// A key that was found.
pub type Key = Bytes;
/// What a key has.
pub type Value = Bytes;

/// A byte string of a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(Vec<u8>);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
