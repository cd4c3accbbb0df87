//! The toolchain bundle: what a pipeline is linked with.
//!
//! ```text
//!  <bundle>/bundle.json    who made it, with what, and every file by digest
//!  <bundle>/lib/           the rlibs of the worker library, the kernels, the connectors and all that they need;
//!                          and the procedural macros that their metadata names, which are looked at, never run
//! ```
//!
//! The libraries come from the cargo build that made this program, so nobody compiles them twice, and a bundle can
//! be written anywhere ([`Bundle::export`]), for machines that have no source tree. It is read only by the compiler
//! that wrote its libraries; [`Bundle::require_compiler`] says so before the compiler does.
//!
//! Nothing here hashes libraries when a pipeline is built: a bundle is hashed when it is sealed and when it is
//! exported, and opening one looks at names and sizes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use artifacts::{Digest, DigestWriter};
use serde::{Deserialize, Serialize};

use crate::seal;

/// An opened bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    directory: PathBuf,
    spec: BundleSpec,
    /// Known to be of the bundle's version; not looked for again.
    trusted_compiler: Option<PathBuf>,
}

/// `bundle.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BundleSpec {
    /// Of everything below: it names the bundle, and every action that uses it.
    pub digest: Digest,
    /// What `rustc -vV` prints.
    pub rustc: Vec<String>,
    pub target: String,
    /// Flags that the libraries were compiled with and that pipelines must share: `-C`, `target-cpu=...`.
    pub flags: Vec<String>,
    /// The crates that generated code may name, and their files in `lib/`.
    pub crates: BTreeMap<String, String>,
    /// Everything in `lib/`, by name.
    pub files: Vec<BundleFile>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BundleFile {
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub sha256: Digest,
}

#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("there is no toolchain bundle in \"{0}\"")]
    Missing(PathBuf),
    #[error("the toolchain bundle in \"{directory}\" is damaged: {reason}")]
    Damaged { directory: PathBuf, reason: String },
    #[error("no toolchain bundle found: neither beside the program nor a cargo build that made it ({0})")]
    NotFound(String),
    #[error("the source tree has changed since this program was built: {0}")]
    Stale(String),
    #[error("cannot make a toolchain bundle from the cargo build in \"{directory}\": {reason}")]
    Cargo { directory: PathBuf, reason: String },
    #[error("cannot {action} \"{path}\": {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("no Rust compiler found: cannot run \"{0}\"")]
    NoCompiler(PathBuf),
    #[error("the toolchain bundle needs {needed}, but \"{compiler}\" is {found}")]
    OtherCompiler { needed: String, found: String, compiler: PathBuf },
}

impl BundleError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BundleError {
        let path = path.to_owned();
        move |source| BundleError::Io { action, path, source }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            BundleError::Missing(_) => {
                "set compiler.bundle to a directory that `streamwright bundle` has written".to_owned()
            }
            BundleError::Damaged { .. } => "write the bundle again with `streamwright bundle DIR`".to_owned(),
            BundleError::NotFound(_) => {
                "run the program where cargo has built it, or set compiler.bundle to a directory that `streamwright \
                 bundle DIR` has written there"
                    .to_owned()
            }
            BundleError::Stale(_) => "build it again: cargo build --release -p cli".to_owned(),
            BundleError::NoCompiler(_) => "install Rust from https://rustup.rs, or set compiler.rustc to the path of \
                                           a rustc"
                .to_owned(),
            BundleError::OtherCompiler { needed, .. } => {
                let version = needed.split_whitespace().nth(1).unwrap_or("that version");
                format!(
                    "install that version (rustup toolchain install {version}) and set compiler.rustc to its rustc, \
                     or build streamwright again with the compiler that is installed"
                )
            }
            BundleError::Cargo { .. } => "build it again: cargo build --release -p cli; or set compiler.bundle to a \
                                          directory that `streamwright bundle` has written"
                .to_owned(),
            BundleError::Io { .. } => return None,
        })
    }
}

impl Bundle {
    /// Finds the bundle of this program: the configured directory if there is one; else beside the executable
    /// (`toolchain`, `../lib/streamwright/toolchain`); else the libraries of the cargo build that made it, sealed
    /// now or earlier (0.5 to 1 s the first time after a build, then about a millisecond).
    ///
    /// # Errors
    /// No bundle, or one that cannot be used.
    pub fn find(configured: Option<&Path>) -> Result<Bundle, BundleError> {
        if let Some(directory) = configured {
            return Bundle::open(directory);
        }
        let exe = std::env::current_exe().map_err(BundleError::io("find", Path::new("/proc/self/exe")))?;
        let beside = exe.parent().unwrap_or(Path::new("/"));
        for directory in [beside.join("toolchain"), beside.join("../lib/streamwright/toolchain")] {
            if directory.join("bundle.json").is_file() {
                return Bundle::open(&directory);
            }
        }
        seal::bundle_of(&exe)
    }

    /// Opens a bundle and checks that it is whole: its description is what its digest says, and its files have the
    /// sizes that it says.
    ///
    /// # Errors
    /// No bundle there, or a damaged one.
    pub fn open(directory: &Path) -> Result<Bundle, BundleError> {
        let path = directory.join("bundle.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BundleError::Missing(directory.to_owned()));
            }
            Err(error) => return Err(BundleError::io("read", &path)(error)),
        };
        let damaged = |reason: String| BundleError::Damaged { directory: directory.to_owned(), reason };
        let spec: BundleSpec = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if spec.digest != spec.compute_digest() {
            return Err(damaged("bundle.json has been changed".to_owned()));
        }
        let directory = std::path::absolute(directory).map_err(BundleError::io("open", directory))?;
        for file in &spec.files {
            match fs::metadata(directory.join("lib").join(&file.name)) {
                Ok(meta) if meta.len() == file.size => {}
                Ok(meta) => return Err(damaged(format!("{} has {} bytes, not {}", file.name, meta.len(), file.size))),
                Err(error) => return Err(damaged(format!("{}: {error}", file.name))),
            }
        }
        Ok(Bundle { directory, spec, trusted_compiler: None })
    }

    pub(crate) fn trusting(mut self, compiler: PathBuf) -> Bundle {
        self.trusted_compiler = Some(compiler);
        self
    }

    /// Writes a copy that needs no source tree and no cargo, and verifies every byte of it.
    ///
    /// # Errors
    /// When it cannot be written, or a library is not what the bundle says.
    pub fn export(&self, to: &Path) -> Result<Bundle, BundleError> {
        let lib = to.join("lib");
        fs::create_dir_all(&lib).map_err(BundleError::io("create directory", &lib))?;
        for file in &self.spec.files {
            let (from, target) = (self.directory.join("lib").join(&file.name), lib.join(&file.name));
            // Never through an existing file: it may be a hard link to a library that cargo uses.
            let _ = fs::remove_file(&target);
            fs::copy(&from, &target).map_err(BundleError::io("write", &target))?;
        }
        write_atomically(&to.join("bundle.json"), &self.spec.to_json())?;
        let copy = Bundle::open(to)?;
        copy.verify()?;
        Ok(copy)
    }

    /// Hashes every file. Takes as long as reading some hundred megabytes does.
    ///
    /// # Errors
    /// The first file that is not what the bundle says.
    pub fn verify(&self) -> Result<(), BundleError> {
        let paths: Vec<_> = self.spec.files.iter().map(|file| self.directory.join("lib").join(&file.name)).collect();
        let found = hash_files(&paths)?;
        match self.spec.files.iter().zip(&found).find(|(file, (_, sha256))| file.sha256 != *sha256) {
            Some((file, _)) => Err(BundleError::Damaged {
                directory: self.directory.clone(),
                reason: format!("{} is not the file that was sealed", file.name),
            }),
            None => Ok(()),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn spec(&self) -> &BundleSpec {
        &self.spec
    }

    pub fn digest(&self) -> Digest {
        self.spec.digest
    }

    /// `rustc 1.95.0 (59807616e 2026-04-14)`
    pub fn rustc(&self) -> &str {
        self.spec.rustc.first().map_or("rustc", String::as_str)
    }

    /// The compiler to use: the given one, else the one that made the bundle if it is still there, else `rustc`.
    ///
    /// # Errors
    /// There is none, or it is of another version than the bundle's.
    pub fn require_compiler(&self, configured: Option<&Path>) -> Result<PathBuf, BundleError> {
        if configured.is_none()
            && let Some(compiler) = &self.trusted_compiler
        {
            return Ok(compiler.clone());
        }
        let compiler = configured.map_or_else(|| PathBuf::from("rustc"), Path::to_owned);
        let found = rustc_version(&compiler)?;
        if found != self.spec.rustc {
            return Err(self.other_compiler(&compiler, found.first().map_or("unknown", String::as_str)));
        }
        Ok(compiler)
    }

    pub(crate) fn other_compiler(&self, compiler: &Path, found: &str) -> BundleError {
        BundleError::OtherCompiler {
            needed: format!("{} for {}", self.rustc(), self.spec.target),
            found: found.to_owned(),
            compiler: compiler.to_owned(),
        }
    }
}

impl BundleSpec {
    /// Describes files that lie in one directory, and computes the digest.
    pub(crate) fn describe(
        rustc: Vec<String>,
        target: String,
        flags: Vec<String>,
        crates: BTreeMap<String, String>,
        paths: &[PathBuf],
    ) -> Result<BundleSpec, BundleError> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hashed = hash_files(paths)?;
        let mut files: Vec<_> = std::iter::zip(paths, hashed)
            .map(|(path, (size, sha256))| BundleFile { name: name(path), size, sha256 })
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut spec = BundleSpec { digest: Digest::of(""), rustc, target, flags, crates, files };
        spec.digest = spec.compute_digest();
        Ok(spec)
    }

    fn compute_digest(&self) -> Digest {
        let mut digest = DigestWriter::default();
        let mut list = |items: &mut dyn Iterator<Item = String>| {
            let items: Vec<_> = items.collect();
            digest.part(items.len().to_string());
            items.iter().for_each(|item| digest.part(item));
        };
        list(&mut self.rustc.iter().cloned());
        list(&mut std::iter::once(self.target.clone()));
        list(&mut self.flags.iter().cloned());
        list(&mut self.crates.iter().map(|(name, file)| format!("{name}={file}")));
        list(&mut self.files.iter().map(|file| format!("{} {} {}", file.sha256, file.size, file.name)));
        digest.finish()
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("a bundle has string keys and no floats");
        text.push(b'\n');
        text
    }
}

/// What `rustc -vV` prints, by lines.
pub(crate) fn rustc_version(compiler: &Path) -> Result<Vec<String>, BundleError> {
    let no_compiler = || BundleError::NoCompiler(compiler.to_owned());
    let output = Command::new(compiler).arg("-vV").output().map_err(|_| no_compiler())?;
    if !output.status.success() {
        return Err(no_compiler());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().lines().map(str::to_owned).collect())
}

/// Sizes and digests, in order. Libraries are large, so all cores help.
fn hash_files(paths: &[PathBuf]) -> Result<Vec<(u64, Digest)>, BundleError> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(8);
    let hash = |path: &PathBuf| {
        let size = fs::metadata(path).map_err(BundleError::io("read", path))?.len();
        Ok((size, Digest::of_file(path).map_err(BundleError::io("read", path))?))
    };
    // Every n-th file to the same thread: libraries that are built one after another are of similar size.
    let by_thread: Vec<Result<Vec<(u64, Digest)>, BundleError>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || paths.iter().skip(first).step_by(threads).map(hash).collect()))
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("hashing does not panic")).collect()
    });
    let by_thread = by_thread.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok((0..paths.len()).map(|i| by_thread[i % threads][i / threads]).collect())
}

/// Replaces a file so that a reader sees the old or the new one, never a part.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(BundleError::io("write", path))?;
    io::Write::write_all(&mut file, bytes).map_err(BundleError::io("write", path))?;
    file.persist(path).map_err(|error| BundleError::io("write", path)(error.error))?;
    Ok(())
}

/// Identity of a file without reading it: its size and time of change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileIdentity {
    path: PathBuf,
    size: u64,
    modified_nanos: u64,
}

impl FileIdentity {
    pub(crate) fn of(path: &Path) -> io::Result<FileIdentity> {
        let meta = fs::metadata(path)?;
        let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(FileIdentity { path: path.to_owned(), size: meta.len(), modified_nanos: modified.as_nanos() as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(directory: &Path, rustc: &str) -> Bundle {
        let lib = directory.join("lib");
        fs::create_dir_all(&lib).unwrap();
        let paths: Vec<_> = ["liba.rlib", "libb.rlib", "libc.rlib"].map(|name| lib.join(name)).into();
        for path in &paths {
            fs::write(path, format!("library {}", path.file_name().unwrap().display())).unwrap();
        }
        let crates = [("worker_lib".to_owned(), "liba.rlib".to_owned())].into();
        let spec = BundleSpec::describe(
            vec![rustc.to_owned()],
            "x86_64-unknown-linux-gnu".to_owned(),
            vec!["-C".to_owned(), "target-cpu=x86-64-v3".to_owned()],
            crates,
            &paths,
        );
        write_atomically(&directory.join("bundle.json"), &spec.unwrap().to_json()).unwrap();
        Bundle::open(directory).unwrap()
    }

    #[test]
    fn files_are_described_each_by_its_own_digest() {
        let directory = tempfile::tempdir().unwrap();
        for file in &bundle(directory.path(), "rustc 1.95.0").spec.files {
            assert_eq!(file.sha256, Digest::of(format!("library {}", file.name)));
        }
    }

    #[test]
    fn an_exported_bundle_is_the_same_bundle() {
        let directory = tempfile::tempdir().unwrap();
        let first = bundle(&directory.path().join("a"), "rustc 1.95.0");
        let copy = first.export(&directory.path().join("b")).unwrap();
        assert_eq!(copy.digest(), first.digest());
        assert_ne!(copy.directory(), first.directory());
        copy.verify().unwrap();
        // And again over itself.
        first.export(&directory.path().join("b")).unwrap();
    }

    #[test]
    fn damage_is_found_when_it_is_opened_or_verified() {
        let directory = tempfile::tempdir().unwrap();
        let whole = bundle(directory.path(), "rustc 1.95.0");
        let file = directory.path().join("lib/libb.rlib");
        fs::write(&file, "library libB.rlib").unwrap();
        let error = Bundle::open(directory.path()).unwrap().verify().unwrap_err();
        assert!(error.to_string().contains("libb.rlib"), "{error}");
        fs::write(&file, "short").unwrap();
        assert!(matches!(Bundle::open(directory.path()), Err(BundleError::Damaged { .. })));
        fs::remove_file(&file).unwrap();
        assert!(matches!(Bundle::open(directory.path()), Err(BundleError::Damaged { .. })));

        let text = String::from_utf8(whole.spec.to_json()).unwrap().replace("x86-64-v3", "x86-64-v4");
        fs::write(directory.path().join("bundle.json"), text).unwrap();
        let error = Bundle::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains("has been changed"), "{error}");
        assert!(matches!(Bundle::open(&directory.path().join("x")), Err(BundleError::Missing(_))));
    }

    #[test]
    fn another_compiler_is_refused_with_a_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let bundle = bundle(directory.path(), "rustc 1.0.0 (a59de37e9 2015-05-13)");
        let error = bundle.require_compiler(None).unwrap_err();
        assert!(matches!(error, BundleError::OtherCompiler { .. }), "{error}");
        assert!(error.hint().unwrap().contains("rustup toolchain install 1.0.0"), "{error}");
        let error = bundle.require_compiler(Some(Path::new("/no/such/rustc"))).unwrap_err();
        assert_eq!(error.to_string(), "no Rust compiler found: cannot run \"/no/such/rustc\"");
        assert!(error.hint().unwrap().contains("rustup.rs"));
    }
}
