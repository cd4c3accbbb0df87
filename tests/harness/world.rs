//! What all cases share: the toolchain bundle, the store of binaries, a runtime.
//!
//! ```text
//!  target/release/sql-cases/<bundle>/         what was built with a bundle: store/, bin/, build/
//!  target/release/sql-cases/<bundle>.lock     held, shared, by every run that uses it
//! ```
//!
//! Another bundle finds nothing of what was built with this one, so the first run with it removes that, unless another run
//! still uses it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use artifacts::Store;
use compiler_driver::Compiled;
use compiler_service::{BuildOptions, Bundle, build};
use tokio::runtime::Runtime;

use super::program;

pub(crate) struct World {
    options: BuildOptions,
    store: Store,
    /// Verified copies of the binaries, by digest: a blob is not executable where it lies.
    binaries: PathBuf,
    pub(crate) runtime: Runtime,
    /// As long as it is open, nobody removes what we use.
    _in_use: File,
}

impl World {
    /// The one world; what was wrong when it was made is wrong for every case.
    pub(crate) fn get() -> Result<&'static World, String> {
        static WORLD: OnceLock<Result<World, String>> = OnceLock::new();
        WORLD.get_or_init(World::make).as_ref().map_err(Clone::clone)
    }

    fn make() -> Result<World, String> {
        program::build()?;
        let bundle = Bundle::find(None).map_err(|error| {
            let hint = error.hint().unwrap_or_default();
            format!("{error}\n{hint}\nthe cases are built with the libraries of the program")
        })?;
        let all = program::cache_directory("sql-cases")?;
        let cache = all.join(bundle.digest().to_string());
        let in_use = take_over(&all, &cache).map_err(|error| format!("{}: {error}", all.display()))?;
        let (url, binaries) = (cache.join("store"), cache.join("bin"));
        for directory in [&url, &binaries] {
            fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        let store = Store::open(&url.to_string_lossy()).map_err(|error| error.to_string())?;
        let options = BuildOptions::new(bundle, store.clone(), cache.join("build"));
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        Ok(World { options, store, binaries, runtime, _in_use: in_use })
    }

    /// The executable of a compiled query.
    pub(crate) fn build(&self, compiled: &Compiled) -> Result<PathBuf, String> {
        let built = self.runtime.block_on(build(compiled, &self.options)).map_err(|error| format!("build: {error}"))?;
        let path = self.binaries.join(built.binary.digest.to_string());
        if !path.exists() {
            let partial = self.binaries.join(format!("{}.{}", built.binary.digest, std::process::id()));
            self.store.fetch(&built.binary.digest, &partial).map_err(|error| error.to_string())?;
            make_executable(&partial)?;
            fs::rename(&partial, &path).map_err(|error| error.to_string())?;
        }
        Ok(path)
    }
}

/// Locks our directory among all that there are, and removes those that nobody uses.
fn take_over(all: &Path, ours: &Path) -> io::Result<File> {
    fs::create_dir_all(all)?;
    let in_use = lock_of(ours)?;
    in_use.lock_shared()?;
    for other in fs::read_dir(all)?.filter_map(|entry| Some(entry.ok()?.path())) {
        if other != ours && other.is_dir() {
            let lock = lock_of(&other)?;
            if lock.try_lock().is_ok() {
                // What cannot be removed, or what somebody else has just removed, harms nobody.
                let _ = fs::remove_dir_all(&other);
            }
        }
    }
    Ok(in_use)
}

/// The lock lies beside the directory and stays: whoever waits for it waits for the same file as everybody.
fn lock_of(directory: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(directory.with_extension("lock"))
}

fn make_executable(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())
}
