//! Savepoints, going back, looking into checkpoints, and queries that change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::recovery::time::Seconds;
use crate::recovery::{self, KEYS, OFTEN, ROWS, ROWS_PER_WINDOW, endless, rows};
use crate::user::{Ended, User, names};

/// Midnight before 2026's first second, in nanoseconds since the epoch.
pub(crate) const START: i64 = 1_767_225_600_000_000_000;

/// `streamwright run --state-dir state ... QUERY`, not to its end: Ctrl-C once so many rows are in a sink's directory.
fn stopped_after(user: &User, directory: &str, least: usize, query: &str, more: &[&str]) -> Ended {
    let mut arguments = vec!["run", "--state-dir", "state", query];
    arguments.extend(OFTEN);
    arguments.extend(more);
    let mut running = user.start(user.command(&arguments));
    running.wait_until("row", |_| rows(&user.path(directory)).len() >= least);
    running.signal(libc::SIGINT);
    running.ended().with_code(0)
}

/// The query of the recovery tests, stopped with a savepoint.
pub(crate) fn stopped_with_savepoint(user: &User) -> String {
    let query = user.write("query.sql", &recovery::query(user)).display().to_string();
    user.streamwright(&["build", &query]).with_code(0);
    let ended = stopped_after(user, "each", 3 * ROWS_PER_WINDOW as usize, &query, &["--savepoint-on-stop", "first"]);
    ended.saying("stopping with savepoint \"first\"").saying("savepoint \"first\" is checkpoint ");
    query
}

pub(crate) fn json(user: &User, arguments: &[&str]) -> Value {
    let ended = user.streamwright(&[&["state"][..], arguments, &["-s", "state", "--json"]].concat()).with_code(0);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn one_can_go_back_to_a_savepoint() {
    let user = User::new();
    let query = stopped_with_savepoint(&user);
    let run = |more: &[&str]| user.streamwright(&[&["run", "--state-dir", "state", query.as_str()][..], more].concat());
    run(&["--savepoint-on-stop", "first"]).with_code(2).saying("savepoint \"first\" already exists");
    let (read, closed) = (rows(&user.path("each")).len() as u64, rows(&user.path("sums")).len());
    assert!(read < ROWS, "it was stopped in the middle");

    // A savepoint outlives the checkpoints of its time, and nothing has been left behind yet.
    run(&OFTEN).with_code(0).saying("going on from checkpoint");
    recovery::check(&user);
    let epochs = json(&user, &["ls"])[0]["checkpoints"].as_array().unwrap().clone();
    assert!(epochs.iter().any(|point| point["checkpoint"] == "savepoint:first"), "{epochs:?}");

    // Everything that was read since is read again, and comes out once more, with the same values.
    run(&["--restore", "savepoint:first"]).with_code(0).saying("going back to checkpoint ");
    let mut counters: BTreeMap<u64, u64> = BTreeMap::new();
    for row in rows(&user.path("each")) {
        *counters.entry(row["counter"].as_u64().unwrap()).or_default() += 1;
    }
    assert!(counters.iter().all(|(counter, times)| *times == if *counter < read { 1 } else { 2 }));
    assert_eq!(counters.len() as u64, ROWS);
    let expected = recovery::expected_sums();
    let found = rows(&user.path("sums"));
    assert_eq!(found.len(), expected.len() * 2 - closed);
    for row in found {
        let (group, sums) = recovery::sums(&row);
        assert_eq!(expected.get(&group), Some(&sums), "{row}");
    }
}

#[test]
fn a_running_job_is_asked_for_savepoints() {
    let user = User::new();
    let query = endless(&user);
    user.streamwright(&["build", &query]).with_code(0);
    let ask = |arguments: &[&str]| user.streamwright(&[arguments, &["-s", "state"]].concat());
    ask(&["savepoint", "first"]).with_code(2).saying("no controller runs on \"state\"");
    // Nothing is published unless somebody asks for a checkpoint.
    let arguments = ["run", "-s", "state", "--set", "default-checkpoint-interval=1h", &query];
    let mut running = user.start(user.command(&arguments));
    running.wait_until("running job", |_| ask(&["status"]).stdout.contains("Running"));
    let said = ask(&["savepoint", "first"]).with_code(0).stdout;
    assert!(said.starts_with("savepoint \"first\" is checkpoint "), "{said}");
    ask(&["savepoint", "first"]).with_code(2).saying("savepoint \"first\" already exists");
    // It goes on.
    running.wait_until("more rows", |_| {
        ask(&["checkpoint"]).with_code(0);
        rows(&user.path("each")).len() > 1_000
    });
    let status: Value = serde_json::from_str(&ask(&["status", "--json"]).with_code(0).stdout).unwrap();
    assert_eq!((&status["state"], &status["attempt"]), (&"Running".into(), &1.into()));
    let said = ask(&["stop", "--savepoint", "second"]).with_code(0).stdout;
    assert!(said.starts_with("the job is stopped\nsavepoint \"second\" is checkpoint "), "{said}");
    running.ended().with_code(0).saying("stopped: ");
    ask(&["status"]).with_code(2).saying("no controller runs on");
    assert!(!user.path("state/controller.json").exists());
    let read = rows(&user.path("each")).len();

    let reasons = |documents: &Value| -> Vec<String> {
        documents.as_array().unwrap().iter().map(|taken| taken["reason"].as_str().unwrap().to_owned()).collect()
    };
    let history = json(&user, &["history"]);
    let reasons_then = reasons(&history);
    assert_eq!((reasons_then[0].as_str(), reasons_then.last().unwrap().as_str()), ("asked", "stop"));
    let parts = || history.as_array().unwrap().iter().flat_map(|taken| taken["tasks"].as_array().unwrap());
    assert!(parts().all(|part| part["upload_micros"].is_u64()), "{history}");
    assert!(parts().any(|part| part["publish_micros"].is_u64()), "some sink had something to publish: {history}");
    let epoch = history[0]["epoch"].to_string();
    let shown = ask(&["state", "history", &epoch]).with_code(0).stdout;
    assert!(shown.contains("align") && shown.contains("publish"), "{shown}");
    ask(&["state", "history", "99999"]).with_code(2).saying("is not in the history");

    // Back to the first: all that has been read since is read again.
    let ended = stopped_after(&user, "each", 2 * read, &query, &["--restore", "savepoint:first"]);
    ended.saying("going back to checkpoint ");
    let mut counters: BTreeMap<u64, u64> = BTreeMap::new();
    for row in rows(&user.path("each")) {
        *counters.entry(row["counter"].as_u64().unwrap()).or_default() += 1;
    }
    assert_eq!(*counters.keys().last().unwrap() + 1, counters.len() as u64, "none is missing");
    let twice: Vec<u64> = counters.iter().filter(|(_, times)| **times == 2).map(|(counter, _)| *counter).collect();
    assert_eq!(twice.last().map(|last| last + 1), Some(read as u64));
    assert_eq!(twice.len() as u64, read as u64 - twice[0], "all since the savepoint");
    assert!(counters.values().all(|times| *times <= 2));
}

#[test]
fn what_is_not_there_cannot_be_gone_back_to() {
    let user = User::new();
    let query = stopped_with_savepoint(&user);
    let run = |arguments: &[&str]| {
        user.streamwright(&[&["run", query.as_str()][..], arguments].concat()).with_code(2).without_rows()
    };
    for point in ["99999", "savepoint:second"] {
        let refused = run(&["-s", "state", "--restore", point]);
        refused.saying(&format!("there is no checkpoint \"{point}\"")).saying("streamwright state ls");
    }
    run(&["-s", "elsewhere", "--restore", "7"])
        .saying("there is no checkpoint \"7\": nothing has run in \"elsewhere\"");
    run(&["--restore", "7"]).saying("--restore needs a state directory");
    run(&["--savepoint-on-stop", "x"]).saying("--savepoint-on-stop needs a state directory");
    run(&["-s", "state", "--force", "--restore", "7"]).saying("cannot be used with");
    run(&["-s", "state", "--restore", "yesterday"])
        .saying("must be \"latest\", the number of an epoch, or \"savepoint:NAME\"");
    run(&["-s", "state", "--savepoint-on-stop", "a/b"]).saying("cannot be the name of a savepoint");
}

/// Count, sum, and distinct halves by window and key, in windows that are open at a checkpoint: as the position of the
/// source and the watermark say.
fn open_groups(manifest: &Value) -> BTreeMap<(u64, u64), (u64, u64, BTreeSet<u64>)> {
    let stages = manifest["stages"].as_array().unwrap();
    let task =
        |key: &str| stages.iter().find(|stage| !stage[key].is_null() && stage[key] != Value::Array(vec![])).unwrap();
    let made = task("source")["tasks"][0]["source"]["position"]["shares"][0]["made"].as_u64().unwrap();
    let watermark = task("tables")["tasks"][0]["watermark"].as_i64().unwrap();
    let mut groups: BTreeMap<(u64, u64), (u64, u64, BTreeSet<u64>)> = BTreeMap::new();
    for counter in 0..made {
        let window = counter / ROWS_PER_WINDOW;
        if START + (window as i64 + 1) * 1_000_000_000 > watermark {
            let group = groups.entry((window, counter % KEYS)).or_default();
            group.0 += 1;
            group.1 += counter;
            group.2.insert(counter / 2);
        }
    }
    groups
}

/// The value of the column whose name begins so.
fn column<'a>(row: &'a Value, beginning: &str) -> &'a Value {
    let mut columns = row.as_object().unwrap().iter();
    columns.find(|(name, _)| name.starts_with(beginning)).unwrap_or_else(|| panic!("no {beginning} in {row}")).1
}

#[test]
fn a_checkpoint_can_be_looked_into() {
    let user = User::new();
    stopped_with_savepoint(&user);
    let state = |arguments: &[&str]| user.streamwright(&[&["state"][..], arguments, &["-s", "state"]].concat());

    let listed = state(&["ls"]).with_code(0).stdout;
    for word in ["job ", "checkpoint", "time (UTC)", "savepoint:first", "interval", "stop"] {
        assert!(listed.contains(word), "no {word} in\n{listed}");
    }
    let shown = state(&["show", "savepoint:first"]).with_code(0).stdout;
    for word in
        ["reason stop", "source beats (impulse)", "position {", "table \"groups\" (time-keyed): ", "hashes 0000"]
    {
        assert!(shown.contains(word), "no {word} in\n{shown}");
    }

    // What is exported is what the rows before the checkpoint come to.
    let manifest = json(&user, &["show", "savepoint:first"]);
    let expected = open_groups(&manifest);
    assert!(!expected.is_empty());
    let exported = state(&["export", "savepoint:first", "groups", "-"]).with_code(0).rows();
    let group = |row: &Value| {
        let start: Seconds = row["window_start"].as_str().unwrap().into();
        let key = row.as_object().unwrap().iter().find(|(name, _)| name.contains('%')).unwrap().1;
        (start.0, key.as_u64().unwrap())
    };
    let number = |row: &Value, beginning: &str| column(row, beginning).as_u64().unwrap();
    let found: BTreeMap<_, _> =
        exported.iter().map(|row| (group(row), (number(row, "count(*)"), number(row, "sum(counter)")))).collect();
    let sums: BTreeMap<_, _> = expected.iter().map(|(group, (n, total, _))| (*group, (*n, *total))).collect();
    assert_eq!((found, exported.len()), (sums, expected.len()));

    let tables = manifest["stages"].as_array().unwrap().iter().flat_map(|stage| stage["tables"].as_array().unwrap());
    let mut named = tables.map(|table| table["name"].as_str().unwrap());
    let distinct = named.find(|name| name.starts_with("count(DISTINCT ")).unwrap();
    let values = state(&["export", "latest", distinct, "-"]).with_code(0).rows();
    assert_eq!(values.len(), expected.values().map(|(_, _, halves)| halves.len()).sum::<usize>());

    // As Parquet, for other programs.
    state(&["export", "savepoint:first", "groups", "groups.parquet"])
        .with_code(0)
        .without_rows()
        .saying("groups.parquet: ");
    let file = File::open(user.path("groups.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), expected.len());

    let points = json(&user, &["ls"])[0]["checkpoints"].as_array().unwrap().clone();
    let first = points.iter().filter_map(|point| point["epoch"].as_u64()).min().unwrap().to_string();
    let grown = state(&["diff", first.as_str(), "savepoint:first"]).with_code(0).stdout;
    for word in ["from checkpoint ", "positions [", "table \"groups\": ", "new: "] {
        assert!(grown.contains(word), "no {word} in\n{grown}");
    }
    let grown = json(&user, &["diff", first.as_str()]);
    assert_eq!(grown["from"].to_string(), first);
}

#[test]
fn looking_where_nothing_is_says_so_and_makes_nothing() {
    let user = User::new();
    stopped_with_savepoint(&user);
    let state =
        |arguments: &[&str]| user.streamwright(&[&["state"][..], arguments].concat()).with_code(2).without_rows();
    state(&["ls"]).saying("no checkpoints to look into").saying("--state-dir");
    state(&["ls", "-s", "nowhere"]).saying("cannot open \"nowhere/checkpoints\"");
    assert!(!user.path("nowhere").exists());
    state(&["ls", "-s", "state", "--job", "xyz"]).saying("there is no job \"xyz\"");
    state(&["show", "99999", "-s", "state"]).saying("there is no checkpoint \"99999\"");
    state(&["export", "latest", "grups", "-", "-s", "state"]).saying("has no table \"grups\"").saying("/groups");
    state(&["diff", "latest", "missing.sql", "-s", "state"]).saying("cannot read the query \"missing.sql\"");
}

#[test]
fn a_state_file_that_was_damaged_is_not_exported() {
    let user = User::new();
    stopped_with_savepoint(&user);
    let checkpoints = user.path("state/checkpoints");
    let job = names(&checkpoints).into_iter().find(|name| !name.starts_with('.')).unwrap();
    let state = checkpoints.join(job).join("state");
    for file in names(&state).iter().filter(|name| name.contains("groups")) {
        fs::write(state.join(file), "not Parquet").unwrap();
    }
    let refused = user.streamwright(&["state", "export", "latest", "groups", "-", "-s", "state"]).with_code(1);
    refused.without_rows().saying("is damaged: its digest is ");
}

// --- queries that change -------------------------------------------------------------------------------------------

/// Aggregates of windows by `counter % 7`.
pub(crate) fn windows(user: &User, width: &str, aggregates: &str) -> String {
    format!(
        "CREATE TABLE beats WITH (connector = 'impulse', event_rate = '20000', message_count = '{ROWS}',
             start_time = '2026-01-01T00:00:00Z', event_time_interval = '1ms');
         CREATE TABLE sums WITH (connector = 'filesystem', path = '{}', format = 'json', type = 'sink');
         INSERT INTO sums SELECT window.start AS begun, k, {} FROM (
             SELECT tumble(INTERVAL '{width}') AS window, counter % {KEYS} AS k, {aggregates}
             FROM beats GROUP BY window, k);",
        user.path("sums").display(),
        aggregates.split(" AS ").skip(1).map(|name| name.split(',').next().unwrap()).collect::<Vec<_>>().join(", "),
    )
}

/// An aggregate less than before.
pub(crate) const WITHOUT_TOTAL: &str = "count(*) AS n";
const BEFORE: &str = "count(*) AS n, sum(counter) AS total";

/// A run of [`BEFORE`] that was stopped with windows open.
pub(crate) fn stopped_before_the_change() -> User {
    let user = User::new();
    let query = user.write("before.sql", &windows(&user, "1 second", BEFORE)).display().to_string();
    user.streamwright(&["build", &query]).with_code(0);
    stopped_after(&user, "sums", 1, &query, &[]);
    user
}

/// All windows and keys are there, each once, with the right count.
pub(crate) fn check_counts(user: &User) {
    let expected = recovery::expected_sums();
    let found = rows(&user.path("sums"));
    assert_eq!(found.len(), expected.len(), "each window and key once");
    for row in found {
        let begun: Seconds = row["begun"].as_str().unwrap().into();
        let (n, total, _) = expected[&(begun.0, row["k"].as_u64().unwrap())];
        assert_eq!(row["n"].as_u64(), Some(n), "{row}");
        if let Some(found) = row["total"].as_u64() {
            assert_eq!(found, total, "{row}");
        }
    }
}

#[test]
fn state_goes_on_in_a_query_with_an_aggregate_less() {
    let user = stopped_before_the_change();
    let query = user.write("after.sql", &windows(&user, "1 second", WITHOUT_TOTAL)).display().to_string();
    let verdict = ": sum(counter) is dropped";
    let told = user.streamwright(&["state", "diff", "latest", &query, "-s", "state"]).with_code(0).stdout;
    assert!(told.contains("  migrate  tumble by ") && told.contains(verdict), "{told}");
    assert!(told.contains("  reuse    source beats (impulse)\n  reuse    sink sums (filesystem)\n"), "{told}");
    let findings = json(&user, &["diff", "latest", &query]);
    assert_eq!(findings["findings"][0]["verdict"], "migrate");

    // Nobody is at the terminal who could be asked.
    let refused = user.streamwright(&["run", "-s", "state", &query]).with_code(2);
    refused.saying(verdict).saying("nobody can be asked whether to go on").saying("--yes");
    // Its first checkpoint has the old rows in new columns; the run after that restores those.
    let told = rows(&user.path("sums")).len();
    let ended = stopped_after(&user, "sums", told + 1, &query, &["--yes"]);
    ended.saying("the query is not that of checkpoint ").saying(verdict).saying("going on from checkpoint ");
    user.streamwright(&["run", "-s", "state", "-p", "2", &query]).with_code(0).saying("going on from checkpoint ");
    check_counts(&user);
}

#[test]
fn an_aggregate_more_is_allowed_to_begin_in_the_middle() {
    let user = stopped_before_the_change();
    let query = windows(&user, "1 second", &format!("{BEFORE}, max(counter) AS top"));
    let query = user.write("after.sql", &query).display().to_string();
    for refused in [
        user.streamwright(&["run", "-s", "state", "--yes", &query]),
        user.streamwright(&["state", "diff", "latest", &query, "-s", "state"]),
    ] {
        refused.with_code(2).saying("does not fit the query").saying("--allow-mixed-results");
    }
    let ended = user.streamwright(&["run", "-s", "state", "--allow-mixed-results", &query]).with_code(0);
    ended.saying("  migrate  ").saying(": max(counter) is new");
    check_counts(&user);
}

#[test]
fn windows_of_another_width_begin_anew_if_that_is_allowed() {
    let user = stopped_before_the_change();
    let query = user.write("after.sql", &windows(&user, "2 seconds", BEFORE)).display().to_string();
    let refused = user.streamwright(&["run", "-s", "state", "--allow-mixed-results", &query]).with_code(2);
    refused.saying("  refuse   ").saying(": its windows are 2s wide, and were 1s").saying("--allow-lost-state");
    let before = rows(&user.path("sums")).len();
    let ended = user.streamwright(&["run", "-s", "state", "--allow-lost-state", &query]).with_code(0);
    ended.saying("  rebuild  ");
    let found = rows(&user.path("sums"));
    assert!(found.len() > before);
    // A window that begins after the change is whole.
    let last = found.iter().filter(|row| row["begun"] == "2026-01-01T00:00:38").filter_map(|row| row["n"].as_u64());
    assert_eq!(last.sum::<u64>(), 2 * ROWS_PER_WINDOW);
}
