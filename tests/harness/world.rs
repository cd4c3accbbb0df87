//! What all cases share: the toolchain bundle, the store of binaries, a runtime, the server that workers attach to.

use std::path::PathBuf;
use std::sync::OnceLock;

use artifacts::Store;
use compiler_driver::Compiled;
use compiler_service::{BuildOptions, Bundle, build};
use controller::server::{self, Registry, Server};
use tokio::runtime::Runtime;

use super::program;

pub(crate) struct World {
    options: BuildOptions,
    store: Store,
    /// Verified copies of the binaries, by digest: a blob is not executable where it lies.
    binaries: PathBuf,
    pub(crate) runtime: Runtime,
    /// By job, who listens to its workers.
    pub(crate) workers: Registry,
    server: Server,
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
        let cache = program::cache_directory("sql-cases")?;
        let (url, binaries) = (cache.join("store"), cache.join("bin"));
        for directory in [&url, &binaries] {
            std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        let store = Store::open(&url.to_string_lossy()).map_err(|error| error.to_string())?;
        let options = BuildOptions::new(bundle, store.clone(), cache.join("build"));
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        let workers = Registry::default();
        let server = runtime.block_on(server::start(workers.clone())).map_err(|error| error.to_string())?;
        Ok(World { options, store, binaries, runtime, workers, server })
    }

    /// Where workers attach.
    pub(crate) fn controller(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The executable of a compiled query.
    pub(crate) fn build(&self, compiled: &Compiled) -> Result<PathBuf, String> {
        let built = self.runtime.block_on(build(compiled, &self.options)).map_err(|error| format!("build: {error}"))?;
        let path = self.binaries.join(built.binary.digest.to_string());
        if !path.exists() {
            let partial = self.binaries.join(format!("{}.{}", built.binary.digest, std::process::id()));
            self.store.fetch(&built.binary.digest, &partial).map_err(|error| error.to_string())?;
            make_executable(&partial)?;
            std::fs::rename(&partial, &path).map_err(|error| error.to_string())?;
        }
        Ok(path)
    }
}

fn make_executable(path: &std::path::Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())
}
