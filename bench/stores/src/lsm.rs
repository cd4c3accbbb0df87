//! lsm-tree: the merge tree below fjall, by itself. It has no journal and no threads: when tables are written and merged
//! is up to its user, here a thread that merges until there is nothing to do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use lsm_tree::compaction::Leveled;
use lsm_tree::config::CompressionPolicy;
use lsm_tree::{AbstractTree as _, AnyTree, Cache, CompressionType, Config, Guard as _, SeqNo, SequenceNumberCounter};

use crate::{Bytes, CACHE_BYTES, Outcome, Snapshot, Store, WRITE_BUFFER_BYTES};

/// From so many entries on, a table is written at once instead of going through memory.
const INGESTED: usize = 4_096;
/// So many tables that have not been merged make a writer wait.
const RUNS_UNMERGED_MAX: usize = 20;

pub(crate) struct Lsm {
    tree: AnyTree,
    seqno: SequenceNumberCounter,
    visible: SequenceNumberCounter,
    /// The numbers that are read by snapshots, each as often as it is.
    read: Arc<Mutex<BTreeMap<SeqNo, usize>>>,
    wake: Option<Sender<()>>,
    merging: Arc<AtomicBool>,
    merger: Option<JoinHandle<()>>,
}

impl Lsm {
    pub(crate) fn open(path: &Path, lz4: bool) -> Outcome<Lsm> {
        let (seqno, visible) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let compression = if lz4 { CompressionPolicy::all(CompressionType::Lz4) } else { CompressionPolicy::disabled() };
        let tree = Config::new(path, seqno.clone(), visible.clone())
            .use_cache(Arc::new(Cache::with_capacity_bytes(CACHE_BYTES as u64)))
            .data_block_compression_policy(compression)
            .open()?;
        let read = Arc::default();
        let merging = Arc::new(AtomicBool::new(false));
        let (wake, woken) = channel();
        let merger = {
            let (tree, read, merging) = (tree.clone(), Arc::clone(&read), Arc::clone(&merging));
            let visible = visible.clone();
            std::thread::spawn(move || merge(&tree, &visible, &read, &woken, &merging))
        };
        Ok(Lsm { tree, seqno, visible, read, wake: Some(wake), merging, merger: Some(merger) })
    }

    fn after_write(&self, memory: u64) -> Outcome<()> {
        if memory > WRITE_BUFFER_BYTES as u64 {
            self.tree.flush_active_memtable(oldest(&self.read, &self.visible))?;
            self.wake();
        }
        while self.tree.l0_run_count() > RUNS_UNMERGED_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn wake(&self) {
        self.merging.store(true, Ordering::SeqCst);
        if let Some(wake) = &self.wake {
            let _ = wake.send(());
        }
    }
}

/// The version that somebody may still read; older ones can go.
fn oldest(read: &Mutex<BTreeMap<SeqNo, usize>>, visible: &SequenceNumberCounter) -> SeqNo {
    let read = read.lock().expect("no holder of the lock panics");
    read.first_key_value().map_or_else(|| visible.get(), |(oldest, _)| *oldest)
}

fn merge(
    tree: &AnyTree,
    visible: &SequenceNumberCounter,
    read: &Mutex<BTreeMap<SeqNo, usize>>,
    woken: &Receiver<()>,
    merging: &AtomicBool,
) {
    let strategy = Arc::new(Leveled::default());
    while woken.recv().is_ok() {
        loop {
            while woken.try_recv().is_ok() {}
            let before = tree.current_version().id();
            let seqno = oldest(read, visible);
            tree.compact(strategy.clone(), seqno).expect("tables are merged");
            if tree.current_version().id() == before {
                break;
            }
        }
        merging.store(false, Ordering::SeqCst);
    }
}

impl Drop for Lsm {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(merger) = self.merger.take() {
            let _ = merger.join();
        }
    }
}

impl Store for Lsm {
    fn put(&mut self, entries: &[(Bytes, Bytes)]) -> Outcome<()> {
        if entries.len() >= INGESTED {
            let mut table = self.tree.ingestion()?;
            for (key, value) in entries {
                table.write(key.as_slice(), value.as_slice())?;
            }
            table.finish()?;
            self.wake();
            return self.after_write(0);
        }
        let seqno = self.seqno.next();
        let mut memory = 0;
        for (key, value) in entries {
            (_, memory) = self.tree.insert(key.as_slice(), value.as_slice(), seqno);
        }
        self.visible.fetch_max(seqno + 1);
        self.after_write(memory)
    }

    fn get(&self, keys: &[Bytes]) -> Outcome<Vec<Option<Bytes>>> {
        keys.iter().map(|key| Ok(self.tree.get(key, SeqNo::MAX)?.map(|value| value.to_vec()))).collect()
    }

    fn remove(&mut self, keys: &[Bytes]) -> Outcome<()> {
        let seqno = self.seqno.next();
        let mut memory = 0;
        for key in keys {
            (_, memory) = self.tree.remove(key.as_slice(), seqno);
        }
        self.visible.fetch_max(seqno + 1);
        self.after_write(memory)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        scan(&self.tree, SeqNo::MAX, prefix, visit)
    }

    fn remove_prefix(&mut self, prefix: &[u8]) -> Outcome<()> {
        // Tables that hold nothing else go at once, what is left in others gets a tombstone.
        let mut end = prefix.to_vec();
        end.push(u8::MAX);
        end.resize(prefix.len() + 64, u8::MAX);
        self.tree.drop_range(prefix..end.as_slice())?;
        let mut keys = Vec::new();
        for entry in self.tree.prefix(prefix, SeqNo::MAX, None) {
            keys.push(entry.key()?);
        }
        let mut table = self.tree.ingestion()?;
        for key in keys {
            table.write_tombstone(key)?;
        }
        table.finish()?;
        self.wake();
        Ok(())
    }

    fn snapshot(&self) -> Outcome<Box<dyn Snapshot>> {
        let mut read = self.read.lock().expect("no holder of the lock panics");
        let seqno = self.visible.get();
        *read.entry(seqno).or_default() += 1;
        Ok(Box::new(LsmSnapshot { tree: self.tree.clone(), seqno, read: Arc::clone(&self.read) }))
    }

    fn settle(&mut self) -> Outcome<()> {
        self.tree.flush_active_memtable(oldest(&self.read, &self.visible))?;
        self.wake();
        while self.merging.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

struct LsmSnapshot {
    tree: AnyTree,
    seqno: SeqNo,
    read: Arc<Mutex<BTreeMap<SeqNo, usize>>>,
}

impl Snapshot for LsmSnapshot {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        scan(&self.tree, self.seqno, prefix, visit)
    }
}

impl Drop for LsmSnapshot {
    fn drop(&mut self) {
        let mut read = self.read.lock().expect("no holder of the lock panics");
        if let Some(readers) = read.get_mut(&self.seqno) {
            *readers -= 1;
            if *readers == 0 {
                read.remove(&self.seqno);
            }
        }
    }
}

fn scan(
    tree: &AnyTree,
    seqno: SeqNo,
    prefix: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Outcome<()> {
    for entry in tree.prefix(prefix, seqno, None) {
        let (key, value) = entry.into_inner()?;
        if !visit(&key, &value) {
            break;
        }
    }
    Ok(())
}
