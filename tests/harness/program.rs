//! The program `streamwright` that the tests are about: built before the first of them, as `cargo test` does not.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program, with whose libraries pipelines are linked, unless it is up to date, and says where it is.
///
/// # Errors
/// What cargo says.
pub(crate) fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "cli"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        // Whatever the test's own profile is.
        return Ok(profile_directory()?.with_file_name("release").join("streamwright"));
    }
    Err(format!("cannot build the program:\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// A directory for what can be made again, in cargo's: `target/release/<name>`.
///
/// # Errors
/// When the test is nowhere.
pub(crate) fn cache_directory(name: &str) -> Result<PathBuf, String> {
    Ok(profile_directory()?.join(name))
}

/// The executable of a test is in `target/<profile>/deps`.
fn profile_directory() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    exe.ancestors().nth(2).map(Path::to_owned).ok_or_else(|| "the test has no directory".to_owned())
}
