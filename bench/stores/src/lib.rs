//! Embedded stores behind one interface: the one that state needs when memory has no room for it.
//!
//! Each store is set up for what this use asks of it, and no more: the directory is scratch space, so nothing is written
//! to last (no log before the tables and no fsync, where the store can be told so); 64 MiB of cache, 16 MiB of writes
//! gathered in memory, a bloom filter of 10 bits for each key where there are filters.

use std::error::Error;
use std::path::Path;

// The layer that is measured is the very one that pipelines have; the crate around it would bring half of the project.
#[cfg(feature = "lsm-tree")]
#[path = "../../../worker-lib/src/cold/mod.rs"]
pub mod cold;
#[cfg(feature = "lsm-tree")]
#[path = "../../../worker-lib/src/error.rs"]
pub mod error;

#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "lsm-tree")]
mod lsm;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "slatedb")]
mod slatedb;

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
pub type Bytes = Vec<u8>;

#[allow(dead_code, reason = "each store has its own way to be told; the layer over lsm-tree has none")]
const CACHE_BYTES: usize = 64 << 20;
#[allow(dead_code, reason = "as above")]
const WRITE_BUFFER_BYTES: usize = 16 << 20;

/// A store with one space of keys.
pub trait Store: Send {
    /// Puts entries, which are in the order of their keys.
    fn put(&mut self, entries: &[(Bytes, Bytes)]) -> Outcome<()>;
    fn get(&self, keys: &[Bytes]) -> Outcome<Vec<Option<Bytes>>>;
    fn remove(&mut self, keys: &[Bytes]) -> Outcome<()>;
    /// Calls `visit` for each entry under `prefix`, in order, until it says no.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()>;
    /// Removes what is under `prefix`, in the cheapest way that the store has.
    fn remove_prefix(&mut self, prefix: &[u8]) -> Outcome<()>;
    /// The store as it is now.
    fn snapshot(&self) -> Outcome<Box<dyn Snapshot>>;
    /// Waits until nothing is done in the background.
    fn settle(&mut self) -> Outcome<()>;
}

pub trait Snapshot: Send {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()>;
}

/// How a store is opened.
pub struct Kind {
    pub name: &'static str,
    pub open: fn(&Path) -> Outcome<Box<dyn Store>>,
}

pub fn kinds() -> Vec<Kind> {
    vec![
        #[cfg(feature = "fjall")]
        Kind { name: "fjall", open: |path| Ok(Box::new(fjall::Fjall::open(path, false)?)) },
        #[cfg(feature = "fjall")]
        Kind { name: "fjall, lz4", open: |path| Ok(Box::new(fjall::Fjall::open(path, true)?)) },
        #[cfg(feature = "lsm-tree")]
        Kind { name: "lsm-tree", open: |path| Ok(Box::new(lsm::Lsm::open(path)?)) },
        #[cfg(feature = "redb")]
        Kind { name: "redb", open: |path| Ok(Box::new(redb::Redb::open(path)?)) },
        #[cfg(feature = "rocksdb")]
        Kind { name: "rocksdb", open: |path| Ok(Box::new(rocksdb::Rocks::open(path, false)?)) },
        #[cfg(feature = "rocksdb")]
        Kind { name: "rocksdb, lz4", open: |path| Ok(Box::new(rocksdb::Rocks::open(path, true)?)) },
        #[cfg(feature = "slatedb")]
        Kind { name: "slatedb", open: |path| Ok(Box::new(slatedb::Slate::open(path, false)?)) },
        #[cfg(feature = "slatedb")]
        Kind { name: "slatedb, lz4", open: |path| Ok(Box::new(slatedb::Slate::open(path, true)?)) },
    ]
}
