//! RocksDB through its Rust wrapper, without a log.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, IteratorMode, Options, ReadOptions, WriteBatch,
    WriteOptions,
};

use crate::{Bytes, CACHE_BYTES, Outcome, Snapshot, Store, WRITE_BUFFER_BYTES};

pub(crate) struct Rocks {
    database: Arc<DB>,
    unlogged: WriteOptions,
}

impl Rocks {
    pub(crate) fn open(path: &Path, lz4: bool) -> Outcome<Rocks> {
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        tables.set_bloom_filter(10.0, false);
        tables.set_cache_index_and_filter_blocks(true);
        tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&tables);
        options.set_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_max_background_jobs(2);
        options.set_compression_type(if lz4 { DBCompressionType::Lz4 } else { DBCompressionType::None });
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        Ok(Rocks { database: Arc::new(DB::open(&options, path)?), unlogged })
    }
}

/// The first key that is above all keys of the prefix: our prefixes are not all ones.
fn above(prefix: &[u8]) -> Bytes {
    let mut above = prefix.to_vec();
    while let Some(last) = above.pop() {
        if last < u8::MAX {
            above.push(last + 1);
            break;
        }
    }
    above
}

impl Store for Rocks {
    fn put(&mut self, entries: &[(Bytes, Bytes)]) -> Outcome<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in entries {
            batch.put(key, value);
        }
        Ok(self.database.write_opt(batch, &self.unlogged)?)
    }

    fn get(&self, keys: &[Bytes]) -> Outcome<Vec<Option<Bytes>>> {
        self.database.multi_get(keys).into_iter().map(|value| Ok(value?)).collect()
    }

    fn remove(&mut self, keys: &[Bytes]) -> Outcome<()> {
        let mut batch = WriteBatch::default();
        for key in keys {
            batch.delete(key);
        }
        Ok(self.database.write_opt(batch, &self.unlogged)?)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        scan(&self.database, ReadOptions::default(), prefix, visit)
    }

    fn remove_prefix(&mut self, prefix: &[u8]) -> Outcome<()> {
        let mut batch = WriteBatch::default();
        batch.delete_range(prefix, above(prefix).as_slice());
        Ok(self.database.write_opt(batch, &self.unlogged)?)
    }

    fn snapshot(&self) -> Outcome<Box<dyn Snapshot>> {
        // The wrapper's snapshot borrows the database, so it is made and used in the thread that owns a share of it. What
        // has to be shown is the cost of reading one beside writes, so the moment may be the reader's.
        Ok(Box::new(RocksSnapshot(Arc::clone(&self.database))))
    }

    fn settle(&mut self) -> Outcome<()> {
        self.database.flush()?;
        let busy = ["rocksdb.num-running-flushes", "rocksdb.num-running-compactions", "rocksdb.compaction-pending"];
        let mut quiet = 0;
        while quiet < 10 {
            std::thread::sleep(Duration::from_millis(50));
            let mut jobs = 0;
            for property in busy {
                jobs += self.database.property_int_value(property)?.unwrap_or(0);
            }
            quiet = if jobs == 0 { quiet + 1 } else { 0 };
        }
        Ok(())
    }
}

struct RocksSnapshot(Arc<DB>);

impl Snapshot for RocksSnapshot {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        let snapshot = self.0.snapshot();
        let mut options = ReadOptions::default();
        options.set_snapshot(&snapshot);
        scan(&self.0, options, prefix, visit)
    }
}

fn scan(
    database: &DB,
    mut options: ReadOptions,
    prefix: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Outcome<()> {
    let end = above(prefix);
    if !end.is_empty() {
        options.set_iterate_upper_bound(end);
    }
    for entry in database.iterator_opt(IteratorMode::From(prefix, Direction::Forward), options) {
        let (key, value) = entry?;
        if !visit(&key, &value) {
            break;
        }
    }
    Ok(())
}
