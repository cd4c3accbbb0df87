//! Rows on local disk, by keys of bytes, in the order of the keys: where state goes that memory has no room for.
//!
//! ```text
//!   put, remove ─▶ memory, sorted ──16 MiB──▶ tables, sorted, never changed ──▶ fewer, larger tables
//!                  the task's thread          a thread of its own, one for each [`Cold`]
//!
//!   get   memory, then the tables from the newest to the oldest, each asked by its filter first
//!   scan  all of them merged
//! ```
//!
//! A log-structured merge tree, that of the crate lsm-tree; `docs/state-beyond-memory.md` says why this one, and what it
//! was compared with. What is here is what that crate leaves to its user: when memory becomes a table, when tables are
//! merged, when old ones can go. And the number of entries, which is exact.
//!
//! **Nothing here lasts.** A checkpoint has all state; after a crash it is restored from there. So there is no log of
//! changes, and the directory is emptied when it is opened and removed when nobody uses it any more.
//!
//! **One at a time writes** to a space; others may read it meanwhile, and a [`Snapshot`] does not change. A writer that is
//! faster than the merging waits. A failure to merge is reported by the next operation of any space of the same [`Cold`].
//!
//! Memory: [`CACHE_BYTES`] for each `Cold`; for each space twice [`GATHERED_BYTES`] and, for each of its tables, the
//! index of a few kilobytes. A [`Value`] may keep alive the block of 4 KiB it was read with: what is kept is copied.
//!
//! Cost: a key that is not there costs a microsecond or less, one that is ten, most of it reading and checking a block
//! that is not in the cache. Whatever is put is looked up too, to be counted.
//!
//! Not here: what state is written by which keys, when it goes to disk and when it comes back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::{Bound, Deref};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use lsm_tree::compaction::{CompactionStrategy, Leveled};
use lsm_tree::config::{CompressionPolicy, PinningPolicy};
use lsm_tree::{AbstractTree as _, AnyTree, Cache, CompressionType, Config, DescriptorTable, Guard as _};
use lsm_tree::{IterGuardImpl, SeqNo, SequenceNumberCounter, Slice, Tree};

use crate::error::TaskError;

/// Blocks of tables that were read, for all spaces of a [`Cold`] together.
pub const CACHE_BYTES: u64 = 32 << 20;
/// What a space has in memory before it becomes a table; there may be as much that is becoming one.
pub const GATHERED_BYTES: u64 = 16 << 20;
/// A longer key is refused, and so is one of no bytes.
pub const KEY_BYTES_MOST: usize = u16::MAX as usize;

/// With so many tables unmerged, a writer waits.
const UNMERGED_MOST: usize = 16;
/// With so many stretches of memory on their way to disk, a writer waits.
const LEAVING_MOST: usize = 2;
const OPEN_FILES_MOST: usize = 256;

/// What is another in tests.
#[derive(Clone, Copy)]
struct Sizes {
    gathered_bytes: u64,
    /// Of a table that merging makes; the first level has four of them.
    table_bytes: u64,
    /// So many entries are sooner removed by themselves than a fresh directory is made.
    few: usize,
    /// From so many on, it is worth looking for tables that have nothing else and can be removed as they are.
    many: usize,
}

const SIZES: Sizes = Sizes { gathered_bytes: GATHERED_BYTES, table_bytes: 32 << 20, few: 10_000, many: 200_000 };

/// The rows of one task on disk. Its directory is scratch: emptied when opened, removed when the last of this, its
/// spaces and their snapshots is dropped.
pub struct Cold {
    disk: Arc<Disk>,
}

impl Cold {
    /// What is in `directory` is removed.
    pub fn open(directory: &Path) -> Result<Cold, TaskError> {
        Cold::open_sized(directory, SIZES)
    }

    fn open_sized(directory: &Path, sizes: Sizes) -> Result<Cold, TaskError> {
        let failed = |error| failed("empty", directory, &lsm_tree::Error::Io(error));
        empty(directory).map_err(failed)?;
        fs::create_dir_all(directory).map_err(failed)?;
        let merging = Arc::new(Merging {
            directory: directory.to_owned(),
            strategy: Arc::new(Leveled::default().with_table_target_size(sizes.table_bytes)),
            work: Mutex::default(),
            changed: Condvar::new(),
        });
        let merger = std::thread::Builder::new()
            .name("cold-state".into())
            .spawn({
                let merging = Arc::clone(&merging);
                move || merging.run()
            })
            .map_err(|error| TaskError::retryable(format!("cannot start a thread that merges tables: {error}")))?;
        Ok(Cold {
            disk: Arc::new(Disk {
                merging,
                merger: Some(merger),
                sizes,
                cache: Arc::new(Cache::with_capacity_bytes(CACHE_BYTES)),
                descriptors: Arc::new(DescriptorTable::new(OPEN_FILES_MOST)),
                spaces: Mutex::default(),
            }),
        })
    }

    /// A space of its own inside (an operator has one for each of its tables); made when it is first asked for, and the
    /// same one ever after.
    pub fn space(&self, name: &str) -> Result<Space, TaskError> {
        let mut spaces = locked(&self.disk.spaces);
        let contents = match spaces.get(name) {
            Some(contents) => Arc::clone(contents),
            None => {
                let number = spaces.len();
                let tables = self.disk.make_tables(number, 0)?;
                let contents =
                    Arc::new(Contents { number, tables: Mutex::new(Arc::new(tables)), count: Mutex::new(0) });
                spaces.insert(name.into(), Arc::clone(&contents));
                contents
            }
        };
        Ok(Space { disk: Arc::clone(&self.disk), contents })
    }

    /// Of all tables, without those that only snapshots read.
    pub fn disk_bytes(&self) -> u64 {
        locked(&self.disk.spaces).values().map(|contents| contents.tables().tree.disk_space()).sum()
    }
}

/// Entries by key.
pub struct Space {
    disk: Arc<Disk>,
    contents: Arc<Contents>,
}

impl Space {
    /// In any order. Of equal keys the last one counts, be they in the space or among the entries.
    pub fn put(
        &mut self,
        entries: impl ExactSizeIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>,
    ) -> Result<(), TaskError> {
        let mut writer = self.writer()?;
        for (key, value) in entries {
            writer.put(key.as_ref(), value.as_ref())?;
        }
        writer.finish();
        Ok(())
    }

    /// By key: its value, if there is one.
    pub fn get(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Option<Value>>, TaskError> {
        self.disk.merging.check()?;
        let tables = self.contents.tables();
        keys.iter().map(|key| Ok(tables.get(key.as_ref())?.map(Value))).collect()
    }

    /// A key that is not there is passed over.
    pub fn remove(&mut self, keys: &[impl AsRef<[u8]>]) -> Result<(), TaskError> {
        let mut writer = self.writer()?;
        for key in keys {
            writer.remove(key.as_ref())?;
        }
        writer.finish();
        Ok(())
    }

    /// Entries whose keys begin with `prefix`, in the order of their keys, at most `limit`, behind `after` if given.
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<(Key, Value)>, TaskError> {
        self.disk.merging.check()?;
        self.contents.tables().scan(prefix, after, limit)
    }

    /// All entries whose keys begin with `prefix`: the time of reading them, and of removing those that share a table
    /// with others.
    pub fn remove_prefix(&mut self, prefix: &[u8]) -> Result<(), TaskError> {
        let mut writer = self.writer()?;
        let found = writer.tables.count(prefix)?;
        if found == *writer.count && found > self.disk.sizes.few {
            drop(writer);
            return self.clear();
        }
        let Some(range) = range_of(prefix, None).filter(|_| found > 0) else { return Ok(()) };
        let tables = Arc::clone(&writer.tables);
        if found >= self.disk.sizes.many {
            // An entry whose removal goes with such a table, but which is in another, comes back. So they are all removed
            // below, whether they were counted or not.
            tables.tree.drop_range(range).map_err(|error| tables.failed("remove", &error))?;
        }
        *writer.count -= found;
        for entry in tables.entries(prefix, None) {
            let key = entry.key().map_err(|error| tables.failed("read", &error))?;
            writer.forget(key)?;
        }
        writer.finish();
        Ok(())
    }

    /// Of all entries nothing stays on disk, but for what snapshots read.
    pub fn clear(&mut self) -> Result<(), TaskError> {
        let mut count = locked(&self.contents.count);
        self.disk.merging.check()?;
        if *count > 0 || self.contents.tables().is_written() {
            let old = self.contents.tables();
            let fresh = self.disk.make_tables(self.contents.number, old.generation + 1)?;
            *locked(&self.contents.tables) = Arc::new(fresh);
            *count = 0;
            self.disk.merging.forget(&old);
        }
        Ok(())
    }

    /// As it is now, for a reader in another thread.
    pub fn snapshot(&self) -> Snapshot {
        let _unchanged = locked(&self.contents.count);
        let tables = self.contents.tables();
        let version = tables.tree.get_version_history_lock().latest_version();
        let seqno = tables.visible.get();
        let entries: Entries = Box::new(move |range| {
            let entries = Tree::create_internal_range(version.clone(), &range, seqno, None);
            Box::new(entries.map(|entry| entry.map(|entry| (Key(entry.key.user_key), Value(entry.value)))))
        });
        Snapshot { disk: Arc::clone(&self.disk), tables, seqno, entries }
    }

    /// Entries.
    pub fn len(&self) -> usize {
        *locked(&self.contents.count)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn writer(&self) -> Result<Writer<'_>, TaskError> {
        let count = locked(&self.contents.count);
        self.disk.merging.check()?;
        let tables = self.contents.tables();
        let seqno = tables.seqno.next();
        Ok(Writer { disk: &self.disk, count, tables, seqno, gathered: 0 })
    }
}

/// A space as it was. It holds the tables of that time, and the memory; what is merged meanwhile is beside them.
pub struct Snapshot {
    disk: Arc<Disk>,
    tables: Arc<Tables>,
    /// Entries with lower numbers are seen.
    seqno: SeqNo,
    entries: Entries,
}

/// Those of a range, in order. It has a version of the tree in it, the type of which has no name outside of its crate.
type Entries = Box<dyn Fn(Range) -> Box<dyn Iterator<Item = lsm_tree::Result<(Key, Value)>>> + Send>;
type Range = (Bound<Slice>, Bound<Slice>);

impl Snapshot {
    /// As [`Space::scan`].
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<(Key, Value)>, TaskError> {
        self.disk.merging.check()?;
        // Below the first number there is nothing, and the tree does not look.
        let range = range_of(prefix, after).filter(|_| self.seqno > 0);
        let entries = range.into_iter().flat_map(&self.entries).take(limit);
        entries.map(|entry| entry.map_err(|error| self.tables.failed("read", &error))).collect()
    }
}

/// The bytes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Slice);

/// The bytes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(Slice);

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// What all spaces share.
struct Disk {
    merging: Arc<Merging>,
    /// The thread, until it is waited for.
    merger: Option<JoinHandle<()>>,
    sizes: Sizes,
    cache: Arc<Cache>,
    descriptors: Arc<DescriptorTable>,
    spaces: Mutex<BTreeMap<String, Arc<Contents>>>,
}

impl Disk {
    fn make_tables(&self, space: usize, generation: usize) -> Result<Tables, TaskError> {
        let directory = self.merging.directory.join(format!("{space}-{generation}"));
        let (seqno, visible) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let tree = Config::new(&directory, seqno.clone(), visible.clone())
            .use_cache(Arc::clone(&self.cache))
            .use_descriptor_table(Some(Arc::clone(&self.descriptors)))
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
            // A filter that is not in the cache is read by its block, not as a whole; but those of new tables stay.
            .filter_block_partitioning_policy(PinningPolicy::new([false, true]))
            .open();
        match tree {
            Ok(AnyTree::Standard(tree)) => Ok(Tables { tree, seqno, visible, generation, directory }),
            Ok(AnyTree::Blob(_)) => Err(TaskError::fatal("a store has values in files of their own")),
            Err(error) => Err(failed("make tables in", &directory, &error)),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        locked(&self.merging.work).closing = true;
        self.merging.changed.notify_all();
        // A merge that is going on ends when it cannot make its next file.
        let _ = empty(&self.merging.directory);
        if let Some(merger) = self.merger.take() {
            let _ = merger.join();
        }
        // Whatever is left is removed by the next one to open the directory.
        let _ = empty(&self.merging.directory);
    }
}

/// What is in a space.
struct Contents {
    number: usize,
    /// Others when the space has been cleared.
    tables: Mutex<Arc<Tables>>,
    /// Entries. Whoever writes holds it.
    count: Mutex<usize>,
}

impl Contents {
    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&locked(&self.tables))
    }
}

/// A tree in a directory of its own, which goes with it.
struct Tables {
    tree: Tree,
    /// The number of the next change, and the one up to which changes are complete.
    seqno: SequenceNumberCounter,
    visible: SequenceNumberCounter,
    generation: usize,
    directory: PathBuf,
}

impl Tables {
    fn get(&self, key: &[u8]) -> Result<Option<Slice>, TaskError> {
        if key.is_empty() || key.len() > KEY_BYTES_MOST {
            return Ok(None);
        }
        self.tree.get(key, SeqNo::MAX).map_err(|error| self.failed("read", &error))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<(Key, Value)>, TaskError> {
        let entries = self.entries(prefix, after).take(limit);
        let read = entries.map(|entry| match entry.into_inner() {
            Ok((key, value)) => Ok((Key(key), Value(value))),
            Err(error) => Err(self.failed("read", &error)),
        });
        read.collect()
    }

    /// As they are now.
    fn entries(&self, prefix: &[u8], after: Option<&[u8]>) -> impl Iterator<Item = IterGuardImpl> + use<> {
        let range = range_of(prefix, after);
        range.map(|range| self.tree.range(range, SeqNo::MAX, None)).into_iter().flatten()
    }

    fn count(&self, prefix: &[u8]) -> Result<usize, TaskError> {
        let mut count = 0;
        for entry in self.entries(prefix, None) {
            entry.key().map_err(|error| self.failed("read", &error))?;
            count += 1;
        }
        Ok(count)
    }

    fn is_written(&self) -> bool {
        self.tree.get_highest_seqno().is_some()
    }

    /// Writes to disk what was gathered, and merges some tables; true if there may be more to do.
    ///
    /// Older versions, of entries and of the tree, are dropped at once: whoever reads has his own version of the tree, and
    /// what is in that is removed when he lets go of it.
    fn advance(&self, strategy: &Arc<Leveled>) -> Result<bool, lsm_tree::Error> {
        let before = self.tree.current_version().id();
        {
            let flushing = self.tree.get_flush_lock();
            self.tree.flush(&flushing, self.visible.get())?;
        }
        self.tree.compact(Arc::clone(strategy) as Arc<dyn CompactionStrategy>, self.visible.get())?;
        self.tree.get_version_history_lock().maintenance(&self.tree.tree_config().path, self.visible.get())?;
        Ok(self.tree.current_version().id() != before)
    }

    fn failed(&self, doing: &str, error: &lsm_tree::Error) -> TaskError {
        failed(&format!("{doing} rows in"), &self.directory, error)
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        // What is left is removed with the directory of all.
        let _ = empty(&self.directory);
    }
}

/// Changes a space; there is one at a time.
struct Writer<'a> {
    disk: &'a Disk,
    count: MutexGuard<'a, usize>,
    tables: Arc<Tables>,
    /// Of the changes that are being made: all of a call have one, unless memory is full in between.
    seqno: SeqNo,
    /// In memory, about.
    gathered: u64,
}

impl Writer<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TaskError> {
        if key.is_empty() || key.len() > KEY_BYTES_MOST {
            let message = format!("cannot keep a key of {} bytes on disk", key.len());
            return Err(TaskError::fatal(message).with_hint(format!("keys have 1 to {KEY_BYTES_MOST} bytes there")));
        }
        if self.tables.get(key)?.is_none() {
            *self.count += 1;
        }
        (_, self.gathered) = self.tables.tree.insert(key, value, self.seqno);
        self.make_room()
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), TaskError> {
        if self.tables.get(key)?.is_some() {
            *self.count -= 1;
            self.forget(key.into())?;
        }
        Ok(())
    }

    /// Removes what is not counted.
    fn forget(&mut self, key: Slice) -> Result<(), TaskError> {
        (_, self.gathered) = self.tables.tree.remove(key, self.seqno);
        self.make_room()
    }

    fn make_room(&mut self) -> Result<(), TaskError> {
        if self.gathered < self.disk.sizes.gathered_bytes {
            return Ok(());
        }
        // No change in another stretch of memory has the same number: which is the later one could not be told.
        self.tables.visible.fetch_max(self.seqno + 1);
        self.tables.tree.rotate_memtable();
        self.gathered = 0;
        self.seqno = self.tables.seqno.next();
        self.disk.merging.ask(&self.tables)
    }

    /// Snapshots that are taken from now on have the changes.
    fn finish(self) {
        self.tables.visible.fetch_max(self.seqno + 1);
    }
}

/// The thread that writes and merges tables, and what it shares with those who write entries.
struct Merging {
    directory: PathBuf,
    strategy: Arc<Leveled>,
    work: Mutex<Work>,
    /// The work has.
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    /// Tables that there may be something to do with, the one that is being worked on among them.
    waiting: Vec<Arc<Tables>>,
    closing: bool,
    /// Nothing is merged any more.
    failed: Option<TaskError>,
}

impl Work {
    fn position(&self, tables: &Arc<Tables>) -> Option<usize> {
        self.waiting.iter().position(|waiting| Arc::ptr_eq(waiting, tables))
    }
}

impl Merging {
    /// Has tables written and merged; waits if there is too much of that to do.
    fn ask(&self, tables: &Arc<Tables>) -> Result<(), TaskError> {
        let mut work = locked(&self.work);
        if work.position(tables).is_none() {
            work.waiting.push(Arc::clone(tables));
            self.changed.notify_all();
        }
        while work.failed.is_none()
            && work.position(tables).is_some()
            && (tables.tree.sealed_memtable_count() >= LEAVING_MOST || tables.tree.l0_run_count() >= UNMERGED_MOST)
        {
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        work.failed.clone().map_or(Ok(()), Err)
    }

    /// Nothing has to be done for these tables any more.
    fn forget(&self, tables: &Arc<Tables>) {
        let mut work = locked(&self.work);
        if let Some(position) = work.position(tables) {
            work.waiting.remove(position);
        }
    }

    fn check(&self) -> Result<(), TaskError> {
        locked(&self.work).failed.clone().map_or(Ok(()), Err)
    }

    fn run(&self) {
        let _end = End(self);
        let mut work = locked(&self.work);
        while !work.closing {
            let Some(tables) = work.waiting.first().cloned() else {
                work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(work);
            let advanced = tables.advance(&self.strategy);
            work = locked(&self.work);
            match (advanced, work.position(&tables)) {
                // They have been cleared meanwhile, and perhaps their files removed.
                (_, None) => {}
                (Err(error), Some(_)) => {
                    work.failed = Some(tables.failed("merge", &error));
                    return;
                }
                (Ok(more), Some(position)) => {
                    work.waiting.remove(position);
                    // Who seals memory asks afterwards, under the lock: what was sealed behind our back is seen here.
                    if more || tables.tree.sealed_memtable_count() > 0 {
                        work.waiting.push(Arc::clone(&tables));
                    }
                }
            }
            self.changed.notify_all();
        }
    }
}

/// Lets nobody wait for a thread that has ended.
struct End<'a>(&'a Merging);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut work = locked(&self.0.work);
        if !work.closing {
            work.failed.get_or_insert_with(|| TaskError::fatal("the thread that merges tables has died"));
        }
        work.waiting.clear();
        self.0.changed.notify_all();
    }
}

/// Keys that begin with `prefix`, behind `after`; None if there can be none.
fn range_of(prefix: &[u8], after: Option<&[u8]>) -> Option<Range> {
    // No key is between a longer one and what is left of it here.
    let after = after.map(|after| &after[..after.len().min(KEY_BYTES_MOST)]);
    let start = match after {
        Some(after) if after.starts_with(prefix) => Bound::Excluded(after.into()),
        Some(after) if after > prefix => return None,
        _ if prefix.len() > KEY_BYTES_MOST => return None,
        _ if prefix.is_empty() => Bound::Unbounded,
        _ => Bound::Included(prefix.into()),
    };
    // The first key behind all of them: what follows the last byte that another follows.
    let end = match prefix.iter().rposition(|&byte| byte < u8::MAX) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            Bound::Excluded(end.into())
        }
        None => Bound::Unbounded,
    };
    Some((start, end))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind the locks is whole between any two of its changes.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn empty(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn failed(doing: &str, directory: &Path, error: &lsm_tree::Error) -> TaskError {
    let (what, hint) = match error {
        lsm_tree::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
            (error.to_string(), "make room there, or keep state that outgrows memory in another directory")
        }
        lsm_tree::Error::Io(error) => (
            error.to_string(),
            "see that the directory can be written, or keep state that outgrows memory in another one",
        ),
        error => (error.to_string(), "the disk may be failing"),
    };
    TaskError::retryable(format!("cannot {doing} \"{}\": {what}", directory.display())).with_hint(hint)
}

#[cfg(test)]
mod tests;
