//! redb: a B-tree that writes pages anew, over a file that is told to sync and does not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use redb::{Builder, Database, ReadTransaction, ReadableDatabase as _, StorageBackend, TableDefinition};

use crate::{Bytes, CACHE_BYTES, Outcome, Snapshot, Store};

const ENTRIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");

pub(crate) struct Redb {
    database: Database,
}

impl Redb {
    pub(crate) fn open(path: &Path) -> Outcome<Redb> {
        std::fs::create_dir_all(path)?;
        let file = File::options().read(true).write(true).create_new(true).open(path.join("entries"))?;
        let database = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(Scratch(file))?;
        let transaction = database.begin_write()?;
        transaction.open_table(ENTRIES)?;
        transaction.commit()?;
        Ok(Redb { database })
    }
}

/// A file whose content nobody wants after a crash.
#[derive(Debug)]
struct Scratch(File);

impl StorageBackend for Scratch {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
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

impl Store for Redb {
    fn put(&mut self, entries: &[(Bytes, Bytes)]) -> Outcome<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(ENTRIES)?;
            for (key, value) in entries {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, keys: &[Bytes]) -> Outcome<Vec<Option<Bytes>>> {
        let table = self.database.begin_read()?.open_table(ENTRIES)?;
        keys.iter().map(|key| Ok(table.get(key.as_slice())?.map(|value| value.value().to_vec()))).collect()
    }

    fn remove(&mut self, keys: &[Bytes]) -> Outcome<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(ENTRIES)?;
            for key in keys {
                table.remove(key.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        scan(&self.database.begin_read()?, prefix, visit)
    }

    fn remove_prefix(&mut self, prefix: &[u8]) -> Outcome<()> {
        let transaction = self.database.begin_write()?;
        let end = above(prefix);
        transaction.open_table(ENTRIES)?.retain_in::<&[u8], _>(prefix..end.as_slice(), |_, _| false)?;
        Ok(transaction.commit()?)
    }

    fn snapshot(&self) -> Outcome<Box<dyn Snapshot>> {
        Ok(Box::new(RedbSnapshot(self.database.begin_read()?)))
    }

    fn settle(&mut self) -> Outcome<()> {
        Ok(())
    }
}

struct RedbSnapshot(ReadTransaction);

impl Snapshot for RedbSnapshot {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
        scan(&self.0, prefix, visit)
    }
}

fn scan(transaction: &ReadTransaction, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Outcome<()> {
    let table = transaction.open_table(ENTRIES)?;
    let end = above(prefix);
    let entries =
        if end.is_empty() { table.range::<&[u8]>(prefix..)? } else { table.range::<&[u8]>(prefix..end.as_slice())? };
    for entry in entries {
        let (key, value) = entry?;
        if !visit(key.value(), value.value()) {
            break;
        }
    }
    Ok(())
}
