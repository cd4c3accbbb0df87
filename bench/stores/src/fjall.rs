//! fjall: a log-structured merge tree with a journal, which cannot be switched off, but need not be synced.

use std::path::Path;
use std::time::Duration;

use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, Readable as _};

use crate::{Bytes, CACHE_BYTES, Outcome, Snapshot, Store, WRITE_BUFFER_BYTES};

/// From so many entries on, a table is written at once instead of going through the journal.
const INGESTED: usize = 4_096;

pub(crate) struct Fjall {
    database: Database,
    entries: Keyspace,
}

impl Fjall {
    pub(crate) fn open(path: &Path, lz4: bool) -> Outcome<Fjall> {
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES as u64)
            .manual_journal_persist(true)
            .max_journaling_size(64 << 20)
            .worker_threads(2)
            .open()?;
        let compression =
            if lz4 { CompressionPolicy::all(CompressionType::Lz4) } else { CompressionPolicy::disabled() };
        let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0));
        let entries = database.keyspace("entries", || {
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(WRITE_BUFFER_BYTES as u64)
                .filter_policy(FilterPolicy::all(filter))
                .data_block_compression_policy(compression)
        })?;
        Ok(Fjall { database, entries })
    }
}

impl Store for Fjall {
    fn put(&mut self, entries: &[(Bytes, Bytes)]) -> Outcome<()> {
        if entries.len() >= INGESTED {
            let mut table = self.entries.start_ingestion()?;
            for (key, value) in entries {
                table.write(key.as_slice(), value.as_slice())?;
            }
            table.finish()?;
            return Ok(());
        }
        let mut batch = self.database.batch();
        for (key, value) in entries {
            batch.insert(&self.entries, key.as_slice(), value.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn get(&self, keys: &[Bytes]) -> Outcome<Vec<Option<Bytes>>> {
        keys.iter().map(|key| Ok(self.entries.get(key)?.map(|value| value.to_vec()))).collect()
    }

    fn remove(&mut self, keys: &[Bytes]) -> Outcome<()> {
        let mut batch = self.database.batch();
        for key in keys {
            batch.remove(&self.entries, key.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        for entry in self.entries.prefix(prefix) {
            let (key, value) = entry.into_inner()?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn remove_prefix(&mut self, prefix: &[u8]) -> Outcome<()> {
        let mut keys = Vec::new();
        for entry in self.entries.prefix(prefix) {
            keys.push(entry.key()?.to_vec());
        }
        let mut table = self.entries.start_ingestion()?;
        for key in keys {
            table.write_tombstone(key)?;
        }
        Ok(table.finish()?)
    }

    fn snapshot(&self) -> Outcome<Box<dyn Snapshot>> {
        Ok(Box::new(FjallSnapshot { snapshot: self.database.snapshot(), entries: self.entries.clone() }))
    }

    fn settle(&mut self) -> Outcome<()> {
        self.entries.rotate_memtable_and_wait()?;
        let mut quiet = 0;
        let mut done = self.database.compactions_completed();
        while quiet < 10 {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.database.compactions_completed();
            quiet = if self.database.active_compactions() == 0 && now == done { quiet + 1 } else { 0 };
            done = now;
        }
        Ok(())
    }
}

struct FjallSnapshot {
    snapshot: fjall::Snapshot,
    entries: Keyspace,
}

impl Snapshot for FjallSnapshot {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        for entry in self.snapshot.prefix(&self.entries, prefix) {
            let (key, value) = entry.into_inner()?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}
