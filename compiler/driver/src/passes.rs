//! The list of passes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use compiler_ir::{place, print, verify};
use compiler_sql::{Diagnostic, SqlOptions};

use crate::compiled::{CompileRequest, Compiled, PassTime, View, code_digest};
use crate::isolation::isolated;
use crate::plan::job_plan;

/// Compiles a query. Never panics, whatever the text.
///
/// # Errors
/// All that the first pass that cannot go on has found.
pub fn compile(request: &CompileRequest) -> Result<Compiled, Vec<Diagnostic>> {
    let trace = Trace::default();
    let outcome = trace.isolated(|| passes(request, &trace, None))?;
    let compiled = outcome.map_err(|stop| stop.diagnostics())?;
    Ok(Compiled { views: trace.state().views.clone(), passes: trace.state().passes.clone(), ..compiled })
}

/// One view of a query. Stops after the pass that makes it, so that it can be shown of a query that a later pass refuses.
///
/// # Errors
/// As [`compile`].
pub fn explain(request: &CompileRequest, view: View) -> Result<String, Vec<Diagnostic>> {
    let trace = Trace::default();
    match trace.isolated(|| passes(request, &trace, Some(view)))? {
        Err(Stop::Failed(diagnostics)) => Err(diagnostics),
        Ok(_) | Err(Stop::Reached) => Ok(trace.state().views.remove(&view).unwrap_or_default()),
    }
}

fn passes(request: &CompileRequest, trace: &Trace, until: Option<View>) -> Result<Compiled, Stop> {
    let options = SqlOptions { default_sink: request.options.default_sink.clone(), ..SqlOptions::default() };
    let script = trace.fallible("parse", || compiler_sql::parse(&request.sql))?;
    trace.show(View::Ast, until, || script.to_string())?;
    let bound = trace.fallible("bind", || compiler_sql::bind(&script, &options))?;
    let bound = trace.pass("rules", || compiler_sql::optimize(bound));
    trace.show(View::Logical, until, || bound.to_string())?;
    let plan = trace.fallible("lower", || compiler_sql::lower(&bound))?;
    trace.show(View::Plan, until, || print::plan(&plan))?;
    trace.checked("verify plan", || verify::plan(&plan))?;
    let graph = trace.pass("place", || place::place(&plan, request.options.parallelism));
    trace.show(View::Stream, until, || print::graph(&graph))?;
    trace.checked("verify graph", || verify::graph(&graph))?;
    let files = trace.pass("codegen", || compiler_codegen::generate(&graph));
    trace.show(View::Rust, until, || listing(&files))?;
    let (code, plan) = trace.pass("assemble", || {
        let code = code_digest(&files);
        let plan = job_plan(&graph, &code);
        (code, plan)
    });
    Ok(Compiled { files, code, plan, views: BTreeMap::new(), passes: Vec::new() })
}

/// Why the passes ended early.
enum Stop {
    /// The query, or a pass, is wrong.
    Failed(Vec<Diagnostic>),
    /// The view that was asked for has been made.
    Reached,
}

impl Stop {
    fn diagnostics(self) -> Vec<Diagnostic> {
        match self {
            Stop::Failed(diagnostics) => diagnostics,
            Stop::Reached => Vec::new(),
        }
    }
}

/// How far a compilation has come: what it says of itself when it is done, or when it has failed.
#[derive(Default)]
struct Trace {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: &'static str,
    passes: Vec<PassTime>,
    views: BTreeMap<View, String>,
}

impl Trace {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn isolated<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Vec<Diagnostic>> {
        isolated(work).map_err(|panic| vec![self.bug(&format!("{} (at {})", panic.message, panic.place))])
    }

    fn pass<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> T {
        self.state().current = name;
        let start = Instant::now();
        let value = work();
        self.state().passes.push(PassTime { name, time: start.elapsed() });
        value
    }

    /// A pass that may find the query wrong.
    fn fallible<T>(&self, name: &'static str, work: impl FnOnce() -> Result<T, Vec<Diagnostic>>) -> Result<T, Stop> {
        self.pass(name, work).map_err(Stop::Failed)
    }

    /// A verifier, whose findings are our bugs.
    fn checked(&self, name: &'static str, work: impl FnOnce() -> Result<(), Vec<String>>) -> Result<(), Stop> {
        self.pass(name, work).map_err(|findings| Stop::Failed(vec![self.bug(&findings.join("\n"))]))
    }

    /// Keeps a view. Printing counts as a pass: it takes time.
    fn show(&self, view: View, until: Option<View>, print: impl FnOnce() -> String) -> Result<(), Stop> {
        // The texts of earlier views than the one that is asked for are of no use, but to a bug report.
        let text = print();
        self.state().views.insert(view, text);
        if until == Some(view) { Err(Stop::Reached) } else { Ok(()) }
    }

    /// The report of a bug: what went wrong in which pass, and the last representation that there was.
    fn bug(&self, what: &str) -> Diagnostic {
        let state = self.state();
        let mut detail = format!("pass \"{}\": {what}", state.current);
        if let Some((view, text)) = state.views.last_key_value() {
            let _ = write!(detail, "\nits input ({view}):\n{text}");
        }
        Diagnostic::error(compiler_sql::diagnostic::code::INTERNAL, None, "internal error")
            .with_detail(detail)
            .with_hint("this is a bug in streamwright, not in the query: please report it with this message")
    }
}

/// The files of a crate, one after another.
fn listing(files: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (i, (path, file)) in files.iter().enumerate() {
        let _ = write!(text, "{}// {path}\n{file}", if i > 0 { "\n" } else { "" });
    }
    text
}
