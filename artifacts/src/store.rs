//! The store itself, in a local directory. The layout and its invariants are the crate's documentation.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::{Digest, DigestWriter, copy};
use crate::manifest::{Blob, Manifest, PipelineManifest};
use crate::url::{StorageUrl, UrlError};

/// An open store. Any number of processes may have the same one open.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    url: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("cannot {action} \"{path}\": {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("artifact {digest} is not in {store}")]
    Missing { digest: Digest, store: String },
    #[error("artifact {expected} in {store} is damaged: its bytes have the digest {found}")]
    Corrupt { expected: Digest, found: Digest, store: String },
    #[error("artifact {digest} in {store} is not a pipeline manifest: {reason}")]
    NotAPipeline { digest: Digest, store: String, reason: String },
}

impl StoreError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            StoreError::Url(error) => Some(error.hint().to_owned()),
            StoreError::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::ReadOnlyFilesystem => Some("set compiler.artifact-url to a writable directory".into()),
                io::ErrorKind::StorageFull => {
                    Some("free some space, or set compiler.artifact-url to another disk".into())
                }
                _ => None,
            },
            StoreError::Missing { .. } => Some(
                "build the pipeline again, or set compiler.artifact-url to the store that it was built into".into(),
            ),
            StoreError::Corrupt { .. } => {
                Some("it has been moved to quarantine/; build the pipeline again, and check the disk".into())
            }
            StoreError::NotAPipeline { .. } => Some("give the pipeline digest that `streamwright build` prints".into()),
        }
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { action, path, source }
    }
}

impl Store {
    /// Opens the store at a storage URL, and makes its directory if it is not there.
    ///
    /// # Errors
    /// A URL that cannot be used, or a directory that cannot be made.
    pub fn open(url: &str) -> Result<Store, StoreError> {
        let StorageUrl::Local(path) = StorageUrl::parse(url)?;
        let store_url = StorageUrl::Local(path.clone()).to_string();
        // Absolute from here on: a later change of the working directory must not move the store.
        let root = std::path::absolute(&path).map_err(StoreError::io("open", &path))?;
        for directory in ["cas/sha256", "ac", "tmp"] {
            let path = root.join(directory);
            fs::create_dir_all(&path).map_err(StoreError::io("create directory", &path))?;
        }
        Ok(Store { root, url: store_url })
    }

    /// The URL, as messages show it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the blob is, or would be. Reading it there skips verification: [`Self::fetch`] and [`Self::read`] do not.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join("cas/sha256").join(&name[..2]).join(&name)
    }

    /// Where the manifest of an action is, or would be.
    pub fn manifest_path(&self, action_key: &Digest) -> PathBuf {
        self.root.join("ac").join(action_key.to_string())
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Blob, StoreError> {
        self.put(&mut &bytes[..], Path::new("bytes"))
    }

    /// Stores a copy of a file.
    ///
    /// # Errors
    /// When it cannot be read, or the copy not written.
    pub fn put_file(&self, path: &Path) -> Result<Blob, StoreError> {
        self.put(&mut File::open(path).map_err(StoreError::io("read", path))?, path)
    }

    fn put(&self, from: &mut dyn Read, origin: &Path) -> Result<Blob, StoreError> {
        let mut temporary = self.temporary()?;
        let mut digest = DigestWriter::default();
        let mut both = Tee(&mut temporary.file, &mut digest);
        let size = copy(from, &mut both).map_err(|source| StoreError::Io {
            action: "store",
            path: if source.kind() == io::ErrorKind::StorageFull { temporary.path.clone() } else { origin.to_owned() },
            source,
        })?;
        let blob = Blob { digest: digest.finish(), size };
        let path = self.blob_path(&blob.digest);
        // What is there already is checked, not trusted: otherwise a damaged blob would outlive its rebuild.
        match Digest::of_file(&path) {
            Ok(found) if found == blob.digest => return Ok(blob),
            Ok(_) => self.quarantine(&blob.digest)?,
            Err(_) => {}
        }
        temporary.publish(&path)?;
        Ok(blob)
    }

    /// Whether there is a blob of that name and size. Its bytes are not looked at; whoever reads them verifies them.
    pub fn has(&self, blob: &Blob) -> bool {
        fs::metadata(self.blob_path(&blob.digest)).is_ok_and(|meta| meta.is_file() && meta.len() == blob.size)
    }

    /// Writes a verified copy of a blob to `to`, replacing what is there, or fails and leaves what is there. The copy
    /// is a file of its own: making it executable or changing it does not touch the store.
    ///
    /// # Errors
    /// A blob that is missing or damaged (then it is quarantined, so that it can be made again), or a copy that
    /// cannot be written.
    pub fn fetch(&self, digest: &Digest, to: &Path) -> Result<(), StoreError> {
        let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut temporary = Temporary::create(directory)?;
        self.read_into(digest, &mut temporary.file)?;
        temporary.rename(to)
    }

    /// A blob's verified bytes.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.read_into(digest, &mut bytes)?;
        Ok(bytes)
    }

    fn read_into(&self, digest: &Digest, to: &mut dyn Write) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        let mut file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { digest: *digest, store: self.url.clone() },
            _ => StoreError::Io { action: "read", path: path.clone(), source },
        })?;
        let mut found = DigestWriter::default();
        copy(&mut file, &mut Tee(to, &mut found)).map_err(StoreError::io("copy", &path))?;
        let found = found.finish();
        if found != *digest {
            self.quarantine(digest)?;
            return Err(StoreError::Corrupt { expected: *digest, found, store: self.url.clone() });
        }
        Ok(())
    }

    /// Takes a damaged blob out of the way of its rebuild.
    fn quarantine(&self, digest: &Digest) -> Result<(), StoreError> {
        let directory = self.root.join("quarantine");
        fs::create_dir_all(&directory).map_err(StoreError::io("create directory", &directory))?;
        let path = self.blob_path(digest);
        match fs::rename(&path, directory.join(format!("{digest}.{}", uuid::Uuid::new_v4().simple()))) {
            // Another reader has been faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(StoreError::io("quarantine", &path)),
        }
    }

    /// The manifest of an action, if it has been built and its outputs are there.
    ///
    /// # Errors
    /// When the manifest is there and cannot be read.
    pub fn manifest(&self, action_key: &Digest) -> Result<Option<Manifest>, StoreError> {
        let path = self.manifest_path(action_key);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        // One that does not parse, names another action or names blobs that are gone is as good as none.
        let manifest = parse::<Manifest>(&text).ok();
        Ok(manifest
            .filter(|found| found.action_key == *action_key && found.outputs.values().all(|blob| self.has(blob))))
    }

    /// Stores a manifest under its action key. Its outputs must be in the store.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let mut temporary = self.temporary()?;
        let path = self.manifest_path(&manifest.action_key);
        temporary.file.write_all(&pretty(manifest)).map_err(StoreError::io("write", &path))?;
        temporary.publish(&path)
    }

    /// Stores a pipeline manifest as a blob.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_pipeline(&self, pipeline: &PipelineManifest) -> Result<Blob, StoreError> {
        self.put_bytes(&pretty(pipeline))
    }

    /// Reads a pipeline manifest by the digest that [`Self::put_pipeline`] gave.
    ///
    /// # Errors
    /// A blob that is missing, damaged, or something else.
    pub fn pipeline(&self, digest: &Digest) -> Result<PipelineManifest, StoreError> {
        parse(&self.read(digest)?).map_err(|error: serde_json::Error| StoreError::NotAPipeline {
            digest: *digest,
            store: self.url.clone(),
            reason: error.to_string(),
        })
    }

    /// Removes what processes that died have left, and quarantined blobs, when older than `age`. Best effort: what
    /// cannot be removed stays.
    pub fn clean(&self, age: Duration) {
        let Some(limit) = SystemTime::now().checked_sub(age) else { return };
        for directory in ["tmp", "quarantine"] {
            for entry in fs::read_dir(self.root.join(directory)).into_iter().flatten().flatten() {
                if entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|modified| modified < limit) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }

    fn temporary(&self) -> Result<Temporary, StoreError> {
        Temporary::create(&self.root.join("tmp"))
    }
}

fn pretty(document: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(document).expect("manifests have string keys and finite numbers");
    text.push(b'\n');
    text
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(text)
}

/// Writes to both.
struct Tee<'a>(&'a mut dyn Write, &'a mut dyn Write);

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A file that is removed unless it reaches its place.
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn create(directory: &Path) -> Result<Temporary, StoreError> {
        let path = directory.join(format!(".tmp-{}", uuid::Uuid::new_v4().simple()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        Ok(Temporary { file: file.map_err(StoreError::io("create", &path))?, path })
    }

    /// To its place in the store, durably and read-only.
    fn publish(self, to: &Path) -> Result<(), StoreError> {
        let directory = to.parent().expect("blobs and manifests have a directory");
        fs::create_dir_all(directory).map_err(StoreError::io("create directory", directory))?;
        let sealed = self.file.metadata().and_then(|meta| {
            let mut permissions = meta.permissions();
            permissions.set_readonly(true);
            self.file.set_permissions(permissions)?;
            self.file.sync_all()
        });
        sealed.map_err(StoreError::io("write", to))?;
        self.rename(to)?;
        // The name is durable only when its directory is.
        File::open(directory).and_then(|dir| dir.sync_all()).map_err(StoreError::io("write", directory))
    }

    fn rename(self, to: &Path) -> Result<(), StoreError> {
        fs::rename(&self.path, to).map_err(StoreError::io("write", to))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing of that name.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("file://{}", directory.path().join("store").display())).unwrap();
        (directory, store)
    }

    /// Damages a blob behind the store's back.
    fn damage(store: &Store, blob: &Blob, bytes: &[u8]) {
        let path = store.blob_path(&blob.digest);
        fs::remove_file(&path).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn files(directory: &Path) -> Vec<PathBuf> {
        fs::read_dir(directory).map(|entries| entries.map(|e| e.unwrap().path()).collect()).unwrap_or_default()
    }

    fn manifest(blob: Blob) -> Manifest {
        Manifest {
            action_key: Digest::of("key"),
            outputs: [(Manifest::PIPELINE.to_owned(), blob)].into(),
            code: Digest::of("code"),
            bundle: Digest::of("bundle"),
            target: "x86_64-unknown-linux-gnu".into(),
            flags: vec!["-C".into(), "opt-level=3".into()],
            rustc: "rustc 1.95.0".into(),
            phases: vec![Phase { name: "rustc".into(), millis: 812.5 }],
            created_at: "2026-01-01T00:00:00Z".into(),
        }
    }

    use crate::manifest::Phase;

    #[test]
    fn a_blob_comes_back_as_it_was() {
        let (directory, store) = store();
        let source = directory.path().join("source");
        fs::write(&source, vec![7; 1_000_000]).unwrap();
        let blob = store.put_file(&source).unwrap();
        assert_eq!(blob, store.put_bytes(&vec![7; 1_000_000]).unwrap());
        assert_eq!(blob.size, 1_000_000);
        assert!(store.blob_path(&blob.digest).ends_with(format!(
            "sha256/{}/{}",
            &blob.digest.to_string()[..2],
            blob.digest
        )));
        let target = directory.path().join("target");
        fs::write(&target, "what was there").unwrap();
        store.fetch(&blob.digest, &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), fs::read(&source).unwrap());
        // The copy is a file of its own.
        fs::write(&target, "changed").unwrap();
        assert_eq!(store.read(&blob.digest).unwrap().len(), 1_000_000);
        assert!(files(&store.root.join("tmp")).is_empty());
    }

    #[test]
    fn a_damaged_blob_is_never_handed_out_and_can_be_stored_again() {
        let (directory, store) = store();
        let blob = store.put_bytes(b"good").unwrap();
        for bad in [&b"evil"[..], b"goo", b"good and more", b""] {
            damage(&store, &blob, bad);
            let target = directory.path().join("target");
            let error = store.fetch(&blob.digest, &target).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(&blob.digest.to_string()));
            assert!(error.hint().unwrap().contains("build the pipeline again"));
            assert!(!target.exists(), "no unverified byte may stay");
            assert_eq!(files(directory.path()).len(), 1, "nor a temporary file");
            assert!(!store.has(&blob));
            assert_eq!(store.put_bytes(b"good").unwrap(), blob);
            assert_eq!(store.read(&blob.digest).unwrap(), b"good");
        }
        assert_eq!(files(&store.root.join("quarantine")).len(), 4);
    }

    #[test]
    fn storing_again_mends_a_damaged_blob_that_nobody_has_read() {
        let (_directory, store) = store();
        let blob = store.put_bytes(b"good").unwrap();
        damage(&store, &blob, b"evil");
        store.put_bytes(b"good").unwrap();
        assert_eq!(store.read(&blob.digest).unwrap(), b"good");
    }

    #[test]
    fn a_missing_blob_says_which() {
        let (directory, store) = store();
        let digest = Digest::of("never stored");
        let error = store.fetch(&digest, &directory.path().join("target")).unwrap_err();
        assert!(matches!(&error, StoreError::Missing { digest: missing, .. } if *missing == digest));
        assert!(error.to_string().contains(store.url()));
    }

    #[test]
    fn many_writers_of_the_same_leave_one_good_blob() {
        let (_directory, store) = store();
        let bytes = vec![42; 3_000_000];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let blob = store.put_bytes(&bytes).unwrap();
                        assert_eq!(store.read(&blob.digest).unwrap(), bytes);
                        store.put_manifest(&manifest(blob)).unwrap();
                        assert!(store.manifest(&Digest::of("key")).unwrap().is_some());
                    }
                });
            }
        });
        assert!(files(&store.root.join("tmp")).is_empty());
        assert!(files(&store.root.join("quarantine")).is_empty());
    }

    #[test]
    fn what_a_crash_leaves_is_ignored_and_cleaned() {
        let (_directory, store) = store();
        // A writer died: half a blob in tmp/, nothing under its name.
        fs::write(store.root.join("tmp/.tmp-dead"), b"goo").unwrap();
        let again = Store::open(store.root.to_str().unwrap()).unwrap();
        assert!(matches!(again.read(&Digest::of("good")), Err(StoreError::Missing { .. })));
        again.clean(Duration::from_secs(3600));
        assert_eq!(files(&store.root.join("tmp")).len(), 1, "it may belong to a living writer");
        std::thread::sleep(Duration::from_millis(20));
        again.clean(Duration::ZERO);
        assert!(files(&store.root.join("tmp")).is_empty());
    }

    #[test]
    fn a_manifest_counts_only_while_its_outputs_are_there() {
        let (_directory, store) = store();
        let blob = store.put_bytes(b"binary").unwrap();
        let manifest = manifest(blob);
        assert_eq!(store.manifest(&manifest.action_key).unwrap(), None);
        store.put_manifest(&manifest).unwrap();
        assert_eq!(store.manifest(&manifest.action_key).unwrap(), Some(manifest.clone()));

        damage(&store, &blob, b"bin");
        assert_eq!(store.manifest(&manifest.action_key).unwrap(), None, "a blob of another size");
        store.put_bytes(b"binary").unwrap();
        assert!(store.manifest(&manifest.action_key).unwrap().is_some());

        let path = store.manifest_path(&manifest.action_key);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"{ half a").unwrap();
        assert_eq!(store.manifest(&manifest.action_key).unwrap(), None, "and half a manifest is none");
        store.put_manifest(&manifest).unwrap();
        assert!(store.manifest(&manifest.action_key).unwrap().is_some());
    }

    #[test]
    fn the_same_pipeline_has_the_same_digest() {
        let (_directory, store) = store();
        let binary = store.put_bytes(b"binary").unwrap();
        let mut pipeline = PipelineManifest {
            action_key: Digest::of("key"),
            binary,
            code: Digest::of("code"),
            target: "x86_64-unknown-linux-gnu".into(),
            plan: serde_json::json!({"path": "/a"}),
        };
        let first = store.put_pipeline(&pipeline).unwrap();
        assert_eq!(store.put_pipeline(&pipeline).unwrap(), first);
        assert_eq!(store.pipeline(&first.digest).unwrap(), pipeline);
        pipeline.plan = serde_json::json!({"path": "/b"});
        assert_ne!(store.put_pipeline(&pipeline).unwrap(), first);
        assert!(matches!(store.pipeline(&binary.digest), Err(StoreError::NotAPipeline { .. })));
    }

    #[test]
    fn a_store_that_cannot_be_made_says_where() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Store::open(file.join("store").to_str().unwrap()).unwrap_err();
        assert!(error.to_string().contains("file/store/cas"), "{error}");
    }
}
