//! Objects under names: what checkpoints need of an object store, and no more.
//!
//! A job's log decides by one operation, *create if there is none*, and by what it lists afterwards. So a store must
//! promise:
//!
//! * creating is atomic, and what was created is whole and survives the loss of the machine before the answer is given;
//! * reading and listing see every change that was answered before they were asked;
//! * an error says nothing: what was asked for may have been done, or be done later. Dropping a future takes nothing
//!   back.
//!
//! [`LocalObjects`] is a directory, and system calls on it where they may block. Its invariant is that of the artifact
//! store: a file under its name is complete, for it got there by `rename` or `link` after `fsync`, and its directory
//! is synced before anybody is told. What a dead process leaves lies in `.tmp/`, where no name leads.
//! [`MemoryObjects`] is a map, for tests and simulations; faults are the business of who wraps the trait.
//!
//! Not here: clients of object stores (their URLs are refused by [`open_objects`] until they have one), what the bytes
//! mean, trying again: a caller knows how long an answer is worth waiting for.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::url::{StorageUrl, UrlError};

/// A store of objects. Names are relative paths with `/`, whose parts do not begin with a dot.
pub trait Objects: Send + Sync + fmt::Debug {
    /// Where it is, as messages show it.
    fn url(&self) -> &str;

    /// Stores an object, in place of what had that name.
    fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectError>>;

    /// Stores an object unless there is one of that name. Of any number of callers one is told [`Created::New`].
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created, ObjectError>>;

    /// An object's bytes; `None` if there is none of that name.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectError>>;

    /// The objects whose names begin with `prefix`, by name. What is there all the while is listed; what comes or
    /// goes meanwhile may be.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, ObjectError>>;

    /// Removes an object, if there is one of that name.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), ObjectError>>;
}

/// What came of creating an object. Either way there is one now, and it survives the loss of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    /// There was one, whose bytes may be any.
    Exists,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// Its size.
    pub bytes: u64,
    pub modified: SystemTime,
}

#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("cannot {action} \"{path}\": {source}")]
    Io { action: &'static str, path: String, source: io::Error },
    #[error("\"{name}\" cannot be the name of an object in {store}")]
    Name { name: String, store: String },
}

impl ObjectError {
    /// Space is lacking. To ask again at once is of no use, but somebody may make room.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind as Kind;
        matches!(self, ObjectError::Io { source, .. } if matches!(source.kind(), Kind::StorageFull | Kind::QuotaExceeded))
    }

    /// Whether the same may succeed when it is asked again soon.
    pub fn retryable(&self) -> bool {
        use io::ErrorKind as Kind;
        match self {
            ObjectError::Io { source, .. } => matches!(
                source.kind(),
                Kind::Interrupted
                    | Kind::TimedOut
                    | Kind::WouldBlock
                    | Kind::ResourceBusy
                    | Kind::StaleNetworkFileHandle
                    | Kind::BrokenPipe
                    | Kind::ConnectionAborted
                    | Kind::ConnectionRefused
                    | Kind::ConnectionReset
                    | Kind::NotConnected
                    | Kind::HostUnreachable
                    | Kind::NetworkUnreachable
                    | Kind::NetworkDown
                    | Kind::UnexpectedEof
            ),
            ObjectError::Url(_) | ObjectError::Name { .. } => false,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ObjectError::Url(error) => Some(error.hint()),
            ObjectError::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("set checkpoint-url to a writable directory")
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("free some space, or set checkpoint-url to another disk")
                }
                _ => None,
            },
            ObjectError::Name { .. } => None,
        }
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ObjectError {
        let path = path.display().to_string();
        move |source| ObjectError::Io { action, path, source }
    }
}

/// Opens the store at a storage URL, and makes its directory if it is not there.
///
/// # Errors
/// A URL that cannot be used, or a directory that cannot be made.
pub fn open_objects(url: &str) -> Result<Arc<dyn Objects>, ObjectError> {
    let StorageUrl::Local(path) = StorageUrl::parse(url)?;
    Ok(Arc::new(LocalObjects::open(&path)?))
}

/// Opens the store at a storage URL to look into it: nothing is made that is not there, and nothing removed.
///
/// # Errors
/// A URL that cannot be used, or no directory there.
pub fn open_objects_that_exist(url: &str) -> Result<Arc<dyn Objects>, ObjectError> {
    let StorageUrl::Local(path) = StorageUrl::parse(url)?;
    Ok(Arc::new(LocalObjects::open_that_exists(&path)?))
}

/// Whether it stays below the store's root, means one object, and cannot be one of our own temporary files.
fn is_name(name: &str) -> bool {
    name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']))
}

fn check_name(name: &str, store: &str) -> Result<(), ObjectError> {
    if is_name(name) { Ok(()) } else { Err(ObjectError::Name { name: name.to_owned(), store: store.to_owned() }) }
}

/// A prefix is nothing, or a name, or a name and `/`.
fn check_prefix(prefix: &str, store: &str) -> Result<(), ObjectError> {
    if prefix.is_empty() { Ok(()) } else { check_name(prefix.strip_suffix('/').unwrap_or(prefix), store) }
}

/// A directory of the root for files on their way to their names. It begins with a dot, so it is no name itself.
const TEMPORARY: &str = ".tmp";

/// Temporary files of this age belong to nobody: writing one takes seconds.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 3600);

/// Objects as the files of a local directory. Any number of processes may have the same one open.
///
/// A future runs its system calls on the runtime's threads for blocking work, to the end even if it is dropped.
#[derive(Debug)]
pub struct LocalObjects {
    directory: Directory,
}

impl LocalObjects {
    /// Opens a directory, makes it if it is not there, and removes what processes have left in it that died a day ago.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> Result<LocalObjects, ObjectError> {
        // Absolute from here on: a later change of the working directory must not move the store.
        let root = std::path::absolute(path).map_err(ObjectError::io("open", path))?;
        let temporary = root.join(TEMPORARY);
        make_directory(&temporary).map_err(ObjectError::io("create directory", &temporary))?;
        let directory = Directory { root, url: StorageUrl::Local(path.to_owned()).to_string() };
        directory.clean(LEFTOVER_AGE);
        Ok(LocalObjects { directory })
    }

    /// Opens a directory as it is.
    ///
    /// # Errors
    /// When it is not there, or is none.
    pub fn open_that_exists(path: &Path) -> Result<LocalObjects, ObjectError> {
        let root = std::path::absolute(path).map_err(ObjectError::io("open", path))?;
        fs::read_dir(&root).map_err(ObjectError::io("open", path))?;
        Ok(LocalObjects { directory: Directory { root, url: StorageUrl::Local(path.to_owned()).to_string() } })
    }

    fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        name: &str,
        work: impl FnOnce(&Directory, &str) -> Result<T, ObjectError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, ObjectError>> {
        let (directory, name) = (self.directory.clone(), name.to_owned());
        Box::pin(async move {
            let path = directory.root.join(&name).display().to_string();
            let done = tokio::task::spawn_blocking(move || work(&directory, &name)).await;
            done.unwrap_or_else(|error| Err(ObjectError::Io { action, path, source: io::Error::other(error) }))
        })
    }
}

impl Objects for LocalObjects {
    fn url(&self) -> &str {
        &self.directory.url
    }

    fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectError>> {
        self.blocking("write", name, move |directory, name| directory.put(name, &bytes))
    }

    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created, ObjectError>> {
        self.blocking("create", name, move |directory, name| directory.create(name, &bytes))
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectError>> {
        self.blocking("read", name, |directory, name| directory.get(name))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, ObjectError>> {
        self.blocking("list", prefix, |directory, prefix| directory.list(prefix))
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        self.blocking("delete", name, |directory, name| directory.delete(name))
    }
}

/// The system calls of [`LocalObjects`].
#[derive(Clone, Debug)]
struct Directory {
    root: PathBuf,
    url: String,
}

impl Directory {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let (path, above) = self.place(name)?;
        let write = || {
            let temporary = self.temporary(bytes)?;
            make_directory(&above)?;
            fs::rename(&temporary.0, &path)?;
            sync_directory(&above)
        };
        write().map_err(ObjectError::io("write", &path))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, ObjectError> {
        let (path, above) = self.place(name)?;
        let write = || {
            let temporary = self.temporary(bytes)?;
            make_directory(&above)?;
            let created = match fs::hard_link(&temporary.0, &path) {
                Ok(()) => Created::New,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Created::Exists,
                Err(error) => return Err(error),
            };
            // Of one that was there, too: who made it may have died before it came to this.
            sync_directory(&above)?;
            Ok(created)
        };
        write().map_err(ObjectError::io("create", &path))
    }

    fn get(&self, name: &str) -> Result<Option<Bytes>, ObjectError> {
        let (path, _) = self.place(name)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ObjectError::io("read", &path)(error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, ObjectError> {
        check_prefix(prefix, &self.url)?;
        let mut found = vec![];
        self.walk(prefix.rsplit_once('/').map_or("", |(directory, _)| directory), prefix, &mut found)?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn walk(&self, directory: &str, prefix: &str, found: &mut Vec<Entry>) -> Result<(), ObjectError> {
        let path = self.root.join(directory);
        // All names before the first question about one of them: the system reads a directory of less than some
        // hundred files at one moment, and so it must be for who asks which file of a log is the last.
        let entries = match fs::read_dir(&path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(ObjectError::io("list", &path)(error)),
        };
        for entry in entries {
            // A name that is not UTF-8, or begins with a dot, is not ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let name = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if !name.starts_with(prefix) {
                continue;
            }
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(ObjectError::io("list", &entry.path())(error)),
            };
            if metadata.is_dir() {
                self.walk(&name, prefix, found)?;
            } else {
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push(Entry { name, bytes: metadata.len(), modified });
            }
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), ObjectError> {
        let (path, above) = self.place(name)?;
        let removed = match fs::remove_file(&path) {
            // Not even its directory may be there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed,
        };
        // Synced, so that of two deletions the second does not outlive the first.
        removed.and_then(|()| sync_directory(&above)).map_err(ObjectError::io("delete", &path))
    }

    /// Where an object is, and its directory.
    fn place(&self, name: &str) -> Result<(PathBuf, PathBuf), ObjectError> {
        check_name(name, &self.url)?;
        let path = self.root.join(name);
        let above = path.parent().unwrap_or(&self.root).to_owned();
        Ok((path, above))
    }

    /// The bytes in a file that nobody knows of and that survives the loss of the machine.
    fn temporary(&self, bytes: &[u8]) -> io::Result<Temporary> {
        let temporary = Temporary(self.root.join(TEMPORARY).join(uuid::Uuid::new_v4().simple().to_string()));
        let mut file = File::create_new(&temporary.0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// Best effort: what cannot be removed stays.
    fn clean(&self, age: Duration) {
        let Some(limit) = SystemTime::now().checked_sub(age) else { return };
        for entry in fs::read_dir(self.root.join(TEMPORARY)).into_iter().flatten().flatten() {
            if entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|modified| modified < limit) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A file that goes with the value, unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a directory and those above it, each with its name synced.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(above) = path.parent() else { return Ok(()) };
    make_directory(above)?;
    match fs::create_dir(path) {
        // Another writer was faster; if it is a file, the next call says so.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    sync_directory(above)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Objects in memory. It never fails and never waits: a future of it is ready when it is first polled.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    objects: Mutex<BTreeMap<String, (Bytes, SystemTime)>>,
}

impl MemoryObjects {
    const URL: &str = "memory:";

    pub fn new() -> MemoryObjects {
        MemoryObjects::default()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, (Bytes, SystemTime)>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects for MemoryObjects {
    fn url(&self) -> &str {
        Self::URL
    }

    fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(async move {
            check_name(name, Self::URL)?;
            self.locked().insert(name.to_owned(), (bytes, SystemTime::now()));
            Ok(())
        })
    }

    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created, ObjectError>> {
        Box::pin(async move {
            check_name(name, Self::URL)?;
            match self.locked().entry(name.to_owned()) {
                btree_map::Entry::Occupied(_) => Ok(Created::Exists),
                btree_map::Entry::Vacant(place) => {
                    place.insert((bytes, SystemTime::now()));
                    Ok(Created::New)
                }
            }
        })
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectError>> {
        Box::pin(async move {
            check_name(name, Self::URL)?;
            Ok(self.locked().get(name).map(|(bytes, _)| bytes.clone()))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, ObjectError>> {
        Box::pin(async move {
            check_prefix(prefix, Self::URL)?;
            let objects = self.locked();
            let found = objects.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
            let entry = |(name, (bytes, modified)): (&String, &(Bytes, SystemTime))| Entry {
                name: name.clone(),
                bytes: bytes.len() as u64,
                modified: *modified,
            };
            Ok(found.map(entry).collect())
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(async move {
            check_name(name, Self::URL)?;
            self.locked().remove(name);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> (tempfile::TempDir, Arc<dyn Objects>) {
        let directory = tempfile::tempdir().unwrap();
        let objects = open_objects(&format!("file://{}", directory.path().join("store").display())).unwrap();
        (directory, objects)
    }

    /// One of each kind, and what keeps them alive.
    fn stores() -> (tempfile::TempDir, Vec<Arc<dyn Objects>>) {
        let (directory, local) = local();
        (directory, vec![local, Arc::new(MemoryObjects::new())])
    }

    async fn names(objects: &dyn Objects, prefix: &str) -> Vec<String> {
        objects.list(prefix).await.unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[tokio::test]
    async fn an_object_comes_back_as_it_was() {
        let (_directory, stores) = stores();
        for objects in stores {
            assert_eq!(objects.get("job/log/1").await.unwrap(), None);
            objects.delete("job/log/1").await.unwrap();
            objects.put("job/log/1", "one".into()).await.unwrap();
            assert_eq!(objects.get("job/log/1").await.unwrap().unwrap(), "one");
            objects.put("job/log/1", "another".into()).await.unwrap();
            assert_eq!(objects.get("job/log/1").await.unwrap().unwrap(), "another");

            assert_eq!(objects.create("job/log/1", "third".into()).await.unwrap(), Created::Exists);
            assert_eq!(objects.get("job/log/1").await.unwrap().unwrap(), "another");
            assert_eq!(objects.create("job/log/2", Bytes::new()).await.unwrap(), Created::New);
            assert_eq!(objects.get("job/log/2").await.unwrap().unwrap(), "");

            objects.delete("job/log/1").await.unwrap();
            assert_eq!(names(&*objects, "").await, ["job/log/2"]);
            assert_eq!(objects.create("job/log/1", "fourth".into()).await.unwrap(), Created::New);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
    async fn of_many_creators_one_is_told_that_it_is_new() {
        let (_directory, stores) = stores();
        for objects in stores {
            for round in 0..20 {
                let creators: Vec<_> = (0..16)
                    .map(|creator: u8| {
                        let objects = objects.clone();
                        tokio::spawn(async move {
                            let bytes = Bytes::from(vec![creator; 20_000]);
                            let created = objects.create(&format!("log/{round}"), bytes.clone()).await.unwrap();
                            // Whatever one is told, one finds a whole object.
                            let found = objects.get(&format!("log/{round}")).await.unwrap().unwrap();
                            assert!(found.len() == 20_000 && found.iter().all(|byte| *byte == found[0]));
                            assert!(created == Created::Exists || found == bytes);
                            created
                        })
                    })
                    .collect();
                let mut new = 0;
                for creator in creators {
                    new += usize::from(creator.await.unwrap() == Created::New);
                }
                assert_eq!(new, 1);
            }
        }
    }

    #[tokio::test]
    async fn a_listing_is_by_name_and_goes_down() {
        let (_directory, stores) = stores();
        for objects in stores {
            assert!(names(&*objects, "").await.is_empty());
            assert!(names(&*objects, "job/log/").await.is_empty());
            // '-' and '.' sort before '/', which a walk by directories would get wrong.
            let sorted = ["job-2/log/1", "job/log/1", "job/log/10", "job/log/2", "job/state/a-1.parquet", "job0"];
            for name in sorted.iter().rev() {
                objects.put(name, (*name).into()).await.unwrap();
            }
            assert_eq!(names(&*objects, "").await, sorted);
            assert_eq!(names(&*objects, "job").await, sorted);
            assert_eq!(names(&*objects, "job/").await, sorted[1..5]);
            assert_eq!(names(&*objects, "job/log/1").await, sorted[1..3]);
            assert_eq!(names(&*objects, "job/state/").await, sorted[4..5]);
            assert!(names(&*objects, "nothing/here").await.is_empty());
            let entry = &objects.list("job0").await.unwrap()[0];
            assert_eq!(entry.bytes, 4);
            assert!(entry.modified.elapsed().is_ok_and(|age| age < Duration::from_secs(600)));
        }
    }

    #[tokio::test]
    async fn names_that_lead_elsewhere_are_refused() {
        let (directory, stores) = stores();
        for objects in stores {
            for bad in ["", "/etc/passwd", "../x", "a/../x", "a//b", "a/", ".", "a/.tmp", "a\\b", "a\0b"] {
                assert!(matches!(objects.put(bad, "x".into()).await, Err(ObjectError::Name { .. })), "{bad}");
                assert!(matches!(objects.create(bad, "x".into()).await, Err(ObjectError::Name { .. })), "{bad}");
                assert!(matches!(objects.get(bad).await, Err(ObjectError::Name { .. })), "{bad}");
                let refused = objects.delete(bad).await.unwrap_err();
                assert!(matches!(refused, ObjectError::Name { .. }) && !refused.retryable(), "{bad}");
                assert!(refused.to_string().ends_with(objects.url()), "{refused}");
            }
            for bad in ["/", "../", "a//", "/a"] {
                assert!(matches!(objects.list(bad).await, Err(ObjectError::Name { .. })), "{bad}");
            }
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "the store and nothing beside it");
    }

    #[tokio::test]
    async fn what_a_crash_leaves_is_not_listed_and_goes_in_the_end() {
        let (directory, objects) = local();
        let root = directory.path().join("store");
        let temporary = root.join(TEMPORARY);
        objects.put("a", "x".into()).await.unwrap();
        assert_eq!(objects.create("a", "y".into()).await.unwrap(), Created::Exists);
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "nothing is left by those who live");

        fs::write(temporary.join("young"), "half an obj").unwrap();
        let old = File::create(temporary.join("old")).unwrap();
        old.set_modified(SystemTime::now() - 2 * LEFTOVER_AGE).unwrap();
        assert_eq!(names(&*objects, "").await, ["a"]);
        let again = open_objects(root.to_str().unwrap()).unwrap();
        assert_eq!(names(&*again, "").await, ["a"]);
        assert!(temporary.join("young").exists(), "it may belong to a living writer");
        assert!(!temporary.join("old").exists());
    }

    #[tokio::test]
    async fn errors_name_the_whole_path() {
        let (directory, objects) = local();
        objects.put("file", "x".into()).await.unwrap();
        let error = objects.put("file/below", "y".into()).await.unwrap_err();
        let path = directory.path().join("store/file/below");
        assert!(error.to_string().starts_with(&format!("cannot write \"{}\": ", path.display())), "{error}");
        assert!(!error.retryable());

        let error = open_objects(directory.path().join("store/file").to_str().unwrap()).unwrap_err();
        assert!(error.to_string().contains("store/file/.tmp"), "{error}");
        let error = open_objects("s3://bucket/key").unwrap_err();
        assert!(error.hint().unwrap().contains("local directory"), "{error}");
    }

    #[tokio::test]
    async fn looking_makes_nothing() {
        let (directory, objects) = local();
        objects.put("job/log/1", "one".into()).await.unwrap();
        let root = directory.path().join("store");
        fs::remove_dir(root.join(TEMPORARY)).unwrap();
        let seen = open_objects_that_exist(root.to_str().unwrap()).unwrap();
        assert_eq!(names(&*seen, "").await, ["job/log/1"]);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);

        let missing = directory.path().join("stoer");
        let error = open_objects_that_exist(missing.to_str().unwrap()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot open \"{}\": ", missing.display())), "{error}");
        assert!(!missing.exists());
    }

    #[test]
    fn errors_say_whether_to_ask_again() {
        for (kind, retryable, hint) in [
            (io::ErrorKind::TimedOut, true, false),
            (io::ErrorKind::ConnectionReset, true, false),
            (io::ErrorKind::PermissionDenied, false, true),
            (io::ErrorKind::StorageFull, false, true),
            (io::ErrorKind::Other, false, false),
        ] {
            let error = ObjectError::Io { action: "read", path: "x".into(), source: kind.into() };
            assert_eq!((error.retryable(), error.hint().is_some()), (retryable, hint), "{error}");
            assert_eq!(error.is_full(), kind == io::ErrorKind::StorageFull);
        }
    }
}
