//! The rules of the repository that a compiler does not check.
//!
//! - Who may know whom (`docs/architecture.md`): as absences in the graph of dependencies, reached through any number
//!   of our own crates. What the crates of others depend on is not looked at.
//! - Of the compiler only the service does IO.
//! - Every source file begins with what it is for; nothing is left to be done in it.
//! - Only tests put mutants in.
//! - Every document is reachable from the README.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Names of the direct dependencies of each of our crates; those of its tests are its own business.
struct Dependencies {
    of: BTreeMap<String, BTreeSet<String>>,
}

impl Dependencies {
    fn read() -> Dependencies {
        let metadata: Metadata =
            MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
        let of = metadata.packages.iter().map(|package| {
            let normal =
                package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
            (package.name.to_string(), normal.map(|dependency| dependency.name.clone()).collect())
        });
        Dependencies { of: of.collect() }
    }

    fn crates(&self) -> impl Iterator<Item = &str> {
        self.of.keys().map(String::as_str)
    }

    /// All that a crate reaches through crates of ours, itself left out.
    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![from];
        while let Some(name) = waiting.pop() {
            for next in self.of.get(name).into_iter().flatten() {
                if reached.insert(next.as_str()) {
                    waiting.push(next);
                }
            }
        }
        reached
    }
}

/// Is `name` `what`, or does it start with it where it ends in `*`? `this but that` is this and not that.
fn is(name: &str, what: &str) -> bool {
    if let Some((what, but)) = what.split_once(" but ") {
        return is(name, what) && !is(name, but);
    }
    match what.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == what,
    }
}

/// `crate`, and what must not be reached from it.
const ABSENT: &[(&str, &[&str])] = &[
    (
        "schema",
        &["compiler-*", "connectors-*", "worker-lib", "kernels", "formats", "protocol", "artifacts", "controller"],
    ),
    ("compiler-ir", &["compiler-*", "datafusion*", "sqlparser", "syn", "quote", "worker-lib"]),
    (
        "compiler-sql",
        &["compiler-codegen", "compiler-driver", "compiler-service", "syn", "quote", "worker-lib", "tokio"],
    ),
    ("compiler-codegen", &["compiler-sql", "datafusion*", "sqlparser", "worker-lib", "kernels", "tokio"]),
    ("compiler-driver", &["compiler-service", "worker-lib", "tokio", "artifacts", "object_store"]),
    ("compiler-service", &["cli", "worker-lib", "controller", "connectors-* but connectors-options"]),
    ("codegen-templates", &["*"]),
    ("worker-lib", &["compiler-*", "datafusion*", "sqlparser", "sqlx", "controller", "connectors-*", "kernels"]),
    ("kernels", &["compiler-*", "worker-lib", "connectors-*", "sqlparser", "protocol"]),
    ("formats", &["compiler-*", "worker-lib", "connectors-*", "kernels", "datafusion*"]),
    ("connectors-options", &["worker-lib", "object_store", "tokio", "kernels", "datafusion*"]),
    ("protocol", &["compiler-*", "worker-lib", "connectors-*", "controller", "kernels", "datafusion*"]),
    ("artifacts", &["compiler-*", "worker-lib", "connectors-*", "controller", "protocol", "datafusion*", "arrow"]),
    ("controller", &["compiler-*", "worker-lib", "connectors-*", "kernels", "datafusion*"]),
];

/// `crate`, and what it must not name, though it reaches it: that is the business of the crates between them.
const UNNAMED: &[(&str, &[&str])] = &[
    ("compiler-service", &["codegen-templates", "schema", "protocol", "kernels", "formats", "arrow"]),
    ("cli", &["codegen-templates", "schema", "formats", "arrow", "parquet", "tonic*", "prost*"]),
];

/// A crate, and the only crates of ours that name it.
const ALONE: &[(&str, &[&str])] = &[
    ("compiler-sql", &["compiler-driver"]),
    ("compiler-codegen", &["compiler-driver"]),
    ("compiler-ir", &["compiler-sql", "compiler-codegen", "compiler-driver"]),
    ("compiler-service", &["cli"]),
    ("datafusion*", &["compiler-sql", "kernels"]),
    ("object_store", &["artifacts"]),
    ("sqlparser", &["compiler-sql"]),
    ("sqlx", &["controller"]),
    ("syn", &["compiler-codegen"]),
    ("quote", &["compiler-codegen"]),
    ("prettyplease", &["compiler-codegen"]),
];

#[test]
fn nobody_knows_what_they_must_not() {
    let dependencies = Dependencies::read();
    let mut wrong = vec![];
    for (name, absent) in ABSENT {
        assert!(dependencies.of.contains_key(*name), "there is no crate {name}");
        for found in dependencies.reached(name) {
            if absent.iter().any(|what| is(found, what)) {
                wrong.push(format!("{name} reaches {found}"));
            }
        }
    }
    for (name, unnamed) in UNNAMED {
        for found in &dependencies.of[*name] {
            if unnamed.iter().any(|what| is(found, what)) {
                wrong.push(format!("{name} names {found}"));
            }
        }
    }
    for name in dependencies.crates() {
        for found in &dependencies.of[name] {
            for (what, allowed) in ALONE {
                if is(found, what) && !allowed.contains(&name) && name != "tests" && name != "bench" {
                    wrong.push(format!("{name} names {found}, which is for {}", allowed.join(", ")));
                }
            }
            let connector = |name: &str| name.starts_with("connectors-") && name != "connectors-options";
            if connector(name) && connector(found) {
                wrong.push(format!("connector {name} knows connector {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files of ours with that extension.
fn files(extension: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if entry.is_dir() {
                if name != "target" && name != "node_modules" && !name.starts_with('.') {
                    walk(&entry, extension, found);
                }
            } else if entry.extension().is_some_and(|found| found == extension) {
                found.push(entry);
            }
        }
    }
    let mut found = vec![];
    walk(&root(), extension, &mut found);
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// What reads, writes, listens or starts something.
const IO: [&str; 4] = ["std::fs", "std::net", "std::process", "tokio"];

#[test]
fn of_the_compiler_only_the_service_does_io() {
    let mut wrong = vec![];
    for room in ["sql", "ir", "codegen", "driver"] {
        let sources = root().join("compiler").join(room).join("src");
        let is_test = |path: &Path| path.starts_with(sources.join("tests")) || path.ends_with("tests.rs");
        for path in files("rs").iter().filter(|path| path.starts_with(&sources) && !is_test(path)) {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for (line, text) in code.lines().enumerate().filter(|(_, text)| !text.trim_start().starts_with("//")) {
                if let Some(io) = IO.iter().find(|io| text.contains(**io)) {
                    wrong.push(format!("{}:{}: {io}", shown(path), line + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let mut wrong = vec![];
    for path in files("rs") {
        // Expected output of the code generator, which has a header of its own.
        if path.file_name().is_some_and(|name| name == "pipeline.rs") && path.starts_with(root().join("tests/sql")) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not begin with //!", shown(&path)));
        }
        if text.contains("//! (being written)") && !path.ends_with("tests/tidy.rs") {
            wrong.push(format!("{}: is not written", shown(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_to_be_done() {
    // Written apart, so that they are not found here.
    let words =
        [["to", "do!("].concat(), ["un", "implemented!("].concat(), ["FIX", "ME"].concat(), ["TO", "DO"].concat()];
    let mut wrong = vec![];
    for path in files("rs") {
        for (line, text) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            if let Some(word) = words.iter().find(|word| text.contains(word.as_str())) {
                wrong.push(format!("{}:{}: {word}", shown(&path), line + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_tests_put_mutants_in() {
    // Written apart, so that it is not found here.
    let switch = ["mutant::", "during"].concat();
    let is_rooms = |path: &PathBuf| !path.starts_with(root().join("tests"));
    let throws = |path: &PathBuf| fs::read_to_string(path).unwrap().contains(&switch);
    let wrong: Vec<_> = files("rs").into_iter().filter(is_rooms).filter(throws).map(|path| shown(&path)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_document_can_be_reached() {
    let documents = files("md");
    let mut reached = BTreeSet::new();
    let mut waiting = vec![root().join("README.md")];
    let mut wrong = vec![];
    while let Some(path) = waiting.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            wrong.push(format!("{}: is linked and does not exist", shown(&path)));
            continue;
        };
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let to = path.parent().unwrap().join(link);
            match to.canonicalize() {
                Ok(to) if to.extension().is_some_and(|extension| extension == "md") => waiting.push(to),
                Ok(_) => {}
                Err(_) => wrong.push(format!("{}: link to {link} leads nowhere", shown(&path))),
            }
        }
    }
    for path in documents {
        if !reached.contains(&path) && path.starts_with(root().join("docs")) {
            wrong.push(format!("{}: nothing leads there from README.md", shown(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
