//! SlateDB over a local directory as its object store, without a log. It is asynchronous: a runtime of two threads
//! carries it, and each call waits for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use slatedb::config::{CompressionCodec, FlushOptions, FlushType, Settings, WriteOptions};
use slatedb::db_cache::foyer::{FoyerCache, FoyerCacheOptions};
use slatedb::{Db, DbSnapshot, WriteBatch};
use tokio::runtime::{Builder, Runtime};

use crate::{Bytes, CACHE_BYTES, Outcome, Snapshot, Store, WRITE_BUFFER_BYTES};

pub(crate) struct Slate {
    runtime: Arc<Runtime>,
    database: Db,
}

impl Slate {
    pub(crate) fn open(path: &Path, lz4: bool) -> Outcome<Slate> {
        std::fs::create_dir_all(path)?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let settings = Settings {
            wal_enabled: false,
            flush_interval: None,
            l0_sst_size_bytes: WRITE_BUFFER_BYTES,
            max_unflushed_bytes: 3 * WRITE_BUFFER_BYTES,
            manifest_poll_interval: Duration::from_millis(200),
            compression_codec: lz4.then_some(CompressionCodec::Lz4),
            ..Settings::default()
        };
        let cache = FoyerCache::new_with_opts(FoyerCacheOptions { max_capacity: CACHE_BYTES as u64, shards: 4 });
        let files = Arc::new(LocalFileSystem::new_with_prefix(path)?);
        let opened = Db::builder("entries", files).with_settings(settings).with_db_cache(Arc::new(cache), 0).build();
        let database = runtime.block_on(opened)?;
        Ok(Slate { runtime: Arc::new(runtime), database })
    }

    fn write(&self, batch: WriteBatch) -> Outcome<()> {
        self.runtime.block_on(self.database.write_with_options(batch, &WriteOptions::default()))?;
        Ok(())
    }
}

impl Drop for Slate {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.database.close());
    }
}

impl Store for Slate {
    fn put(&mut self, entries: &[(Bytes, Bytes)]) -> Outcome<()> {
        let mut batch = WriteBatch::new();
        for (key, value) in entries {
            batch.put(key, value);
        }
        self.write(batch)
    }

    fn get(&self, keys: &[Bytes]) -> Outcome<Vec<Option<Bytes>>> {
        self.runtime.block_on(async {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                values.push(self.database.get(key).await?.map(|value| value.to_vec()));
            }
            Ok(values)
        })
    }

    fn remove(&mut self, keys: &[Bytes]) -> Outcome<()> {
        let mut batch = WriteBatch::new();
        for key in keys {
            batch.delete(key);
        }
        self.write(batch)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        self.runtime.block_on(async {
            let mut entries = self.database.scan_prefix(prefix, ..).await?;
            while let Some(entry) = entries.next().await? {
                if !visit(&entry.key, &entry.value) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn remove_prefix(&mut self, prefix: &[u8]) -> Outcome<()> {
        let mut keys = Vec::new();
        self.scan(prefix, &mut |key, _| {
            keys.push(key.to_vec());
            true
        })?;
        keys.chunks(50_000).try_for_each(|keys| self.remove(keys))
    }

    fn snapshot(&self) -> Outcome<Box<dyn Snapshot>> {
        Ok(Box::new(SlateSnapshot { runtime: Arc::clone(&self.runtime), snapshot: self.database.snapshot()? }))
    }

    fn settle(&mut self) -> Outcome<()> {
        let all = FlushOptions { flush_type: FlushType::MemTable, ..FlushOptions::default() };
        self.runtime.block_on(self.database.flush_with_options(all))?;
        // Its compactor says nothing; it has been idle when the manifest stays the same for a second.
        let (mut quiet, mut before) = (0, String::new());
        while quiet < 10 {
            std::thread::sleep(Duration::from_millis(200));
            let now = format!("{:?}", self.database.manifest());
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }
}

struct SlateSnapshot {
    runtime: Arc<Runtime>,
    snapshot: Arc<DbSnapshot>,
}

impl Snapshot for SlateSnapshot {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        self.runtime.block_on(async {
            let mut entries = self.snapshot.scan_prefix(prefix, ..).await?;
            while let Some(entry) = entries.next().await? {
                if !visit(&entry.key, &entry.value) {
                    break;
                }
            }
            Ok(())
        })
    }
}
