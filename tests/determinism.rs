//! The same query makes the same bytes, whoever compiles it, and wherever.
//!
//! Real queries are compiled three times: by this test, whose store may have the binary since long ago, and by two
//! users who have never compiled anything, with a home, a directory for temporary files, a working directory, a build
//! directory and a store each. What they get must be the same: the generated files, the binary, the manifests but for
//! when and how fast, and so the pipeline's digest.
//!
//! Not here: a bundle that lies elsewhere, and builds at the same time (`compiler/service/tests/build.rs`).

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "harness/program.rs"]
mod program;
#[path = "harness/world.rs"]
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use artifacts::{Digest, Store};
use compiler_driver::{CompileOptions, CompileRequest, Compiled, View, compile_with_views, render};
use serde_json::Value;
use tempfile::TempDir;

use world::World;

/// A tumble, with kernel calls before it and in what it aggregates.
const KERNELS: &str = "tests/sql/window/computed_arguments/query.sql";
/// Three tumbles; more than 24 KiB of code, which two threads compile.
const TWO_UNITS: &str = "bench/queries/compile/five_inserts.sql";

/// Somebody who has never compiled anything.
struct User {
    home: PathBuf,
    /// Holds the home.
    _directory: TempDir,
}

impl User {
    /// Two of them: alike in nothing that a path can be unlike in.
    fn both() -> [User; 2] {
        ["a", "somebody else/much/deeper/down"].map(|home| {
            let directory = tempfile::tempdir().unwrap();
            let home = directory.path().join(home);
            for below in ["work", "tmp"] {
                fs::create_dir_all(home.join(below)).unwrap();
            }
            User { home, _directory: directory }
        })
    }

    /// What `streamwright ARGUMENTS` prints when they type it. Whatever it keeps, it keeps below their home.
    fn streamwright(&self, arguments: &[&str]) -> String {
        let output = Command::new(the_program())
            .args(arguments)
            .current_dir(self.home.join("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", &self.home)
            .env("TMPDIR", self.home.join("tmp"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `build --json` says of a query that is compiled for the first time.
    fn build(&self, query: &Path) -> Value {
        let report: Value =
            serde_json::from_str(&self.streamwright(&["build", "--json", query.to_str().unwrap()])).unwrap();
        assert_eq!(report["cached"], false);
        report
    }

    /// The digest of the binary that lies in their store, by that name.
    fn stored(&self, binary: &Digest) -> Digest {
        let store = Store::open(self.home.join(".cache/streamwright/artifacts").to_str().unwrap()).unwrap();
        Digest::of_file(&store.blob_path(binary)).unwrap()
    }
}

/// The program, with its toolchain bundle sealed: a user without a cargo of their own could not do that.
fn the_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        World::get().unwrap();
        program::build().unwrap()
    })
}

fn path(query: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(query)
}

fn compiled(query: &str) -> Compiled {
    let sql = fs::read_to_string(path(query)).unwrap();
    compile_with_views(&CompileRequest::new(sql.as_str(), CompileOptions::default()))
        .unwrap_or_else(|wrong| panic!("{}", render(&wrong, query, &sql, false)))
}

/// Everybody builds the query. The manifest that they all get, without what only tells of the build.
fn built_alike(query: &str) -> Value {
    let compiled = compiled(query);
    let ours = World::get().unwrap().build(&compiled).unwrap();
    let binary = Digest::of_file(&ours).unwrap();
    let [first, second] = User::both().map(|user| {
        let mut report = user.build(&path(query));
        assert_eq!(report["code"], compiled.code.as_str());
        assert_eq!(report["binary"]["digest"], binary.to_string().as_str());
        assert_eq!(report["binary"], report["manifest"]["outputs"]["pipeline"]);
        assert_eq!(user.stored(&binary), binary);
        let manifest = report["manifest"].as_object_mut().unwrap();
        for tells in ["phases", "created_at"] {
            assert!(manifest.remove(tells).is_some(), "{tells}");
        }
        report
    });
    assert_eq!(first["manifest"], second["manifest"]);
    assert_eq!(first["pipeline"], second["pipeline"]);
    first["manifest"].clone()
}

#[test]
fn a_window_with_kernels_is_the_same_bytes_for_everybody() {
    built_alike(KERNELS);
}

#[test]
fn code_that_two_threads_compile_is_the_same_bytes_for_everybody() {
    let manifest = built_alike(TWO_UNITS);
    let flags = manifest["flags"].as_array().unwrap();
    assert!(flags.iter().any(|flag| flag == "codegen-units=2"), "{flags:?}");
}

#[test]
fn the_generated_files_are_the_same_wherever_they_are_generated() {
    let users = User::both();
    for query in [KERNELS, TWO_UNITS] {
        let ours = compiled(query);
        for user in &users {
            let theirs = user.streamwright(&["explain", "--view", "rust", path(query).to_str().unwrap()]);
            assert!(theirs.trim_end() == ours.view(View::Rust).trim_end(), "{query}, in {}", user.home.display());
        }
    }
}
