//! The list of passes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use compiler_ir::{place, print, verify};
use compiler_sql::diagnostic::code::INTERNAL;
use compiler_sql::{Diagnostic, SqlOptions};

use crate::compiled::{CompileRequest, Compiled, PassTime, View, code_digest};
use crate::isolation::isolated;
use crate::plan::job_plan;

/// Compiles a query. Never panics, whatever the text.
///
/// # Errors
/// All that the first pass that cannot go on has found.
pub fn compile(request: &CompileRequest) -> Result<Compiled, Vec<Diagnostic>> {
    compiled(request, Views::None)
}

/// The same, with all views of the query.
///
/// # Errors
/// As [`compile`].
pub fn compile_with_views(request: &CompileRequest) -> Result<Compiled, Vec<Diagnostic>> {
    compiled(request, Views::All)
}

/// One view of a query. Stops after the pass that makes it, so that it can be shown of a query that a later pass refuses.
///
/// # Errors
/// As [`compile`].
pub fn explain(request: &CompileRequest, view: View) -> Result<String, Vec<Diagnostic>> {
    let (outcome, mut state) = run(Views::Only(view), &|trace| passes(request, trace));
    match outcome {
        Err(Stop::Failed(diagnostics)) => Err(diagnostics),
        Ok(_) | Err(Stop::Reached) => Ok(state.views.remove(&view).unwrap_or_default()),
    }
}

fn compiled(request: &CompileRequest, views: Views) -> Result<Compiled, Vec<Diagnostic>> {
    let (outcome, state) = run(views, &|trace| passes(request, trace));
    let compiled = outcome.map_err(Stop::diagnostics)?;
    Ok(Compiled { views: state.views, passes: state.passes, ..compiled })
}

/// Runs passes; once more with all views if one of them has a bug, whose report is to show what the pass was given.
fn run<T: Send>(views: Views, passes: &(dyn Fn(&Trace) -> Result<T, Stop> + Sync)) -> (Result<T, Stop>, State) {
    let trace = Trace::new(views);
    let outcome = trace.isolated(|| passes(&trace)).unwrap_or_else(|bug| Err(Stop::Failed(bug)));
    if let Err(Stop::Failed(found)) = &outcome
        && found.iter().any(|one| one.code == INTERNAL)
        && views != Views::All
    {
        let (again, state) = run(Views::All, passes);
        if again.is_err() {
            return (again, state);
        }
    }
    (outcome, trace.state.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn passes(request: &CompileRequest, trace: &Trace) -> Result<Compiled, Stop> {
    let options = SqlOptions { default_sink: request.options.default_sink.clone(), ..SqlOptions::default() };
    let script = trace.fallible("parse", || compiler_sql::parse(&request.sql))?;
    trace.show(View::Ast, || script.to_string())?;
    let bound = trace.fallible("bind", || compiler_sql::bind(&script, &options))?;
    trace.show(View::Bound, || bound.to_string())?;
    let warnings = bound.warnings().to_vec();
    let bound = trace.pass("rules", || compiler_sql::optimize(bound));
    trace.show(View::Logical, || bound.to_string())?;
    let plan = trace.fallible("lower", || compiler_sql::lower(&bound))?;
    trace.show(View::Plan, || print::plan(&plan))?;
    trace.checked("verify plan", || verify::plan(&plan))?;
    let graph = trace.pass("place", || place::place(&plan, request.options.parallelism));
    trace.show(View::Stream, || print::graph(&graph))?;
    trace.checked("verify graph", || verify::graph(&graph))?;
    let files = trace.pass("codegen", || compiler_codegen::generate(&graph));
    trace.show(View::Rust, || listing(&files))?;
    let (code, plan) = trace.pass("assemble", || {
        let code = code_digest(&files);
        let plan = job_plan(&graph, &code);
        (code, plan)
    });
    trace.show(View::Job, || serde_json::to_string_pretty(&plan).expect("a plan is JSON"))?;
    Ok(Compiled { files, code, plan, warnings, views: BTreeMap::new(), passes: Vec::new() })
}

/// Which views are made: printing takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Views {
    None,
    /// And nothing after it.
    Only(View),
    All,
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
struct Trace {
    views: Views,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: &'static str,
    passes: Vec<PassTime>,
    views: BTreeMap<View, String>,
}

impl Trace {
    fn new(views: Views) -> Trace {
        Trace { views, state: Mutex::default() }
    }

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

    /// Keeps a view, if it is wanted.
    fn show(&self, view: View, print: impl FnOnce() -> String) -> Result<(), Stop> {
        let is_last = self.views == Views::Only(view);
        if is_last || self.views == Views::All {
            let text = print();
            self.state().views.insert(view, text);
        }
        if is_last { Err(Stop::Reached) } else { Ok(()) }
    }

    /// The report of a bug: what went wrong in which pass, and the last representation that there was.
    fn bug(&self, what: &str) -> Diagnostic {
        let state = self.state();
        let mut detail = format!("pass \"{}\": {what}", state.current);
        if let Some((view, text)) = state.views.last_key_value() {
            let _ = write!(detail, "\nits input ({view}):\n{text}");
        }
        Diagnostic::error(INTERNAL, None, "internal error")
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::checkpoint::TableKind;
    use schema::Changelog;

    use super::*;
    use crate::compiled::CompileOptions;

    const QUERY: &str = "\
CREATE TABLE bids (auction BIGINT, price BIGINT, dt TIMESTAMP NOT NULL, WATERMARK FOR dt AS dt - INTERVAL '1 second')
WITH (connector = 'single_file', path = '/tmp/bids.json', format = 'json', type = 'source');
SELECT auction, tumble(INTERVAL '10 seconds') AS window, sum(price) AS total
FROM bids WHERE price > 100 GROUP BY auction, window";

    const UPDATING: &str = "\
CREATE TABLE bids (auction BIGINT, price BIGINT) WITH (connector = 'single_file', path = '/tmp/bids.json', type = 'source');
SELECT auction, sum(price) AS total FROM bids GROUP BY auction";

    /// `$0` to `$9` are names of a table, of its columns and members, of a view, and of what is selected.
    const NAMED: &str = "\
CREATE TABLE $0 ($1 BIGINT, $2 TEXT, $3 STRUCT<$4 INT, $5 TEXT>, $6 TIMESTAMP NOT NULL, WATERMARK FOR $6)
WITH (connector = 'single_file', path = '/tmp/in.json', format = 'json', type = 'source');
CREATE VIEW $7 AS SELECT upper($2) AS $1, 10 / $1 AS $2, $3, $6 FROM $0 WHERE $2 <> 'x';
SELECT tumble(INTERVAL '10 seconds') AS $8, $1, count(DISTINCT $2) AS $9, max($3.$5) AS $4 FROM $7 GROUP BY $1, $8;
SELECT $1 AS $9, $3.$4 + 1 AS $8, CAST($2 AS TEXT) AS $5 FROM $7";

    /// What Rust, its prelude and generated code have names for, and what Rust cannot name.
    const NAMES: &str = "self|Self|super|crate|type|fn|match|async|dyn|try|gen|yield|static|true|box|Box|ok|Ok|err|some|None|\
                         result|Result|option|vec|Vec|string|String|default|clone|iter|into|drop|main|std|core|u8|str|usize|\
                         worker_lib|kernels|batch|batches|rows|row|value|state|states|stage|errors|key|keys|input|output|\
                         window|window_start|event_time|upper|_|1|a b|ü|r#fn|\\";

    fn request(sql: &str, parallelism: usize) -> CompileRequest {
        CompileRequest::new(sql, CompileOptions { parallelism, ..CompileOptions::default() })
    }

    #[test]
    fn a_query_becomes_files_and_a_plan_with_all_views() {
        let compiled = compile_with_views(&request(QUERY, 2)).unwrap();
        assert!(compiled.files.contains_key("src/main.rs"));
        assert_eq!(compiled.plan.code, compiled.code);
        assert!(View::ALL.iter().all(|view| !compiled.view(*view).is_empty()));
        let source = compiled.plan.stages.iter().find_map(|stage| stage.source.as_ref()).unwrap();
        assert!(source.watermark);
        assert_eq!(source.table, "bids");
        for view in View::ALL {
            assert_eq!(explain(&request(QUERY, 2), view).unwrap(), compiled.view(view));
        }
        assert!(compile(&request(QUERY, 2)).unwrap().views.is_empty());
    }

    #[test]
    fn layout_paths_and_parallelism_do_not_change_the_code() {
        let code = |sql: &str, parallelism| compile(&request(sql, parallelism)).unwrap().code;
        let first = code(QUERY, 1);
        assert_eq!(first, code(&format!("-- again\n{}", QUERY.replace('\n', "\n\n   ")), 1));
        assert_eq!(first, code(&QUERY.replace("/tmp/", "/elsewhere/"), 1));
        assert_eq!(first, code(QUERY, 8));
        assert_ne!(first, code(&QUERY.replace("100", "200"), 1));
    }

    #[test]
    fn how_long_groups_live_is_data() {
        let compiled = |sql: &str| compile(&request(sql, 1)).unwrap();
        let hour = compiled(&format!("SET updating_ttl = interval '1 hour';\n{UPDATING}"));
        let default = compiled(UPDATING);
        assert_eq!(hour.code, default.code);
        let ttl = |compiled: &Compiled| compiled.plan.stages.iter().find_map(|stage| stage.updating_ttl_micros);
        assert_eq!((ttl(&hour), ttl(&default)), (Some(3_600_000_000), Some(86_400_000_000)));
        assert_eq!(ttl(&compiled(QUERY)), None);
    }

    #[test]
    fn rows_of_a_join_go_with_their_windows() {
        let script = |equal: &str| {
            let side = |name: &str, of: &str| {
                format!(
                    "(SELECT auction, tumble(INTERVAL '10 seconds') AS w, {of} AS n FROM bids GROUP BY 1, 2) {name}"
                )
            };
            let sides = format!("{} JOIN {}", side("a", "count(*)"), side("b", "max(price)"));
            let bids = QUERY.split_inclusive(';').next().unwrap();
            format!("{bids} SELECT a.auction, a.n, b.n AS top FROM {sides} ON {equal}")
        };
        for (equal, window) in [
            ("a.auction = b.auction AND a.w = b.w", "window"),
            ("a.auction = b.auction AND a.w.end = b.w.end", "window_start"),
            ("a.w = b.w", "window"),
        ] {
            let compiled = compile(&request(&script(equal), 2)).unwrap();
            let tables = compiled.plan.stages.iter().flat_map(|stage| &stage.tables);
            let sides = tables.filter(|table| table.operator.kind == "join").collect::<Vec<_>>();
            assert_eq!(sides.len(), 2);
            for table in sides {
                let lifetime = table.lifetime.unwrap();
                let column = &table.columns.fields[lifetime.column];
                let is_window = column.ty == schema::ScalarType::window();
                assert_eq!((is_window, lifetime.nanos), (window == "window", 10_000_000_000), "{equal}: {table:?}");
                assert!(is_window || column.ty == schema::ScalarType::TIMESTAMP_NS, "{equal}: {table:?}");
            }
        }
    }

    #[test]
    fn groups_without_a_window_are_a_keyed_table() {
        let compiled = compile(&request(UPDATING, 2)).unwrap();
        let tables = compiled.plan.stages.iter().flat_map(|stage| &stage.tables).collect::<Vec<_>>();
        let [table] = tables.as_slice() else { panic!("{tables:?}") };
        assert_eq!((table.name.as_str(), table.kind, table.keys), ("groups", TableKind::Keyed, 1));
        assert_eq!(
            table.columns.to_string(),
            "(auction BIGINT, sum(price) BIGINT, _updated TIMESTAMP NOT NULL, _deleted BOOLEAN NOT NULL)"
        );
        let sink = compiled.plan.stages.iter().find_map(|stage| stage.sink.as_ref()).unwrap();
        assert_eq!(sink.changelog, Some(Changelog { key: Some(vec![1]) }));
    }

    #[test]
    fn a_view_is_shown_of_a_query_that_a_later_pass_refuses() {
        let wrong = QUERY.replace("sum(price)", "sum(prize)");
        assert!(explain(&request(&wrong, 1), View::Ast).is_ok());
        assert!(explain(&request(&wrong, 1), View::Plan).is_err());
        assert_eq!(compile(&request(&wrong, 1)).unwrap_err()[0].code, "E0302");
    }

    #[test]
    fn what_is_old_or_in_vain_is_a_warning() {
        let sql = "\
CREATE TABLE bids (price BIGINT, dt TIMESTAMP)
WITH (connector = 'single_file', path = 'in.json', event_time_field = 'dt');
CREATE TABLE prices (price BIGINT NOT NULL PRIMARY KEY)
WITH (connector = 'single_file', path = 'out.json', bad_data = 'drop');
CREATE TABLE IF NOT EXISTS prices (price TEXT);
INSERT INTO prices SELECT price FROM bids";
        let found = compile(&request(sql, 1)).unwrap().warnings;
        assert!(found.iter().all(|warning| warning.severity == compiler_sql::Severity::Warning));
        let texts: Vec<_> = found.iter().map(|one| format!("{} {}", one.code, one.message)).collect();
        assert_eq!(
            texts,
            [
                "W0100 option \"event_time_field\" is deprecated",
                "W0200 PRIMARY KEY of column \"price\" has no effect on a sink",
                "W0200 option \"bad_data\" has no effect on a sink",
                "W0200 table \"prices\" is there already: this definition has no effect",
                "W0200 column \"price\" of table \"prices\" is NOT NULL, but may be given nulls",
            ]
        );
        assert!(compile(&request(QUERY, 1)).unwrap().warnings.is_empty());
        let set = "SET updating_ttl = interval '1 hour';\n";
        assert!(compile(&request(&format!("{set}{UPDATING}"), 1)).unwrap().warnings.is_empty());
        let found = compile(&request(&format!("{set}{QUERY}"), 1)).unwrap().warnings;
        let [warning] = found.as_slice() else { panic!("{found:?}") };
        let message = "option 'updating_ttl' has no effect: no query has groups without a time window";
        assert_eq!((warning.code, warning.message.as_str()), ("W0200", message));
    }

    #[test]
    fn a_bug_names_the_pass_and_shows_what_it_was_given() {
        let (outcome, _) = run(Views::None, &|trace| {
            trace.show(View::Plan, || "node 0: source".to_owned())?;
            trace.pass("place", || panic!("no such node"));
            Ok(())
        });
        let found = outcome.unwrap_err().diagnostics();
        assert_eq!((found.len(), found[0].code), (1, "E0001"));
        let detail = found[0].detail.as_deref().unwrap();
        assert!(detail.starts_with("pass \"place\": no such node (at "), "{detail}");
        assert!(detail.ends_with("its input (plan):\nnode 0: source"), "{detail}");
    }

    fn ten_names() -> impl Strategy<Value = Vec<&'static str>> {
        let names = prop::sample::subsequence(NAMES.split('|').collect::<Vec<_>>(), 10).prop_shuffle();
        // Columns are found in any case, so two of one table that differ in it alone are ambiguous.
        names.prop_filter("names differ in more than case", |names| {
            let lower: std::collections::BTreeSet<_> = names.iter().map(|name| name.to_lowercase()).collect();
            lower.len() == names.len()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is done to a query, it compiles or is refused, and never for a bug of ours.
        #[test]
        fn any_text_is_an_answer(from in 0usize..400, to in 0usize..400, insert in "[ -~]{0,8}|.{0,4}") {
            let at = |n: usize| (0..=n.min(QUERY.len())).rev().find(|i| QUERY.is_char_boundary(*i)).unwrap_or(0);
            let (from, to) = (at(from.min(to)), at(from.max(to)));
            let text = format!("{}{insert}{}", &QUERY[..from], &QUERY[to..]);
            if let Err(found) = compile(&request(&text, 1)) {
                prop_assert!(!found.is_empty());
                prop_assert!(found.iter().all(|one| one.code != INTERNAL), "{text}\n{found:?}");
                let _ = crate::render(&found, "query.sql", &text, true);
            }
        }

        /// Any name may stand in a query. The code that comes of it is Rust, or the generator would not have printed it.
        #[test]
        fn any_name_will_do(names in ten_names()) {
            let mut text = NAMED.to_owned();
            for (n, name) in names.iter().enumerate() {
                text = text.replace(&format!("${n}"), &format!("\"{name}\""));
            }
            let outcome = compile(&request(&text, 1));
            prop_assert!(outcome.is_ok(), "{text}\n{:?}", outcome.err());
        }
    }
}
