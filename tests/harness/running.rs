//! A query that runs: plan, rows at parallelism 1 and, with its inputs cut in parts, at 3, the oracle's answer, and the
//! rows that are left by crashes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use compiler_driver::{CompileOptions, CompileRequest, Compiled, View, compile_with_views, render};
use protocol::job::JobPlan;
use serde_json::Value;
use tempfile::TempDir;

use super::case::{Case, blessing};
use super::world::World;
use super::{changes, crashing, cut, oracle, rows};

/// Tasks of each stage in the parallel run.
pub(crate) const PARALLEL: usize = 3;
/// The name of standard output among the outputs of a case.
pub(crate) const STDOUT: &str = "stdout";

/// Lines by output: [`STDOUT`], or what follows `$OUT/` in a sink's path, up to the first dot or slash.
pub(crate) type Outputs = BTreeMap<String, Vec<String>>;

pub(crate) fn check(case: &Case, world: &World) -> Result<(), String> {
    let single = Run::compile(case, 1)?;
    let parallel = Run::compile(case, PARALLEL)?;
    if single.compiled.code != parallel.compiled.code {
        return Err("the generated code depends on the parallelism, which is data".to_owned());
    }
    let mut wrong = vec![];
    let mut note = |result: Result<(), String>| wrong.extend(result.err());
    note(case.expect("plan.txt", &parallel.plan_text()));
    if case.has("pipeline.rs") {
        note(case.expect("pipeline.rs", parallel.compiled.view(View::Rust)));
    }
    let binary = world.build(&single.compiled)?;
    let inputs = TempDir::new().map_err(|error| error.to_string())?;
    let mut plan = parallel.plan()?;
    cut::inputs(case, &mut plan, inputs.path())?;
    let one = single.execute(case, &binary, &single.plan()?, &[])?;
    // All state of the parallel run goes to disk after each batch.
    let many = parallel.execute(case, &binary, &plan, &["--state-memory", "0"])?;
    if case.has("error.txt") {
        let expected = case.read("error.txt")?;
        note(one.failed_with(&expected).and(many.failed_with(&expected)));
    } else {
        let (one, many) = (one.outputs("parallelism 1")?, many.outputs("parallelism 3, without memory")?);
        note(compare(case, &one));
        note(same("parallelism 3, without memory, differs from 1", &one, &many));
        note(check_oracle(case, world, &single.compiled, &one));
        note(check_crashes(case, world, &binary, [&single, &parallel], &one));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n")),
    }
}

fn compare(case: &Case, outputs: &Outputs) -> Result<(), String> {
    let text = |lines: &[String]| if case.has(".ordered") { rows::in_order(lines) } else { rows::sorted(lines) };
    match outputs.len() {
        1 => outputs.values().try_for_each(|lines| case.expect("output.jsonl", &text(lines))),
        _ => outputs.iter().try_for_each(|(name, lines)| case.expect(&format!("output.{name}.jsonl"), &text(lines))),
    }
}

pub(crate) fn same(what: &str, expected: &Outputs, found: &Outputs) -> Result<(), String> {
    if expected.keys().ne(found.keys()) {
        let names = |outputs: &Outputs| outputs.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(format!("{what}: outputs are {}, expected {}", names(found), names(expected)));
    }
    expected
        .iter()
        .zip(found.values())
        .try_for_each(|((name, expected), found)| rows::same(&format!("{what}, output {name}"), expected, found))
}

fn check_oracle(case: &Case, world: &World, compiled: &Compiled, outputs: &Outputs) -> Result<(), String> {
    if case.has(".no-oracle") {
        return reason(case, ".no-oracle");
    }
    let expected = world.runtime.block_on(oracle::answer(case, compiled)).map_err(|error| {
        format!("oracle: {error}\n(write oracle.sql, or the reason why there is no answer into .no-oracle)")
    })?;
    same("output differs from DataFusion's", &expected, outputs)
}

fn check_crashes(
    case: &Case,
    world: &World,
    binary: &Path,
    [single, parallel]: [&Run; 2],
    outputs: &Outputs,
) -> Result<(), String> {
    if !crashing::concerns(&single.compiled.plan) {
        return Ok(());
    }
    if case.has(".no-crashes") {
        return reason(case, ".no-crashes");
    }
    let double = Run::compile(case, 2)?;
    crashing::check(case, world, binary, &[single, &double, parallel], outputs)
}

/// A file that keeps a case from a test says why.
fn reason(case: &Case, file: &str) -> Result<(), String> {
    match case.read(file)?.trim().is_empty() && !blessing() {
        true => Err(format!("{file} must hold the reason")),
        false => Ok(()),
    }
}

/// A query compiled for one parallelism, and the directory that its sinks write to.
pub(crate) struct Run {
    compiled: Compiled,
    out: TempDir,
}

impl Run {
    fn compile(case: &Case, parallelism: usize) -> Result<Run, String> {
        let out = TempDir::new().map_err(|error| error.to_string())?;
        let sql = case.query.replace("$OUT", &out.path().to_string_lossy());
        let options = CompileOptions { parallelism, ..CompileOptions::default() };
        let compiled = compile_with_views(&CompileRequest::new(&sql, options))
            .map_err(|diagnostics| render(&diagnostics, "query.sql", &sql, false))?;
        Ok(Run { compiled, out })
    }

    fn plan_text(&self) -> String {
        let text = |view| self.compiled.view(view).replace(&*self.out.path().to_string_lossy(), "$OUT");
        format!("{}\n-- stream\n{}", text(View::Plan), text(View::Stream))
    }

    /// What is compiled, as the worker reads it.
    fn plan(&self) -> Result<Value, String> {
        serde_json::to_value(&self.compiled.plan).map_err(|error| error.to_string())
    }

    /// The plan, with another directory for its sinks.
    pub(crate) fn plan_into(&self, out: &Path) -> Result<JobPlan, String> {
        let plan = self.plan()?.to_string().replace(&*self.out.path().to_string_lossy(), &out.to_string_lossy());
        serde_json::from_str(&plan).map_err(|error| error.to_string())
    }

    fn execute(&self, case: &Case, binary: &Path, plan: &Value, limits: &[&str]) -> Result<Ended, String> {
        let path = self.out.path().join(".plan.json");
        fs::write(&path, plan.to_string()).map_err(|error| error.to_string())?;
        let mut command = Command::new(binary);
        command.args(["run", "--plan"]).arg(&path).current_dir(&case.directory).stdin(Stdio::null());
        command.args(limits).arg("--spill-dir").arg(std::env::temp_dir());
        let output = started(binary, || command.output())?;
        fs::remove_file(&path).map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*self.out.path().to_string_lossy(), "$OUT");
        let mut outputs = Outputs::new();
        if !output.stdout.is_empty() || writes_to_stdout(&self.compiled.plan) {
            outputs.insert(STDOUT.to_owned(), lines(&String::from_utf8_lossy(&output.stdout)));
        }
        collect(self.out.path(), None, &mut outputs)?;
        Ok(Ended {
            success: output.status.success(),
            status: output.status.to_string(),
            stderr: text(&output.stderr),
            outputs,
        })
    }
}

/// Starts a binary that may have been written a moment ago.
pub(crate) fn started<T>(binary: &Path, mut start: impl FnMut() -> io::Result<T>) -> Result<T, String> {
    loop {
        match start() {
            // Another case has forked while this binary was being written, and has not begun its program yet.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::sleep(Duration::from_millis(5)),
            started => return started.map_err(|error| format!("{}: {error}", binary.display())),
        }
    }
}

pub(crate) fn writes_to_stdout(plan: &JobPlan) -> bool {
    plan.stages.iter().filter_map(|stage| stage.sink.as_ref()).any(|sink| sink.connector == STDOUT)
}

/// What a process left behind.
struct Ended {
    success: bool,
    status: String,
    stderr: String,
    outputs: Outputs,
}

impl Ended {
    /// What was written; of changes, the rows that are left.
    fn outputs(self, what: &str) -> Result<Outputs, String> {
        if !self.success {
            return Err(format!("{what}: {}\n{}", self.status, self.stderr));
        }
        let mut outputs = Outputs::new();
        for (name, lines) in self.outputs {
            let rows = changes::folded(&lines, true).map_err(|error| format!("{what}, output {name}: {error}"))?;
            outputs.insert(name, rows);
        }
        Ok(outputs)
    }

    fn failed_with(&self, expected: &str) -> Result<(), String> {
        if self.success {
            return Err("the run succeeds, but there is an error.txt".to_owned());
        }
        match self.stderr.contains(expected.trim()) {
            true => Ok(()),
            false => Err(format!("error.txt says\n{}\nbut the run says\n{}", expected.trim(), self.stderr)),
        }
    }
}

pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The rows in the files below a directory, by the name of the entry of `$OUT` that they are in.
pub(crate) fn collect(directory: &Path, output: Option<&str>, outputs: &mut Outputs) -> Result<(), String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = output.unwrap_or_else(|| file.split('.').next().unwrap_or_default());
        if path.is_dir() {
            collect(&path, Some(name), outputs)?;
        } else {
            outputs.entry(name.to_owned()).or_default().extend(oracle::read_lines(&path)?);
        }
    }
    Ok(())
}
