//! What all cases share: the toolchain bundle, the store of binaries, a runtime.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use artifacts::Store;
use compiler_driver::Compiled;
use compiler_service::{BuildOptions, Bundle, build};
use tokio::runtime::Runtime;

pub(crate) struct World {
    options: BuildOptions,
    store: Store,
    pub(crate) runtime: Runtime,
}

impl World {
    /// The one world; what was wrong when it was made is wrong for every case.
    pub(crate) fn get() -> Result<&'static World, String> {
        static WORLD: OnceLock<Result<World, String>> = OnceLock::new();
        WORLD.get_or_init(World::make).as_ref().map_err(Clone::clone)
    }

    fn make() -> Result<World, String> {
        build_program()?;
        let bundle = Bundle::find(None).map_err(|error| {
            let hint = error.hint().unwrap_or_default();
            format!("{error}\n{hint}\nthe cases are built with the libraries of the program")
        })?;
        let cache = cache_directory()?;
        let url = cache.join("store");
        std::fs::create_dir_all(&url).map_err(|error| format!("{}: {error}", url.display()))?;
        let store = Store::open(&url.to_string_lossy()).map_err(|error| error.to_string())?;
        let options = BuildOptions::new(bundle, store.clone(), cache.join("build"));
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        Ok(World { options, store, runtime })
    }

    /// The executable of a compiled query.
    pub(crate) fn build(&self, compiled: &Compiled) -> Result<PathBuf, String> {
        let built = self.runtime.block_on(build(compiled, &self.options)).map_err(|error| format!("build: {error}"))?;
        // A blob is not executable where it lies; like a worker, a case runs a verified copy.
        let directory = cache_directory()?.join("bin");
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let path = directory.join(built.binary.digest.to_string());
        if !path.exists() {
            let partial = directory.join(format!("{}.{}", built.binary.digest, std::process::id()));
            self.store.fetch(&built.binary.digest, &partial).map_err(|error| error.to_string())?;
            make_executable(&partial)?;
            std::fs::rename(&partial, &path).map_err(|error| error.to_string())?;
        }
        Ok(path)
    }
}

/// Builds the program, whose libraries the cases are linked with, unless it is up to date: `cargo test` does not.
fn build_program() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "cli"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("cannot build the program:\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Beside the executable of the test: in cargo's target directory.
fn cache_directory() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let deps = exe.parent().ok_or("the test has no directory")?;
    Ok(deps.with_file_name("sql-cases"))
}

fn make_executable(path: &std::path::Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())
}
