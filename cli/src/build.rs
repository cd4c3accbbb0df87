//! `build` and `bundle`, and the build that `run` begins with.
//!
//! `build` goes through all of its queries, whatever is wrong with one of them; its exit code is the first failure's.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use artifacts::Store;
use compiler_driver::Compiled;
use compiler_service::{BuildOptions, Built, Bundle as Toolchain, BundleError};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::arguments::{Build, Bundle};
use crate::config::Config;
use crate::explain::print;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::query::Query;

/// The artifact store at a URL.
pub(crate) fn open_store(url: &str) -> Result<Store, Failure> {
    Store::open(url).map_err(|error| Failure::usage(&error).with_hint(error.hint()))
}

/// The toolchain bundle. The first time after a cargo build this takes a second, so it goes on beside the compiler.
pub(crate) fn find_toolchain(config: &Config) -> JoinHandle<Result<Toolchain, BundleError>> {
    let configured = config.bundle.clone();
    tokio::task::spawn_blocking(move || Toolchain::find(configured.as_deref()))
}

/// Builds, telling `progress` what begins.
pub(crate) async fn make(
    compiled: &Compiled,
    toolchain: JoinHandle<Result<Toolchain, BundleError>>,
    store: &Store,
    config: &Config,
    progress: Arc<Progress>,
) -> Result<Built, Failure> {
    progress.phase("toolchain");
    let bundle =
        toolchain.await.map_err(Failure::build)?.map_err(|error| Failure::build(&error).with_hint(error.hint()))?;
    progress.phase("lookup");
    let mut options = BuildOptions::new(bundle, store.clone(), &config.build_dir);
    options.rustc = config.rustc.clone();
    options.progress = Some(Arc::new(move |phase| progress.phase(phase)));
    compiler_service::build(compiled, &options).await.map_err(|error| Failure::build(&error).with_hint(error.hint()))
}

pub(crate) fn build(arguments: &Build, config: &Config) -> Result<ExitCode, Failure> {
    let store = open_store(arguments.artifact_url.as_deref().unwrap_or(&config.artifact_url))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::build(format!("cannot start threads: {error}")))?;
    // One wrong query says nothing about the others: each is built or told what is wrong with it.
    let mut first_failure = None;
    for argument in &arguments.queries {
        if let Err(failure) = build_one(argument, arguments, config, &store, &runtime) {
            eprint!("{}", failure.text(crate::colored()));
            first_failure = first_failure.or(Some(failure.code()));
        }
    }
    Ok(first_failure.unwrap_or(ExitCode::SUCCESS))
}

fn build_one(
    argument: &str,
    arguments: &Build,
    config: &Config,
    store: &Store,
    runtime: &tokio::runtime::Runtime,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let query = Query::read(argument)?;
    let progress = Arc::new(Progress::new());
    progress.phase("compile");
    let compiled = query.compile(arguments.parallelism, config).inspect_err(|_| progress.clear())?;
    if let Some(warnings) = query.warnings(&compiled) {
        progress.line(&warnings);
    }
    let built = runtime.block_on(async {
        let toolchain = find_toolchain(config);
        make(&compiled, toolchain, store, config, progress.clone()).await
    });
    let built = built.inspect_err(|_| progress.clear())?;
    progress.clear();
    let text = if arguments.json {
        json_report(&query, &compiled, &built, store)
    } else {
        text_report(&query, &compiled, &built, store, begun)
    };
    print(&text)
}

/// One object on one line.
fn json_report(query: &Query, compiled: &Compiled, built: &Built, store: &Store) -> String {
    let passes: Vec<_> = compiled
        .passes
        .iter()
        .map(|pass| json!({ "name": pass.name, "millis": (pass.time.as_secs_f64() * 1e6).round() / 1e3 }))
        .collect();
    let report = json!({
        "query": query.origin,
        "pipeline": built.pipeline,
        "binary": built.binary,
        "code": compiled.code,
        "generated_lines": compiled.lines(),
        "cached": built.cached,
        "artifact_url": store.url(),
        "passes": passes,
        "phases": built.phases,
        "manifest": built.manifest,
    });
    format!("{report}\n")
}

fn text_report(query: &Query, compiled: &Compiled, built: &Built, store: &Store, begun: Instant) -> String {
    let mut text = format!("{}\n", query.origin);
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<10} {value}\n"));
    line("pipeline", built.pipeline.to_string());
    line("binary", format!("{} ({:.1} MB)", built.binary.digest, built.binary.size as f64 / 1e6));
    line("code", format!("{} ({} lines)", compiled.code, compiled.lines()));
    line("manifest", store.manifest_path(&built.manifest.action_key).display().to_string());
    line("built by", format!("{}, bundle {}", built.manifest.rustc, built.manifest.bundle.short()));
    let passes = compiled.passes.iter().map(|pass| (pass.name, pass.time.as_secs_f64() * 1e3));
    let phases = built.phases.iter().map(|phase| (phase.name.as_str(), phase.millis));
    let times: Vec<_> = passes.chain(phases).map(|(name, millis)| format!("{name} {millis:.1} ms")).collect();
    line("time", times.join(", "));
    let cached = if built.cached { ", nothing had to be compiled" } else { "" };
    line("total", format!("{:.2} s{cached}", begun.elapsed().as_secs_f64()));
    text
}

pub(crate) fn bundle(arguments: &Bundle, config: &Config) -> Result<ExitCode, Failure> {
    let failed = |error: compiler_service::BundleError| Failure::build(&error).with_hint(error.hint());
    let own = Toolchain::find(config.bundle.as_deref()).map_err(failed)?;
    let written = own.export(&arguments.directory).map_err(failed)?;
    print(&bundle_report(&written, &arguments.directory))?;
    Ok(ExitCode::SUCCESS)
}

fn bundle_report(bundle: &Toolchain, directory: &Path) -> String {
    let bytes: u64 = bundle.spec().files.iter().map(|file| file.size).sum();
    format!(
        "{}\n  digest     {}\n  libraries  {} ({:.0} MB)\n  compiler   {}\n  target     {}\n\
         Set compiler.bundle to this directory on the other machine, and install that version of the compiler there.\n",
        directory.display(),
        bundle.digest(),
        bundle.spec().files.len(),
        bytes as f64 / 1e6,
        bundle.rustc(),
        bundle.spec().target,
    )
}
