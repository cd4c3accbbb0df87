//! Builds with the real toolchain bundle. It is made of the libraries of a cargo build, so these tests need one:
//! `cargo build --release -p cli`, then `cargo test --release -p compiler-service`; or `STREAMWRIGHT_TEST_BUNDLE` names
//! an exported one. Without either they fail, unless `STREAMWRIGHT_SKIP_WITHOUT_BUNDLE` is set: then they say so and
//! pass.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifacts::{Digest, Store, StoreError};
use compiler_driver::Compiled;
use compiler_service::{BuildError, BuildOptions, Built, Bundle, BundleError, build};
use protocol::job::JobPlan;

/// Set to anything, it lets tests pass that have nothing to build with.
const SKIP: &str = "STREAMWRIGHT_SKIP_WITHOUT_BUNDLE";

/// The bundle. Without a build to make it of there is nothing that could be tested, which is no success.
fn bundle() -> Option<Bundle> {
    let configured = std::env::var_os("STREAMWRIGHT_TEST_BUNDLE");
    match Bundle::find(configured.as_deref().map(Path::new)) {
        Ok(bundle) => Some(bundle),
        Err(error @ (BundleError::NotFound(_) | BundleError::Stale(_))) if std::env::var_os(SKIP).is_some() => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error @ (BundleError::NotFound(_) | BundleError::Stale(_))) => {
            panic!("{error}\nfirst `cargo build --release -p cli`, then these tests with --release ({SKIP}=1 skips)")
        }
        Err(error) => panic!("{error}"),
    }
}

fn options(bundle: &Bundle, directory: &Path) -> BuildOptions {
    let store = Store::open(directory.join("artifacts").to_str().unwrap()).unwrap();
    BuildOptions::new(bundle.clone(), store, directory.join("build"))
}

/// A crate of one file, as the driver would hand it over.
fn compiled(main: &str) -> Compiled {
    let files: BTreeMap<_, _> = [("src/main.rs".to_owned(), main.to_owned())].into();
    let code = Digest::of(main).to_string();
    let plan = JobPlan { code: code.clone(), stages: vec![], edges: vec![] };
    Compiled { files, code, plan, warnings: vec![], views: BTreeMap::new(), passes: vec![] }
}

/// Something that reaches into the worker library and would show a path or a time, were there one.
fn program(name: &str) -> Compiled {
    compiled(&format!(
        "fn main() {{\n    \
             let batch = worker_lib::Batch::new(Vec::new(), std::env::args().count());\n    \
             println!(\"{name} {{}} {{}} {{}}\", batch.rows, file!(), env!(\"STREAMWRIGHT_CODE\"));\n    \
             assert!(batch.rows > 0, \"rows\");\n\
         }}\n"
    ))
}

/// Fetches the binary and runs it.
fn run(built: &Built, options: &BuildOptions, directory: &Path) -> String {
    let path = directory.join("fetched");
    options.store.fetch(&built.binary.digest, &path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new(&path).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn builds_once_and_the_binary_runs() {
    let Some(bundle) = bundle() else { return };
    let directory = tempfile::tempdir().unwrap();
    let options = options(&bundle, directory.path());
    let compiled = program("once");
    let first = build(&compiled, &options).await.unwrap();
    assert!(!first.cached);
    assert_eq!(run(&first, &options, directory.path()), format!("once 1 src/main.rs {}\n", compiled.code));
    assert_eq!(names(&options.build_dir), [""; 0], "nothing is left of a build");

    let second = build(&compiled, &options).await.unwrap();
    assert!(second.cached);
    assert_eq!(second.manifest, first.manifest);
    assert_eq!(second.pipeline, first.pipeline);
    let pipeline = options.store.pipeline(&first.pipeline).unwrap();
    assert_eq!((pipeline.binary, pipeline.action_key), (first.binary, first.manifest.action_key));

    // Another plan for the same code: another pipeline, the same binary, no compiler.
    let mut moved = compiled.clone();
    moved.plan.edges.push(protocol::job::EdgePlan {
        from: 0,
        to: 1,
        port: 0,
        exchange: protocol::job::ExchangePlan::Gather,
    });
    let third = build(&moved, &options).await.unwrap();
    assert!(third.cached);
    assert_eq!(third.binary, first.binary);
    assert_ne!(third.pipeline, first.pipeline);

    assert_ne!(build(&program("other"), &options).await.unwrap().binary, first.binary);
}

#[tokio::test]
async fn the_same_input_makes_the_same_bytes_anywhere() {
    let Some(bundle) = bundle() else { return };
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::Builder::new().prefix("another-user-").tempdir().unwrap());
    // The second machine has the bundle somewhere else, too, and finds the compiler by itself.
    let copy = bundle.export(&b.path().join("toolchain")).unwrap();
    let first = build(&program("anywhere"), &options(&bundle, a.path())).await.unwrap();
    let second = build(&program("anywhere"), &options(&copy, &b.path().join("deeper/down"))).await.unwrap();
    assert!(!second.cached);
    assert_eq!(first.manifest.action_key, second.manifest.action_key);
    assert_eq!(first.binary, second.binary);
    assert_eq!(first.pipeline, second.pipeline);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_builds_at_once_compile_once() {
    let Some(bundle) = bundle() else { return };
    let directory = tempfile::tempdir().unwrap();
    let phases = Arc::new(Mutex::new(Vec::new()));
    let builds: Vec<_> = (0..4)
        .map(|_| {
            let mut options = options(&bundle, directory.path());
            let phases = phases.clone();
            options.progress = Some(Arc::new(move |phase| phases.lock().unwrap().push(phase)));
            tokio::spawn(async move { build(&program("at once"), &options).await.unwrap() })
        })
        .collect();
    let mut built = Vec::new();
    for build in builds {
        built.push(build.await.unwrap());
    }
    assert_eq!(built.iter().filter(|built| !built.cached).count(), 1);
    assert!(built.iter().all(|one| one.binary == built[0].binary));
    assert_eq!(phases.lock().unwrap().iter().filter(|phase| **phase == "rustc").count(), 1);
}

#[tokio::test]
async fn code_that_does_not_compile_is_our_bug_with_a_log() {
    let Some(bundle) = bundle() else { return };
    let directory = tempfile::tempdir().unwrap();
    let options = options(&bundle, directory.path());
    let error = build(&compiled("fn main() { let x: u8 = \"text\"; }"), &options).await.unwrap_err();
    let BuildError::Rejected { summary, log } = &error else { panic!("{error}") };
    assert_eq!(summary, "error[E0308]: mismatched types");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("src/main.rs:1:") && log.contains("===== src/main.rs\nfn main()"), "{log}");
    assert!(error.hint().unwrap().contains("please report it"));
    assert_eq!(names(&options.build_dir), [""; 0]);
    assert_eq!(names(&directory.path().join("artifacts/ac")), [""; 0], "and there is no artifact");
}

#[tokio::test]
async fn a_build_that_is_dropped_or_too_slow_leaves_nothing() {
    let Some(bundle) = bundle() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&bundle, directory.path());
    // A compiler that never ends, and has a child that would not end either.
    let compiler = directory.path().join("rustc");
    let version = bundle.spec().rustc.join("\n");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = -vV ]; then echo '{version}'; exit; fi\nsleep 1000 &\necho $! > {}/child\nwait\n",
        directory.path().display()
    );
    std::fs::write(&compiler, script).unwrap();
    std::fs::set_permissions(&compiler, PermissionsExt::from_mode(0o755)).unwrap();
    options.rustc = Some(compiler);
    let child = || std::fs::read_to_string(directory.path().join("child")).unwrap();
    let gone = |pid: String| !Path::new("/proc").join(pid.trim()).exists() || is_zombie(&pid);

    let compiled = program("never");
    let cancelled = tokio::time::timeout(Duration::from_millis(500), build(&compiled, &options)).await;
    assert!(cancelled.is_err());
    assert!(gone(child()), "the whole group is killed");
    assert_eq!(names(&options.build_dir), [""; 0]);

    options.time_limit = Duration::from_millis(500);
    let error = build(&compiled, &options).await.unwrap_err();
    assert!(matches!(error, BuildError::TimedOut { .. }), "{error}");
    assert!(gone(child()));
    assert_eq!(names(&options.build_dir), [""; 0]);
    assert_eq!(names(&directory.path().join("artifacts/ac")), [""; 0]);

    options.rustc = None;
    options.time_limit = BuildOptions::TIME_LIMIT;
    assert!(!build(&compiled, &options).await.unwrap().cached, "and the next one builds");
}

/// A killed process stays listed until its parent, here the system's first process, has noticed.
fn is_zombie(pid: &str) -> bool {
    std::thread::sleep(Duration::from_millis(50));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[tokio::test]
async fn a_damaged_binary_is_built_again() {
    let Some(bundle) = bundle() else { return };
    let directory = tempfile::tempdir().unwrap();
    let options = options(&bundle, directory.path());
    let compiled = program("damaged");
    let first = build(&compiled, &options).await.unwrap();
    let path = options.store.blob_path(&first.binary.digest);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let error = options.store.fetch(&first.binary.digest, &directory.path().join("x")).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let second = build(&compiled, &options).await.unwrap();
    assert!(!second.cached);
    assert_eq!(second.binary, first.binary);
}

#[tokio::test]
async fn no_compiler_is_said_before_anything_else() {
    let Some(bundle) = bundle() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&bundle, directory.path());
    options.rustc = Some("/no/such/rustc".into());
    let error = build(&program("no compiler"), &options).await.unwrap_err();
    assert_eq!(error.to_string(), "no Rust compiler found: cannot run \"/no/such/rustc\"");
    assert!(!options.build_dir.exists());
}
