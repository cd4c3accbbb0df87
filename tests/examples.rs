//! What the documents show: the queries below `examples/` give the rows that they gave, the README's first query prints
//! the rows that stand below it, and every SQL script in a document compiles.
//!
//! An example runs at parallelism 1 and 3, from the root of the repository, as its README says. How many rows it gives,
//! and the digest of them, is in `examples/<where>/<query>.txt` beside this file; `UPDATE_EXPECT=1` writes it.
//!
//! A block of SQL that is no whole script is marked: behind its fence stands `sql fragment`. It must not compile, as
//! what does is a script.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "harness/program.rs"]
mod program;
#[path = "harness/rows.rs"]
mod rows;
#[path = "harness/world.rs"]
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use artifacts::Digest;
use compiler_driver::{CompileOptions, CompileRequest, compile, render};
use libtest_mimic::{Arguments, Trial};

use world::World;

/// What an example also runs at.
const PARALLEL: usize = 3;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // An example is a compiler or three tasks: more of them at once only make each other slow.
    arguments.test_threads.get_or_insert(2);
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>, String> {
    let mut trials = vec![trial("README.md, its first query".to_owned(), first_query)];
    for query in files(&root().join("examples"), "sql")? {
        trials.push(trial(shown(&query), move || example(&query)));
    }
    let mut documents = vec![root().join("README.md")];
    documents.extend(files(&root().join("docs"), "md")?);
    documents.extend(files(&root().join("examples"), "md")?);
    for document in documents {
        for block in blocks(&document)?.into_iter().filter(Block::is_sql) {
            trials.push(trial(block.place.clone(), move || compiles(&block)));
        }
    }
    Ok(trials)
}

fn trial(name: String, test: impl FnOnce() -> Result<(), String> + Send + 'static) -> Trial {
    Trial::test(name, move || test().map_err(Into::into))
}

/// The README shows a query and, in the block of the console, the first rows of it.
fn first_query() -> Result<(), String> {
    let blocks = blocks(&root().join("README.md"))?;
    let at = blocks.iter().position(Block::is_sql).ok_or("README.md has no query")?;
    let console = blocks[at..].iter().find(|block| block.info == "console").ok_or("README.md has no console")?;
    let expected: Vec<&str> = console.text.lines().filter(|line| !line.starts_with("$ ")).collect();
    let rows = run(&blocks[at].text, 1)?;
    let found: Vec<&str> = rows.iter().take(expected.len()).map(String::as_str).collect();
    match !expected.is_empty() && found == expected {
        true => Ok(()),
        false => Err(format!("{} shows\n{}\nbut it is\n{}", console.place, expected.join("\n"), found.join("\n"))),
    }
}

fn example(query: &Path) -> Result<(), String> {
    let sql = read(query)?;
    let (one, many) = (run(&sql, 1)?, run(&sql, PARALLEL)?);
    rows::same(&format!("parallelism {PARALLEL} differs from 1"), &one, &many)?;
    let found = format!("{} rows\nsha256 {}\n", one.len(), Digest::of(rows::rounded(&one)));
    let path = root().join("tests").join(shown(query)).with_extension("txt");
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        let directory = path.parent().ok_or("a file has a directory")?;
        return fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, &found))
            .map_err(|error| format!("{}: {error}", path.display()));
    }
    let expected = read(&path).map_err(|error| format!("{error}\nUPDATE_EXPECT=1 writes it. Found:\n{found}"))?;
    match found == expected {
        true => Ok(()),
        false => Err(format!("expected\n{expected}found\n{found}UPDATE_EXPECT=1 accepts that")),
    }
}

/// The rows that a query prints.
fn run(sql: &str, parallelism: usize) -> Result<Vec<String>, String> {
    let world = World::get()?;
    let options = CompileOptions { parallelism, ..CompileOptions::default() };
    let compiled =
        compile(&CompileRequest::new(sql, options)).map_err(|wrong| render(&wrong, "the query", sql, false))?;
    let binary = world.build(&compiled)?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let plan = directory.path().join("plan.json");
    let json = serde_json::to_string(&compiled.plan).map_err(|error| error.to_string())?;
    fs::write(&plan, json).map_err(|error| format!("{}: {error}", plan.display()))?;
    let output = Command::new(&binary)
        .args(["run", "--plan"])
        .arg(&plan)
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()),
        false => Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

fn compiles(block: &Block) -> Result<(), String> {
    let compiled = compile(&CompileRequest::new(block.text.as_str(), CompileOptions::default()));
    match (compiled, block.info == FRAGMENT) {
        (Ok(_), true) => Err("it compiles: it is a whole script and no fragment".to_owned()),
        (Err(wrong), false) => Err(render(&wrong, &block.place, &block.text, false)),
        (Ok(_), false) | (Err(_), true) => Ok(()),
    }
}

/// A fenced block of a document.
struct Block {
    /// `document:line`, where its text begins.
    place: String,
    /// What stands behind the fence.
    info: String,
    text: String,
}

const FRAGMENT: &str = "sql fragment";

impl Block {
    fn is_sql(&self) -> bool {
        self.info == "sql" || self.info == FRAGMENT
    }
}

fn blocks(document: &Path) -> Result<Vec<Block>, String> {
    let mut blocks = vec![];
    let mut open: Option<Block> = None;
    for (number, line) in read(document)?.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(info), None) => {
                let place = format!("{}:{}", shown(document), number + 2);
                open = Some(Block { place, info: info.trim().to_owned(), text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    Ok(blocks)
}

/// Files below a directory with that extension, in order.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut found = vec![];
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Below the root of the repository.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
