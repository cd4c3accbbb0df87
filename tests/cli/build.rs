//! `build`, and the builds that `run` begins with: what is in the store, what is not built again, and what happens when
//! a compiler, a bundle or an artifact is not as it should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use artifacts::{Digest, DigestWriter, Store};
use serde_json::{Value, json};

use crate::user::{BEATS, LAST_BEATS, User, is_alive, names, wait_for_end_of};

const NO_COMPILER: &str = "compiler.rustc=/no/such/rustc";

/// What `build --json` says of one query.
fn build(user: &User, arguments: &[&str]) -> Value {
    let mut command = user.command(&["build", "--json"]);
    command.args(arguments);
    let mut reports = user.start(command).ended().with_code(0).rows();
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

fn digest(value: &Value) -> Digest {
    value.as_str().unwrap().parse().unwrap()
}

fn phases(report: &Value) -> Vec<&str> {
    report["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect()
}

fn store(user: &User) -> Store {
    Store::open(user.artifacts().to_str().unwrap()).unwrap()
}

#[test]
fn a_build_is_reported_with_digests_and_phases() {
    let user = User::with_empty_store();
    let report = build(&user, &[BEATS]);
    assert_eq!(report["query"], "<argument>");
    assert_eq!(report["cached"], false);
    assert_eq!(phases(&report), ["lookup", "write", "rustc", "store", "manifest", "plan"]);
    assert!(!report["passes"].as_array().unwrap().is_empty());
    assert!(report["generated_lines"].as_u64().unwrap() > 0);
    assert_eq!(report["artifact_url"], format!("file://{}", user.artifacts().display()));

    let (store, manifest) = (store(&user), &report["manifest"]);
    let binary = digest(&report["binary"]["digest"]);
    assert_eq!(report["binary"], manifest["outputs"]["pipeline"]);
    assert_eq!(fs::metadata(store.blob_path(&binary)).unwrap().len(), report["binary"]["size"].as_u64().unwrap());
    let pipeline = store.pipeline(&digest(&report["pipeline"])).unwrap();
    assert_eq!((pipeline.binary.digest, pipeline.code), (binary, digest(&report["code"])));
    let stored = store.manifest(&digest(&manifest["action_key"])).unwrap().unwrap();
    assert_eq!(json!(stored), *manifest);
    assert_eq!(names(&user.build_dir()), [""; 0]);
}

#[test]
fn what_is_built_is_found_again_without_a_compiler() {
    let user = User::with_empty_store();
    let first = build(&user, &[BEATS]);
    let other_layout = format!("\n-- the same\n{}", BEATS.replace(' ', "\n  "));
    let other_data = BEATS.replace("message_count = 5", "message_count = 6");
    for (query, same_pipeline) in [(BEATS, true), (other_layout.as_str(), true), (other_data.as_str(), false)] {
        let report = build(&user, &["--set", NO_COMPILER, query]);
        assert_eq!(report["cached"], true);
        assert_eq!(phases(&report), ["lookup", "plan"]);
        assert_eq!((&report["binary"], &report["code"]), (&first["binary"], &first["code"]));
        assert_eq!(report["pipeline"] == first["pipeline"], same_pipeline, "{query}");
    }
    let wider = build(&user, &["--set", NO_COMPILER, "-p", "3", BEATS]);
    assert_eq!((&wider["cached"], &wider["binary"]), (&json!(true), &first["binary"]));
    let ran = user.streamwright(&["run", "--set", NO_COMPILER, &other_data]).with_code(0).saying("found compiled in ");
    assert_eq!(ran.rows().len(), 6);
}

#[test]
fn several_queries_are_one_object_a_line() {
    let user = User::new();
    user.write("last.sql", LAST_BEATS);
    let reports = user.streamwright(&["build", "--json", BEATS, "last.sql"]).with_code(0).rows();
    let origins: Vec<_> = reports.iter().map(|report| &report["query"]).collect();
    assert_eq!(origins, ["<argument>", "last.sql"]);
    assert_ne!(reports[0]["binary"], reports[1]["binary"]);
}

#[test]
fn wrong_queries_do_not_keep_others_from_being_built() {
    let user = User::new();
    user.write("wrong.sql", "SELECT nothing FROM nowhere");
    user.write("last.sql", LAST_BEATS);
    let ended = user.streamwright(&["build", "--json", "wrong.sql", BEATS, "missing.sql", "last.sql"]).with_code(3);
    let ended = ended.saying("table \"nowhere\" does not exist").saying("cannot read the query \"missing.sql\"");
    assert_eq!(ended.rows().len(), 2);
}

#[test]
fn the_same_query_is_the_same_bytes_for_anybody_anywhere() {
    let [first, second] = ["here", "much/deeper/down/than/that"].map(|place| {
        let user = User::with_empty_store();
        let home = user.path(place);
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("beats.sql"), BEATS).unwrap();
        let (store, work) = (home.join("store"), format!("compiler.build-dir={}", home.join("work").display()));
        let mut command = user.command(&["build", "--json", "beats.sql", "--set", &work]);
        command.arg("--artifact-url").arg(&store).current_dir(&home).env("HOME", &home);
        let report = user.start(command).ended().with_code(0).rows().remove(0);
        assert_eq!(report["cached"], false);
        assert_eq!((names(&home.join("work")).len(), names(&store.join("ac")).len()), (0, 1));
        assert_eq!(names(&user.artifacts()), [""; 0], "the default store is not touched");
        report
    });
    let facts = |report: &Value| ["pipeline", "binary", "code"].map(|fact| report[fact].clone());
    assert_eq!(facts(&first), facts(&second));
    assert_eq!(first["manifest"]["action_key"], second["manifest"]["action_key"]);
}

#[test]
fn directories_and_compiler_of_a_build_may_be_relative() {
    let user = User::with_empty_store();
    script(&user.path("compiler"), "exec rustc \"$@\"");
    let compiler = ["--set", "compiler.rustc=./compiler"];
    let settings = ["--set", "compiler.build-dir=work", "--set", "compiler.artifact-url=store"];
    assert_eq!(build(&user, &[settings.as_slice(), &compiler, &[BEATS]].concat())["cached"], false);
    assert_eq!((names(&user.path("work")).len(), names(&user.path("store/ac")).len()), (0, 1));
}

// --- compilers and bundles -----------------------------------------------------------------------------------------

#[test]
fn a_compiler_that_is_missing_or_another_is_said_with_the_remedy() {
    let user = User::with_empty_store();
    let other = script(&user.path("rustc"), "echo 'rustc 1.0.0 (a59de37e9 2015-05-13)'");
    let other = format!("compiler.rustc={}", other.display());
    for command in ["run", "build"] {
        let refused = user.streamwright(&[command, "--set", NO_COMPILER, BEATS]).with_code(4).without_rows();
        refused.saying("no Rust compiler found: cannot run \"/no/such/rustc\"").saying("https://rustup.rs");
        let refused = user.streamwright(&[command, "--set", &other, BEATS]).with_code(4).without_rows();
        refused.saying("rustc\" is rustc 1.0.0 (a59de37e9 2015-05-13)").saying("hint: install that version");
    }
    assert!(!user.build_dir().exists(), "nothing was begun");
}

#[test]
fn a_bundle_that_is_missing_damaged_or_for_another_compiler_is_said_with_the_remedy() {
    let user = User::with_empty_store();
    let bundle = |name: &str, spec: &Value| {
        let directory = user.path(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("bundle.json"), spec.to_string()).unwrap();
    };
    let mut spec = bundle_spec("rustc 1.0.0 (a59de37e9 2015-05-13)");
    bundle("old", &spec);
    spec["target"] = "x86_64-pc-windows-msvc".into();
    bundle("damaged", &spec);
    for (name, message, remedy) in [
        ("old", "the toolchain bundle needs rustc 1.0.0 (a59de37e9 2015-05-13)", "rustup toolchain install 1.0.0"),
        ("damaged", "bundle.json has been changed", "write the bundle again with `streamwright bundle DIR`"),
        ("missing", "there is no toolchain bundle in \"missing\"", "set compiler.bundle to a directory"),
    ] {
        let setting = format!("compiler.bundle={name}");
        let refused = user.streamwright(&["run", "--set", &setting, BEATS]).with_code(4).without_rows();
        refused.saying(message).saying(remedy);
    }
}

#[test]
fn a_bundle_that_has_been_written_builds_the_same_binary() {
    let user = User::with_empty_store();
    let own = build(&user, &[BEATS]);
    let written = user.streamwright(&["bundle", "toolchain"]).with_code(0);
    assert!(written.stdout.contains("Set compiler.bundle to this directory"), "{}", written.stdout);
    let elsewhere = ["--set", "compiler.bundle=toolchain", "--artifact-url", "elsewhere"];
    let other = build(&user, &[elsewhere.as_slice(), &[BEATS]].concat());
    assert_eq!((&other["cached"], &other["binary"]), (&json!(false), &own["binary"]));
}

/// `bundle.json` of a bundle without libraries.
fn bundle_spec(rustc: &str) -> Value {
    let target = "x86_64-unknown-linux-gnu";
    // Lines of the compiler's version, target, flags, crates, files: each as a list.
    let lists: [&[&str]; 5] = [&[rustc], &[target], &[], &[], &[]];
    let mut digest = DigestWriter::default();
    for list in lists {
        digest.part(list.len().to_string());
        list.iter().for_each(|item| digest.part(item));
    }
    let digest = digest.finish().to_string();
    json!({ "digest": digest, "rustc": [rustc], "target": target, "flags": [], "crates": {}, "files": [] })
}

#[test]
fn a_build_directory_that_cannot_be_made_is_named() {
    let user = User::with_empty_store();
    user.write("file", "no directory");
    let refused = user.streamwright(&["run", "--set", "compiler.build-dir=file/work", BEATS]).with_code(4);
    refused.without_rows().saying("file/work\": Not a directory").saying("set compiler.build-dir to a directory");
}

// --- builds that do not come to their end --------------------------------------------------------------------------

/// A compiler of the right version that compiles for ever.
struct Endless {
    setting: String,
    pid_file: PathBuf,
}

impl Endless {
    fn new(user: &User) -> Endless {
        let version = Command::new("rustc").arg("-vV").current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        let pid_file = user.path("compiler.pid");
        let path = script(
            &user.path("rustc"),
            &format!(
                "if [ \"$1\" = -vV ]; then echo '{}'; exit; fi\necho $$ > '{}'\nexec sleep 1000",
                version.trim(),
                pid_file.display()
            ),
        );
        Endless { setting: format!("compiler.rustc={}", path.display()), pid_file }
    }

    /// Its process, once it compiles.
    fn pid(&self) -> Option<u32> {
        fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()
    }

    fn kill(&self) {
        if let Some(pid) = self.pid().filter(|pid| is_alive(*pid)) {
            // SAFETY: `kill` takes numbers. The process sleeps for longer than any test waits, so it is still ours.
            unsafe { libc::kill(i32::try_from(pid).unwrap(), libc::SIGKILL) };
        }
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.kill();
    }
}

fn script(path: &Path, text: &str) -> PathBuf {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    path.to_owned()
}

#[test]
fn a_build_that_is_killed_leaves_no_artifact_and_the_next_one_works() {
    let user = User::with_empty_store();
    let compiler = Endless::new(&user);
    let mut running = user.start(user.command(&["run", "-s", "state", "--set", &compiler.setting, BEATS]));
    running.wait_until("compiler", |_| compiler.pid().is_some());
    running.signal(libc::SIGKILL);
    assert_eq!(running.ended().code, None);
    compiler.kill();
    assert_eq!(names(&user.artifacts().join("ac")), [""; 0]);
    assert_eq!(names(&user.build_dir()).len(), 2, "the dead build's directory and lock");

    let next = user.streamwright(&["run", "-s", "state", BEATS]).with_code(0);
    assert!(!next.stderr.contains("found compiled"), "{}", next.stderr);
    assert_eq!(next.rows().len(), 5);
    assert_eq!(names(&user.artifacts().join("ac")).len(), 1);
    assert_eq!(names(&user.build_dir()), [""; 0]);
}

#[test]
fn ctrl_c_while_compiling_ends_the_compiler_and_leaves_nothing() {
    let user = User::with_empty_store();
    let compiler = Endless::new(&user);
    let mut running = user.start(user.command(&["run", "--set", &compiler.setting, BEATS]));
    running.wait_until("compiler", |_| compiler.pid().is_some());
    running.signal(libc::SIGINT);
    running.ended().with_code(130).without_rows().saying("given up");
    wait_for_end_of(compiler.pid().unwrap());
    assert_eq!(names(&user.artifacts().join("ac")), [""; 0]);
    assert_eq!(names(&user.build_dir()), [""; 0]);
}

// --- artifacts that are not what they were -------------------------------------------------------------------------

/// Changes a file of the store. Files there are read-only, but may be replaced.
fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_artifact_is_not_executed() {
    let user = User::with_empty_store();
    let binary = digest(&build(&user, &[BEATS])["binary"]["digest"]);
    let blob = store(&user).blob_path(&binary);
    damage(&blob, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let refused = user.streamwright(&["run", "-s", "state", BEATS]).with_code(1).without_rows();
    refused
        .saying(&format!("artifact {binary} in file://{} is damaged", user.artifacts().display()))
        .saying("it has been moved to quarantine/; build the pipeline again");
    assert!(!blob.exists());
    assert_eq!(names(&user.artifacts().join("quarantine")).len(), 1);
    assert_eq!(names(&user.path("state/jobs")), [""; 0]);

    let again = user.streamwright(&["run", "-s", "state", BEATS]).with_code(0);
    assert_eq!(again.rows().len(), 5);
    assert_eq!(Digest::of_file(&blob).unwrap(), binary);
}

#[test]
fn an_artifact_that_is_cut_off_or_gone_is_built_again() {
    let user = User::with_empty_store();
    let report = build(&user, &[BEATS]);
    let store = store(&user);
    let blob = store.blob_path(&digest(&report["binary"]["digest"]));
    let manifest = store.manifest_path(&digest(&report["manifest"]["action_key"]));
    let damages: [&dyn Fn(); 4] = [
        &|| damage(&blob, |bytes| bytes.truncate(bytes.len() / 2)),
        &|| fs::remove_file(&blob).unwrap(),
        &|| damage(&manifest, |bytes| bytes.truncate(bytes.len() / 2)),
        &|| fs::remove_file(&manifest).unwrap(),
    ];
    for damage in damages {
        damage();
        let rebuilt = build(&user, &[BEATS]);
        assert_eq!((&rebuilt["cached"], &rebuilt["binary"]), (&json!(false), &report["binary"]));
        assert_eq!(user.streamwright(&["run", BEATS]).with_code(0).rows().len(), 5);
    }
}
