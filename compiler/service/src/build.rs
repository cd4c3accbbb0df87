//! The way from generated files to a stored binary.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use artifacts::{Blob, Digest, Manifest, Phase, PipelineManifest, Store, StoreError};
use compiler_driver::Compiled;

use crate::action::{Action, CRATE_NAME};
use crate::bundle::{Bundle, BundleError};
use crate::compiler::{Compilation, Outcome};
use crate::workdir::{self, WorkDir};

/// What lies about in the store for so long, nobody is writing or looking at any more.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 3600);

/// Where and with what to build.
#[derive(Clone)]
pub struct BuildOptions {
    pub bundle: Bundle,
    pub store: Store,
    /// `compiler.build-dir`: for directories that live as long as a build. Several processes may share it.
    pub build_dir: PathBuf,
    /// `compiler.rustc`: instead of the compiler that made the bundle.
    pub rustc: Option<PathBuf>,
    /// Longest that the compiler may run.
    pub time_limit: Duration,
    /// Told what begins: `wait` (for another process that builds the same), `rustc`, `store`.
    pub progress: Option<Arc<dyn Fn(&'static str) + Send + Sync>>,
}

impl BuildOptions {
    /// How long a compilation may take unless told otherwise. Ordinary ones take a second.
    pub const TIME_LIMIT: Duration = Duration::from_secs(300);

    pub fn new(bundle: Bundle, store: Store, build_dir: impl Into<PathBuf>) -> BuildOptions {
        let build_dir = build_dir.into();
        BuildOptions { bundle, store, build_dir, rustc: None, time_limit: Self::TIME_LIMIT, progress: None }
    }

    fn begin(&self, phase: &'static str) {
        if let Some(progress) = &self.progress {
            progress(phase);
        }
    }
}

/// A pipeline in the store.
#[derive(Clone, Debug)]
pub struct Built {
    /// Of the binary, as it was built now or earlier.
    pub manifest: Manifest,
    /// The executable.
    pub binary: Blob,
    /// Digest of the [`PipelineManifest`]: plan and binary, all that is needed to run it.
    pub pipeline: Digest,
    /// Nothing was compiled.
    pub cached: bool,
    /// Where this call's time went, in order.
    pub phases: Vec<Phase>,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot compile in \"{directory}\": {source}")]
    WorkDir { directory: PathBuf, source: io::Error },
    #[error("the Rust compiler rejected the generated code: {summary}")]
    Rejected { summary: String, log: PathBuf },
    #[error("cannot link the pipeline: {summary}")]
    Link { summary: String, log: PathBuf },
    #[error("the Rust compiler was killed by {by}")]
    Killed { by: String, log: PathBuf },
    #[error("the Rust compiler took longer than {} s", .limit.as_secs())]
    TimedOut { limit: Duration },
    #[error("the code digest \"{0}\" of the compiled query is not a digest")]
    InvalidCode(String),
}

impl BuildError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            BuildError::Bundle(error) => error.hint(),
            BuildError::Store(error) => error.hint(),
            BuildError::WorkDir { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, or set compiler.build-dir to another disk".to_owned())
            }
            BuildError::WorkDir { .. } => {
                Some("set compiler.build-dir to a directory that you can write to".to_owned())
            }
            BuildError::Rejected { log, .. } => Some(format!(
                "this is a bug in streamwright, not in the query: please report it with {}",
                log.display()
            )),
            BuildError::Link { log, .. } => Some(format!(
                "install a C compiler (the package gcc or clang); the linker's messages are in {}",
                log.display()
            )),
            BuildError::Killed { log, .. } => {
                Some(format!("it may have run out of memory; its messages are in {}", log.display()))
            }
            BuildError::TimedOut { .. } => Some("split the query into several pipelines".to_owned()),
            BuildError::InvalidCode(_) => None,
        }
    }
}

/// Measures consecutive phases.
struct Stopwatch {
    phases: Vec<Phase>,
    since: Instant,
}

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch { phases: Vec::new(), since: Instant::now() }
    }

    /// The phase that ends now.
    fn lap(&mut self, name: &str) {
        let millis = self.since.elapsed().as_secs_f64() * 1e3;
        // Microseconds are as fine as anybody reads, and a document of 0.3 is nicer than one of 0.30000000000000004.
        self.phases.push(Phase { name: name.to_owned(), millis: (millis * 1e3).round() / 1e3 });
        self.since = Instant::now();
    }
}

/// Builds a compiled query, or finds that it has been built.
///
/// Dropping the future kills the compiler and leaves nothing behind. Identical builds, in this process or others,
/// compile once as long as they share a build directory and a store.
///
/// # Errors
/// Everything that is not the query's fault: that has been said before there was anything to build.
pub async fn build(compiled: &Compiled, options: &BuildOptions) -> Result<Built, BuildError> {
    let mut watch = Stopwatch::start();
    let action = action(compiled, options)?;
    let found = options.store.manifest(&action.key)?;
    watch.lap("lookup");
    let (manifest, cached) = match found {
        Some(manifest) => (manifest, true),
        None => make(compiled, &action, options, &mut watch).await?,
    };
    let binary = manifest
        .pipeline()
        .ok_or_else(|| StoreError::Missing { digest: action.key, store: options.store.url().to_owned() })?;
    let pipeline = PipelineManifest {
        action_key: action.key,
        binary,
        code: action.code,
        target: manifest.target.clone(),
        plan: serde_json::to_value(&compiled.plan).expect("plans have string keys"),
    };
    let pipeline = options.store.put_pipeline(&pipeline)?.digest;
    watch.lap("plan");
    Ok(Built { manifest, binary, pipeline, cached, phases: watch.phases })
}

fn action(compiled: &Compiled, options: &BuildOptions) -> Result<Action, BuildError> {
    let code = compiled.code.parse().map_err(|_| BuildError::InvalidCode(compiled.code.clone()))?;
    Ok(Action::new(&compiled.files, code, &options.bundle))
}

/// Compiles and stores, unless another process has meanwhile done it (then the second value is true).
async fn make(
    compiled: &Compiled,
    action: &Action,
    options: &BuildOptions,
    watch: &mut Stopwatch,
) -> Result<(Manifest, bool), BuildError> {
    // Asked for first: without a compiler there is no need to wait for anybody.
    let compiler = options.bundle.require_compiler(options.rustc.as_deref())?;
    let workdir_error = |source| BuildError::WorkDir { directory: options.build_dir.clone(), source };
    workdir::remove_dead(&options.build_dir);
    options.store.clean(LEFTOVER_AGE);
    // Declared before the process, so dropped after it: first the compiler dies, then its directory goes.
    let workdir = WorkDir::acquire(&options.build_dir, &action.key, &|| options.begin("wait")).await;
    let workdir = workdir.map_err(workdir_error)?;
    if let Some(manifest) = options.store.manifest(&action.key)? {
        watch.lap("wait");
        return Ok((manifest, true));
    }
    let compilation = Compilation { compiler, bundle: &options.bundle, action, directory: workdir.path() };
    compilation.write(&compiled.files).map_err(workdir_error)?;
    watch.lap("write");
    options.begin("rustc");
    let outcome = compilation.run("link", CRATE_NAME, options.time_limit).await;
    watch.lap("rustc");
    check(outcome, &compilation, compiled, options)?;
    options.begin("store");
    let mut outputs = std::collections::BTreeMap::new();
    outputs.insert(Manifest::PIPELINE.to_owned(), options.store.put_file(&workdir.path().join(CRATE_NAME))?);
    let log = std::fs::read(compilation.log_path()).unwrap_or_default();
    if !log.is_empty() {
        outputs.insert(Manifest::LOG.to_owned(), options.store.put_bytes(&log)?);
    }
    watch.lap("store");
    let spec = options.bundle.spec();
    let manifest = Manifest {
        action_key: action.key,
        outputs,
        code: action.code,
        bundle: spec.digest,
        target: spec.target.clone(),
        flags: action.flags.clone(),
        rustc: options.bundle.rustc().to_owned(),
        phases: watch.phases.clone(),
        created_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    };
    options.store.put_manifest(&manifest)?;
    watch.lap("manifest");
    Ok((manifest, false))
}

/// Tells whose fault a failed compilation is. The compiler's messages, and the code that they are about, are kept.
fn check(
    outcome: io::Result<Outcome>,
    compilation: &Compilation<'_>,
    compiled: &Compiled,
    options: &BuildOptions,
) -> Result<(), BuildError> {
    let status = match outcome {
        Ok(Outcome::Exited(status)) if status.success() => return Ok(()),
        Ok(Outcome::Exited(status)) => status,
        Ok(Outcome::TimedOut) => return Err(BuildError::TimedOut { limit: options.time_limit }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BundleError::NoCompiler(compilation.compiler.clone()).into());
        }
        Err(source) => return Err(BuildError::WorkDir { directory: options.build_dir.clone(), source }),
    };
    let said = String::from_utf8_lossy(&std::fs::read(compilation.log_path()).unwrap_or_default()).into_owned();
    if said.contains("error[E0514]") {
        return Err(options.bundle.other_compiler(&compilation.compiler, "another version").into());
    }
    if said.contains("No space left on device") || said.contains("os error 28") {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        return Err(BuildError::WorkDir { directory: options.build_dir.clone(), source });
    }
    let log = keep_log(&said, compiled, options)?;
    let summary = said.lines().find(|line| line.starts_with("error")).unwrap_or("it did not say why").to_owned();
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Err(BuildError::Killed { by: format!("signal {signal}"), log });
    }
    Err(match said.contains("error: linking with") || said.contains("error: linker") {
        true => BuildError::Link { summary, log },
        false => BuildError::Rejected { summary, log },
    })
}

/// Stores what the compiler said and, below it, what it was given.
fn keep_log(said: &str, compiled: &Compiled, options: &BuildOptions) -> Result<PathBuf, BuildError> {
    let mut log = said.to_owned();
    for (path, text) in &compiled.files {
        log.push_str(&format!("\n===== {path}\n{text}"));
    }
    let blob = options.store.put_bytes(log.as_bytes())?;
    Ok(options.store.blob_path(&blob.digest))
}

/// Lines of LLVM IR that the generated crate comes to, before optimisation: how much work it is to compile. A
/// compilation of its own, for benchmarks.
///
/// # Errors
/// As [`build()`].
pub async fn llvm_lines(compiled: &Compiled, options: &BuildOptions) -> Result<usize, BuildError> {
    let mut action = action(compiled, options)?;
    action.flags.extend(["-C", "no-prepopulate-passes", "-C", "codegen-units=1"].map(str::to_owned));
    let compiler = options.bundle.require_compiler(options.rustc.as_deref())?;
    let workdir_error = |source| BuildError::WorkDir { directory: options.build_dir.clone(), source };
    let key = Digest::of(format!("llvm-ir {}", action.key));
    let workdir = WorkDir::acquire(&options.build_dir, &key, &|| {}).await.map_err(workdir_error)?;
    let compilation = Compilation { compiler, bundle: &options.bundle, action: &action, directory: workdir.path() };
    compilation.write(&compiled.files).map_err(workdir_error)?;
    let outcome = compilation.run("llvm-ir", "pipeline.ll", options.time_limit).await;
    check(outcome, &compilation, compiled, options)?;
    count_lines(&workdir.path().join("pipeline.ll")).map_err(workdir_error)
}

fn count_lines(path: &Path) -> io::Result<usize> {
    Ok(std::fs::read(path)?.iter().filter(|byte| **byte == b'\n').count())
}
