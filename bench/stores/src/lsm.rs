//! lsm-tree: the merge tree below fjall, by itself, without journal or threads. When tables are written and merged is up
//! to its user, so what is measured is the worker's own layer over it, compression off, with half of the others' cache.

use std::path::Path;
use std::time::Duration;

use crate::cold::{self, Cold, Space};
use crate::{Bytes, Outcome, Snapshot, Store};

/// Rows of one call of a scan.
const PAGE: usize = 4_096;

pub(crate) struct Lsm {
    cold: Cold,
    entries: Space,
}

impl Lsm {
    pub(crate) fn open(path: &Path) -> Outcome<Lsm> {
        let cold = Cold::open(path)?;
        let entries = cold.space("entries")?;
        Ok(Lsm { cold, entries })
    }
}

impl Store for Lsm {
    fn put(&mut self, entries: &[(Bytes, Bytes)]) -> Outcome<()> {
        Ok(self.entries.put(entries.iter().map(|(key, value)| (key, value)))?)
    }

    fn get(&self, keys: &[Bytes]) -> Outcome<Vec<Option<Bytes>>> {
        Ok(self.entries.get(keys)?.into_iter().map(|value| value.map(|value| value.to_vec())).collect())
    }

    fn remove(&mut self, keys: &[Bytes]) -> Outcome<()> {
        Ok(self.entries.remove(keys)?)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        pages(|after| Ok(self.entries.scan(prefix, after, PAGE)?), visit)
    }

    fn remove_prefix(&mut self, prefix: &[u8]) -> Outcome<()> {
        Ok(self.entries.remove_prefix(prefix)?)
    }

    fn snapshot(&self) -> Outcome<Box<dyn Snapshot>> {
        Ok(Box::new(LsmSnapshot(self.entries.snapshot())))
    }

    fn settle(&mut self) -> Outcome<()> {
        let (mut quiet, mut before) = (0, 0);
        while quiet < 10 {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.cold.disk_bytes();
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }
}

struct LsmSnapshot(cold::Snapshot);

impl Snapshot for LsmSnapshot {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        pages(|after| Ok(self.0.scan(prefix, after, PAGE)?), visit)
    }
}

fn pages(
    page: impl Fn(Option<&[u8]>) -> Outcome<Vec<(cold::Key, cold::Value)>>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Outcome<()> {
    let mut after: Option<cold::Key> = None;
    loop {
        let entries = page(after.as_deref())?;
        for (key, value) in &entries {
            if !visit(key, value) {
                return Ok(());
            }
        }
        match entries.into_iter().nth(PAGE - 1) {
            Some((last, _)) => after = Some(last),
            None => return Ok(()),
        }
    }
}
