//! Plans go in as built by hand, and their text, their graph's and the generated files come out as they are in `golden/`.
//!
//! `UPDATE_EXPECT=1` writes what is expected anew. The sources of all pipelines but `filter_project` stand in
//! `codegen-templates/generated`, where they are compiled.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use compiler_codegen::{Files, generate};
use compiler_ir::*;

mod build;

fn checked(plan: &Plan, parallelism: usize) -> Graph {
    if let Err(findings) = verify::plan(plan) {
        panic!("{}\n{}", findings.join("\n"), print::plan(plan));
    }
    let graph = place::place(plan, parallelism);
    if let Err(findings) = verify::graph(&graph) {
        panic!("{}\n{}", findings.join("\n"), print::graph(&graph));
    }
    graph
}

/// Compares with the files in a directory, or writes them.
fn expect(directory: &Path, files: &Files) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let _ = fs::remove_dir_all(directory);
        for (path, text) in files {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    let mut there = BTreeMap::new();
    read(directory, directory, &mut there);
    let stale = "run the test with UPDATE_EXPECT=1 and review the difference";
    for (path, text) in files {
        assert_eq!(there.get(path), Some(text), "{}: {stale}", directory.join(path).display());
    }
    assert_eq!(there.len(), files.len(), "{}: {stale}", directory.display());
}

fn read(root: &Path, directory: &Path, files: &mut Files) {
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// Where the sources of a pipeline stand.
#[derive(Clone, Copy, PartialEq)]
enum Sources {
    /// Beside the plan and the graph.
    Golden,
    /// In `codegen-templates/generated`, where they are compiled.
    Compiled,
}

fn golden(name: &str, plan: &Plan, sources: Sources) {
    let graph = checked(plan, 4);
    let mut files = generate(&graph);
    assert_eq!(files, generate(&checked(plan, 1)), "{name}: parallelism changes what is generated");
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs")) {
        syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {path}: {error}"));
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if sources == Sources::Compiled {
        let (compiled, rest) = files.into_iter().partition::<Files, _>(|(path, _)| path.starts_with("src/"));
        let compiled =
            compiled.into_iter().map(|(path, text)| (path.trim_start_matches("src/").to_owned(), text)).collect();
        expect(&here.join("../../codegen-templates/generated").join(name), &compiled);
        files = rest;
    }
    files.insert("plan.txt".into(), print::plan(plan));
    files.insert("graph.txt".into(), print::graph(&graph));
    expect(&here.join("tests/golden").join(name), &files);
}

#[test]
fn filter_and_projection() {
    golden("filter_project", &build::filter_project(), Sources::Golden);
}

#[test]
fn the_sample_is_fresh() {
    golden("sample", &build::sample(), Sources::Compiled);
}

#[test]
fn every_native_expression() {
    golden("expressions", &build::expressions(), Sources::Compiled);
}

#[test]
fn kernels_see_only_the_rows_that_reach_them() {
    golden("kernels", &build::kernels(), Sources::Compiled);
}

#[test]
fn a_join_has_two_inputs() {
    golden("joins", &build::joins(), Sources::Compiled);
}

#[test]
fn branches_and_unions() {
    golden("branches", &build::branches(), Sources::Compiled);
}

#[test]
fn updating_aggregates() {
    golden("updating", &build::updating(), Sources::Compiled);
}
