//! Makes the bundle from the cargo build that made this program.
//!
//! Cargo is asked for the same build again. Everything is fresh, so it only lists the libraries, and a wrapper in
//! the compiler's place makes sure of it: should anything have to be compiled, it fails at once instead of building.
//! The libraries are then linked (hard links, no copies) into
//!
//! ```text
//!  <target>/<profile>/toolchain/sealed.json         for which executable, and which digest
//!  <target>/<profile>/toolchain/<digest>/           the bundle
//! ```
//!
//! so that a later `cargo build`, which replaces files and never writes into them, does not change it.
//!
//! Not here: what a bundle is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use cargo_metadata::{Artifact, CrateType, DependencyKind, Message, Metadata, MetadataCommand, PackageId, TargetKind};
use serde::{Deserialize, Serialize};

use artifacts::Digest;

use crate::bundle::{Bundle, BundleError, BundleSpec, FileIdentity, rustc_version, write_atomically};

const RUSTC_VERSION: &str = env!("STREAMWRIGHT_RUSTC_VERSION");
const TARGET: &str = env!("STREAMWRIGHT_TARGET");
const RUSTFLAGS: &str = env!("STREAMWRIGHT_RUSTFLAGS");
const MANIFEST_DIR: &str = env!("CARGO_MANIFEST_DIR");

/// The program whose build is asked for, and its package.
const PROGRAM: &str = "streamwright";
const PROGRAM_PACKAGE: &str = "cli";

/// What generated code may name: these, and every package of a connector.
const ROOT_PACKAGES: [&str; 2] = ["worker-lib", "kernels"];
const CONNECTOR_PREFIX: &str = "connectors-";
/// The planner's half of the connectors; it has no runtime.
const CONNECTOR_OPTIONS: &str = "connectors-options";

/// How long a bundle of an older build is kept: a build that uses it may still be running.
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// `sealed.json`
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    program: FileIdentity,
    compiler: FileIdentity,
    compiler_path: PathBuf,
    digest: Digest,
}

/// A directory of cargo's, as `target/release`.
struct CargoBuild {
    /// `target/release`
    output: PathBuf,
    /// `target`
    target_dir: PathBuf,
    /// `--target` was given.
    cross: bool,
    profile: String,
    workspace: PathBuf,
}

/// The bundle of the cargo build that an executable comes from.
pub(crate) fn bundle_of(exe: &Path) -> Result<Bundle, BundleError> {
    let build = CargoBuild::of(exe)?;
    let program = build.output.join(PROGRAM);
    let identity = FileIdentity::of(&program)
        .map_err(|_| BundleError::NotFound(format!("\"{}\" has not been built", program.display())))?;
    let toolchain = build.output.join("toolchain");
    if let Some(bundle) = open_sealed(&toolchain, &identity) {
        return Ok(bundle);
    }
    build.seal(&toolchain, identity)
}

/// The bundle sealed earlier, if it is of this program and still whole.
fn open_sealed(toolchain: &Path, program: &FileIdentity) -> Option<Bundle> {
    let sealed: Sealed = serde_json::from_slice(&fs::read(toolchain.join("sealed.json")).ok()?).ok()?;
    let compiler = FileIdentity::of(&sealed.compiler_path).ok()?;
    if sealed.program != *program || sealed.compiler != compiler {
        return None;
    }
    let bundle = Bundle::open(&toolchain.join(sealed.digest.to_string())).ok()?;
    (bundle.digest() == sealed.digest).then(|| bundle.trusting(sealed.compiler_path))
}

impl CargoBuild {
    /// Recognises cargo's directory by what cargo leaves there. Tests are one level deeper, in `deps`.
    fn of(exe: &Path) -> Result<CargoBuild, BundleError> {
        let not_cargo = || BundleError::NotFound(format!("\"{}\" is not in a cargo target directory", exe.display()));
        let name = |path: &Path| path.file_name().and_then(OsStr::to_str).map(str::to_owned);
        let mut output = exe.parent().ok_or_else(not_cargo)?;
        if matches!(name(output).as_deref(), Some("deps" | "examples")) {
            output = output.parent().ok_or_else(not_cargo)?;
        }
        if !output.join(".cargo-lock").exists() || !output.join("deps").is_dir() {
            return Err(not_cargo());
        }
        let above = output.parent().ok_or_else(not_cargo)?;
        let cross = name(above).as_deref() == Some(TARGET);
        let target_dir = if cross { above.parent().ok_or_else(not_cargo)? } else { above };
        let profile = match name(output).ok_or_else(not_cargo)?.as_str() {
            "debug" => "dev".to_owned(),
            other => other.to_owned(),
        };
        let workspace = Path::new(MANIFEST_DIR).join("../..");
        let workspace = workspace
            .canonicalize()
            .map_err(|_| BundleError::NotFound(format!("the source tree \"{}\" is gone", workspace.display())))?;
        Ok(CargoBuild { output: output.to_owned(), target_dir: target_dir.to_owned(), cross, profile, workspace })
    }

    fn error(&self, reason: impl Into<String>) -> BundleError {
        BundleError::Cargo { directory: self.output.clone(), reason: reason.into() }
    }

    fn seal(&self, toolchain: &Path, program: FileIdentity) -> Result<Bundle, BundleError> {
        tracing::debug!(directory = %self.output.display(), "making the toolchain bundle from the cargo build");
        fs::create_dir_all(toolchain).map_err(BundleError::io("create directory", toolchain))?;
        let compiler_path = self.compiler()?;
        let compiler = FileIdentity::of(&compiler_path).map_err(BundleError::io("read", &compiler_path))?;
        let artifacts = self.artifacts(toolchain)?;
        let libraries = libraries(&self.metadata()?, &artifacts).map_err(|reason| self.error(reason))?;

        let staging = tempfile::Builder::new().prefix(".staging-").tempdir_in(toolchain);
        let staging = staging.map_err(BundleError::io("write", toolchain))?;
        let lib = staging.path().join("lib");
        fs::create_dir(&lib).map_err(BundleError::io("create directory", &lib))?;
        let paths = libraries.files.iter().map(|from| link(from, &lib)).collect::<Result<Vec<_>, _>>()?;
        let rustc = RUSTC_VERSION.split('\x1f').map(str::to_owned).collect();
        let spec = BundleSpec::describe(rustc, TARGET.to_owned(), shared_flags(RUSTFLAGS), libraries.crates, &paths)?;
        write_atomically(&staging.path().join("bundle.json"), &spec.to_json())?;

        let directory = toolchain.join(spec.digest.to_string());
        let staging = staging.keep();
        if fs::rename(&staging, &directory).is_err() {
            // Another process was faster, or an older bundle of the same libraries is there: then it is as good.
            let found = Bundle::open(&directory).map(|_| ());
            let _ = fs::remove_dir_all(if found.is_ok() { &staging } else { &directory });
            if found.is_err() {
                fs::rename(&staging, &directory).map_err(BundleError::io("write", &directory))?;
            }
        }
        let sealed = Sealed { program, compiler, compiler_path: compiler_path.clone(), digest: spec.digest };
        let text = serde_json::to_vec_pretty(&sealed).expect("paths and numbers");
        write_atomically(&toolchain.join("sealed.json"), &text)?;
        remove_old(toolchain, &directory);
        Ok(Bundle::open(&directory)?.trusting(compiler_path))
    }

    /// The compiler itself, not the proxy that chooses a version each time; checked to be the one that was used.
    fn compiler(&self) -> Result<PathBuf, BundleError> {
        let output = Command::new("rustc").args(["--print", "sysroot"]).current_dir(&self.workspace).output();
        let output = output.map_err(|_| BundleError::NoCompiler("rustc".into()))?;
        let compiler = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("bin/rustc");
        let found = rustc_version(&compiler)?;
        if found.join("\x1f") != RUSTC_VERSION {
            return Err(BundleError::OtherCompiler {
                needed: RUSTC_VERSION.split('\x1f').next().unwrap_or_default().to_owned(),
                found: found.first().cloned().unwrap_or_default(),
                compiler,
            });
        }
        Ok(compiler)
    }

    /// What the build has made, as cargo lists it.
    fn artifacts(&self, toolchain: &Path) -> Result<Vec<Artifact>, BundleError> {
        let wrapper_dir = tempfile::Builder::new().prefix(".wrapper-").tempdir_in(toolchain);
        let wrapper_dir = wrapper_dir.map_err(BundleError::io("write", toolchain))?;
        let wrapper = write_wrapper(wrapper_dir.path())?;
        let mut command = Command::new("cargo");
        command
            .args(["build", "--offline", "--message-format=json-render-diagnostics", "-p", PROGRAM_PACKAGE])
            .args(["--profile", &self.profile])
            .arg("--target-dir")
            .arg(&self.target_dir)
            .current_dir(&self.workspace)
            .env("RUSTC_WRAPPER", wrapper)
            // What the wrapper answers must not be remembered for the next real build.
            .env("CARGO_CACHE_RUSTC_INFO", "0")
            .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS)
            .env_remove("RUSTFLAGS")
            .stdin(Stdio::null());
        if self.cross {
            command.args(["--target", TARGET]);
        }
        let output = command.output().map_err(|error| self.error(format!("cannot run cargo: {error}")))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(match stderr.lines().find_map(|line| line.strip_prefix(STALE_MARK)) {
                Some(name) => BundleError::Stale(format!("crate {} would have to be compiled", name.trim())),
                None => self.error(stderr.trim()),
            });
        }
        let messages = Message::parse_stream(&output.stdout[..]);
        let artifacts: Vec<_> = messages
            .filter_map(|message| match message {
                Ok(Message::CompilerArtifact(artifact)) => Some(artifact),
                _ => None,
            })
            .collect();
        if !artifacts.iter().any(|artifact| artifact.fresh && artifact.executable.is_some()) {
            return Err(BundleError::Stale(format!("{PROGRAM} is not up to date")));
        }
        Ok(artifacts)
    }

    fn metadata(&self) -> Result<Metadata, BundleError> {
        MetadataCommand::new()
            .manifest_path(self.workspace.join("Cargo.toml"))
            .other_options(["--offline", "--filter-platform", TARGET].map(str::to_owned).to_vec())
            .exec()
            .map_err(|error| self.error(error.to_string()))
    }
}

/// What the wrapper says before it fails.
const STALE_MARK: &str = "streamwright-stale-crate:";

/// A compiler that answers questions and compiles nothing.
fn write_wrapper(directory: &Path) -> Result<PathBuf, BundleError> {
    let path = directory.join("rustc");
    let script = format!(
        "#!/bin/sh\n\
         case \" $* \" in *\" -vV \"*|*\" --print\"*) exec \"$@\";; esac\n\
         while [ $# -gt 0 ]; do [ \"$1\" = --crate-name ] && name=$2; shift; done\n\
         echo \"{STALE_MARK} $name\" >&2\n\
         exit 1\n"
    );
    fs::write(&path, script).map_err(BundleError::io("write", &path))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&path, mode).map_err(BundleError::io("write", &path))?;
    Ok(path)
}

/// The files of a bundle.
struct Libraries {
    crates: BTreeMap<String, String>,
    files: BTreeSet<PathBuf>,
}

/// The libraries that generated code can reach: the root packages' and those of everything they depend on. The
/// planner's are left out.
fn libraries(metadata: &Metadata, artifacts: &[Artifact]) -> Result<Libraries, String> {
    let is_root =
        |name: &str| ROOT_PACKAGES.contains(&name) || (name.starts_with(CONNECTOR_PREFIX) && name != CONNECTOR_OPTIONS);
    let members = metadata.workspace_packages();
    let roots: Vec<_> =
        members.iter().filter(|package| is_root(package.name.as_str())).map(|package| &package.id).collect();
    let reachable = closure(metadata, &roots)?;
    let mut found = Libraries { crates: BTreeMap::new(), files: BTreeSet::new() };
    let mut by_target: BTreeMap<(&PackageId, &str), Vec<&Artifact>> = BTreeMap::new();
    for artifact in artifacts.iter().filter(|artifact| reachable.contains(&artifact.package_id)) {
        if artifact
            .target
            .kind
            .iter()
            .any(|kind| matches!(kind, TargetKind::Lib | TargetKind::RLib | TargetKind::ProcMacro))
        {
            by_target.entry((&artifact.package_id, &artifact.target.name)).or_default().push(artifact);
        }
    }
    for ((package, _), mut variants) in by_target {
        // A package may also have been built for build scripts and macros, without optimisation: not that one.
        if variants.iter().any(|artifact| artifact.profile.opt_level != "0") {
            variants.retain(|artifact| artifact.profile.opt_level != "0" || is_macro(artifact));
        }
        for artifact in variants {
            let wanted = if is_macro(artifact) { std::env::consts::DLL_EXTENSION } else { "rlib" };
            for file in artifact.filenames.iter().filter(|file| file.extension() == Some(wanted)) {
                found.files.insert(file.as_std_path().to_owned());
                if roots.contains(&package) {
                    let name = file.file_name().unwrap_or_default().to_owned();
                    found.crates.insert(artifact.target.name.replace('-', "_"), name);
                }
            }
        }
    }
    match ROOT_PACKAGES.iter().find(|name| !found.crates.contains_key(&name.replace('-', "_"))) {
        Some(missing) => Err(format!("cargo has not built the package \"{missing}\"")),
        None => Ok(found),
    }
}

/// A procedural macro is a library for the compiler. Its own dependencies are inside it.
fn is_macro(artifact: &Artifact) -> bool {
    artifact.target.crate_types.contains(&CrateType::ProcMacro)
}

/// The packages that `roots` need at run time, directly or not.
fn closure<'a>(metadata: &'a Metadata, roots: &[&'a PackageId]) -> Result<BTreeSet<&'a PackageId>, String> {
    let resolve = metadata.resolve.as_ref().ok_or("cargo has not resolved the dependencies")?;
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let macros: BTreeSet<_> = metadata
        .packages
        .iter()
        .filter(|package| package.targets.iter().any(|target| target.kind.contains(&TargetKind::ProcMacro)))
        .map(|package| &package.id)
        .collect();
    let mut reachable = BTreeSet::new();
    let mut open: VecDeque<_> = roots.iter().copied().collect();
    while let Some(id) = open.pop_front() {
        if !reachable.insert(id) || macros.contains(id) {
            continue;
        }
        let dependencies = nodes.get(id).map(|node| &node.deps[..]).unwrap_or_default();
        let normal =
            dependencies.iter().filter(|dep| dep.dep_kinds.iter().any(|info| info.kind == DependencyKind::Normal));
        open.extend(normal.map(|dep| &dep.pkg));
    }
    Ok(reachable)
}

fn link(from: &Path, directory: &Path) -> Result<PathBuf, BundleError> {
    let to = directory.join(from.file_name().unwrap_or_default());
    fs::hard_link(from, &to).or_else(|_| fs::copy(from, &to).map(|_| ())).map_err(BundleError::io("write", &to))?;
    Ok(to)
}

/// The flags of a cargo build that decide what code is: code generation, not lints, paths or configuration.
fn shared_flags(encoded: &str) -> Vec<String> {
    let mut shared = Vec::new();
    let mut flags = encoded.split('\x1f').filter(|flag| !flag.is_empty());
    while let Some(flag) = flags.next() {
        let value = match flag {
            "-C" | "--codegen" => flags.next().map(str::to_owned),
            _ => flag.strip_prefix("--codegen=").or(flag.strip_prefix("-C")).map(str::to_owned),
        };
        let decided_here = |value: &str| {
            ["opt-level", "debuginfo", "codegen-units", "strip", "metadata", "incremental", "lto", "embed-bitcode"]
                .contains(&value.split('=').next().unwrap_or_default())
        };
        if let Some(value) = value.filter(|value| !decided_here(value)) {
            shared.extend(["-C".to_owned(), value]);
        }
    }
    shared
}

/// Removes bundles of older builds, and what sealing processes that died have left.
fn remove_old(toolchain: &Path, current: &Path) {
    let limit = SystemTime::now() - KEEP;
    for entry in fs::read_dir(toolchain).into_iter().flatten().flatten() {
        let old = entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.modified().is_ok_and(|at| at < limit));
        if old && entry.path() != current {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flags_that_decide_code_are_shared() {
        let encoded = "-C\x1ftarget-cpu=x86-64-v3\x1f-D\x1fwarnings\x1f--cfg\x1ftokio_unstable\x1f-Ctarget-feature=+aes\
                       \x1f--codegen=force-frame-pointers=yes\x1f-Cdebuginfo=2\x1f-C\x1fopt-level=1";
        assert_eq!(
            shared_flags(encoded),
            ["-C", "target-cpu=x86-64-v3", "-C", "target-feature=+aes", "-C", "force-frame-pointers=yes"]
        );
        assert_eq!(shared_flags(""), [""; 0]);
    }

    #[test]
    fn the_directory_of_a_cargo_build_is_recognised() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("release");
        fs::create_dir_all(output.join("deps")).unwrap();
        let exe = output.join("deps/tests-0123");
        assert!(matches!(CargoBuild::of(&exe), Err(BundleError::NotFound(_))), "cargo leaves a lock file");
        fs::write(output.join(".cargo-lock"), "").unwrap();
        for exe in [exe, output.join("streamwright")] {
            let build = CargoBuild::of(&exe).unwrap();
            assert_eq!((build.profile.as_str(), build.cross), ("release", false));
            assert_eq!((build.output, build.target_dir), (output.clone(), directory.path().to_owned()));
            assert!(build.workspace.join("Cargo.lock").exists());
        }
    }

    #[test]
    fn the_planner_is_not_in_the_closure() {
        let metadata = MetadataCommand::new()
            .manifest_path(Path::new(MANIFEST_DIR).join("Cargo.toml"))
            .other_options(["--offline", "--filter-platform", TARGET].map(str::to_owned).to_vec())
            .exec()
            .unwrap();
        let package = |name: &str| &metadata.packages.iter().find(|package| package.name.as_str() == name).unwrap().id;
        let reachable = closure(&metadata, &[package("worker-lib"), package("connectors-nexmark")]).unwrap();
        assert!(reachable.contains(package("arrow-array")));
        assert!(reachable.contains(package("schema")));
        // The macro itself is in it, what the macro is made of is not.
        assert!(reachable.contains(package("tokio-macros")));
        for planner in ["compiler-sql", "datafusion-sql", "cargo_metadata", "prost-build", "prettyplease"] {
            assert!(!reachable.contains(package(planner)), "{planner}");
        }
    }
}
