//! Processes that are killed at any moment, and go on: what lies in the sinks' directories at the end is what a run
//! without a crash leaves. A worker is killed, or its controller, or both; the user stops it with a savepoint; and each run has
//! another parallelism. One query has rows that pass and windows, with distinct values; the other one groups without a window, a
//! join of windows, and Parquet.
//!
//! `STREAMWRIGHT_CRASHES=N` crashes N runs (a few, unless told otherwise), `SEED=n` at other moments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::user::{User, children, is_alive, names, wait_for_end_of};

pub(crate) const ROWS: u64 = 40_000;
/// Rows of each second of event time.
pub(crate) const ROWS_PER_WINDOW: u64 = 1_000;
pub(crate) const KEYS: u64 = 7;

/// Rows for about two seconds: each of them once, and their sums by window and key.
pub(crate) fn query(user: &User) -> String {
    format!(
        "CREATE TABLE beats WITH (connector = 'impulse', event_rate = '20000', message_count = '{ROWS}',
             start_time = '2026-01-01T00:00:00Z', event_time_interval = '1ms');
         CREATE TABLE each (counter BIGINT UNSIGNED)
             WITH (connector = 'filesystem', path = '{each}', format = 'json', type = 'sink');
         CREATE TABLE sums (start TIMESTAMP, k BIGINT UNSIGNED, n BIGINT, total BIGINT UNSIGNED, halves BIGINT)
             WITH (connector = 'filesystem', path = '{sums}', format = 'json', type = 'sink');
         INSERT INTO each SELECT counter FROM beats;
         INSERT INTO sums SELECT window.start, k, n, total, halves FROM (
             SELECT tumble(INTERVAL '1 second') AS window, counter % {KEYS} AS k, count(*) AS n, sum(counter) AS total,
                    count(DISTINCT counter / 2) AS halves
             FROM beats GROUP BY window, k);",
        each = user.path("each").display(),
        sums = user.path("sums").display(),
    )
}

/// Rows of all visible files of a directory.
pub(crate) fn rows(directory: &Path) -> Vec<Value> {
    let mut rows = Vec::new();
    for name in names(directory).into_iter().filter(|name| !name.starts_with('.')) {
        let text = fs::read_to_string(directory.join(name)).unwrap();
        rows.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    rows
}

/// Count, sum, and distinct halves.
pub(crate) type Sums = (u64, u64, u64);

/// By window and key.
pub(crate) fn expected_sums() -> BTreeMap<(u64, u64), Sums> {
    let mut expected: BTreeMap<(u64, u64), Sums> = BTreeMap::new();
    let mut halves: BTreeMap<(u64, u64), Vec<u64>> = BTreeMap::new();
    for counter in 0..ROWS {
        let group = (counter / ROWS_PER_WINDOW, counter % KEYS);
        let sum = expected.entry(group).or_default();
        *sum = (sum.0 + 1, sum.1 + counter, 0);
        halves.entry(group).or_default().push(counter / 2);
    }
    for (group, values) in &mut halves {
        values.dedup();
        expected.get_mut(group).unwrap().2 = values.len() as u64;
    }
    expected
}

/// A row of the sums.
pub(crate) fn sums(row: &Value) -> ((u64, u64), Sums) {
    let start: time::Seconds = row["start"].as_str().unwrap().into();
    let number = |name: &str| row[name].as_u64().unwrap();
    ((start.0, number("k")), (number("n"), number("total"), number("halves")))
}

pub(crate) fn check(user: &User) {
    let mut each: Vec<u64> = rows(&user.path("each")).iter().map(|row| row["counter"].as_u64().unwrap()).collect();
    each.sort_unstable();
    let twice = each.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!((each.len() as u64, twice), (ROWS, None));
    assert_eq!(each.last(), Some(&(ROWS - 1)));

    let expected = expected_sums();
    let found = rows(&user.path("sums"));
    assert_eq!(found.len(), expected.len(), "each window and key once");
    for row in found {
        let (group, sums) = sums(&row);
        assert_eq!(expected.get(&group), Some(&sums), "{row}");
    }
    // Nothing that was prepared and not published is left.
    for directory in ["each", "sums"] {
        let hidden: Vec<_> = names(&user.path(directory)).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

pub(crate) mod time {
    /// Seconds since 2026 began, of a time in its first hour: `2026-01-01T00:00:07`.
    pub(crate) struct Seconds(pub(crate) u64);

    impl From<&str> for Seconds {
        fn from(time: &str) -> Self {
            let parts: Vec<u64> =
                time.strip_prefix("2026-01-01T00:").unwrap().split(':').map(|part| part.parse().unwrap()).collect();
            Seconds(parts[0] * 60 + parts[1])
        }
    }
}

/// A small generator (SplitMix64): the same moments for the same seed.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        println!("SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

fn crashes() -> u64 {
    std::env::var("STREAMWRIGHT_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(6)
}

pub(crate) const OFTEN: [&str; 2] = ["--set", "default-checkpoint-interval=50ms"];

/// What happens to a run.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// The controller has another one go on.
    Worker,
    /// Its worker goes with it.
    Controller,
    Both,
    /// It is stopped with a savepoint, from which the next run goes on.
    Savepoint,
}

fn kill(pid: u32) {
    // SAFETY: `kill` takes numbers; the process is one that we have started, or its child.
    unsafe { libc::kill(i32::try_from(pid).unwrap(), libc::SIGKILL) };
}

/// Whether the job has begun, so that it can be stopped with a checkpoint.
fn has_checkpoint(user: &User) -> bool {
    let checkpoints = user.path("state/checkpoints");
    names(&checkpoints).iter().any(|job| names(&checkpoints.join(job).join("log")).len() > 1)
}

/// Runs a query again and again until its input has ended, with so many blows in all, and looks at what it has written.
fn survives(query: fn(&User) -> String, check: fn(&User), blows: u64) {
    let mut random = Random::new();
    let mut left = blows;
    while left > 0 {
        let user = User::new();
        let query = user.write("query.sql", &query(&user));
        let query = query.to_str().unwrap();
        // Compiled beforehand, so that the only children of a run are its workers.
        user.streamwright(&["build", query]).with_code(0);
        let mut restore = None;
        for attempt in 0.. {
            let parallelism = ["1", "2", "3"][random.below(3) as usize];
            let savepoint = format!("after-{attempt}");
            let mut arguments = vec!["run", "--state-dir", "state", "-p", parallelism, query];
            arguments.extend(OFTEN);
            // Files of state are merged as often as can be.
            arguments.extend(["--set", "pipeline.compaction.enabled=true"]);
            arguments.extend(["--set", "pipeline.compaction.checkpoints-to-compact=2"]);
            arguments.extend(["--set", "pipeline.state-initial-backoff=50ms"]);
            arguments.extend(["--savepoint-on-stop", &savepoint]);
            let from: Option<String> = restore.take();
            arguments.extend(from.iter().flat_map(|from| ["--restore", from.as_str()]));
            let mut running = user.start(user.command(&arguments));
            if left == 0 || attempt >= 4 {
                running.ended().with_code(0);
                break;
            }
            if !running.reaches("worker", |run| !children(run.pid()).is_empty()) {
                // There was nothing left to do.
                running.ended().with_code(0);
                break;
            }
            left -= 1;
            thread::sleep(Duration::from_millis(random.below(700)));
            let workers = children(running.pid());
            let blow = [Blow::Worker, Blow::Controller, Blow::Both, Blow::Savepoint][random.below(4) as usize];
            println!("{blow:?}");
            match blow {
                Blow::Worker => {
                    workers.into_iter().for_each(kill);
                    running.ended().with_code(0);
                    break;
                }
                Blow::Controller => kill(running.pid()),
                Blow::Both => {
                    // Either may be the first to go.
                    let mut both = [workers.clone(), vec![running.pid()]].concat();
                    if random.below(2) == 0 {
                        both.reverse();
                    }
                    both.into_iter().for_each(kill);
                }
                Blow::Savepoint => {
                    // One that has begun to end is not to be stopped any more, and says so.
                    if running.reaches("checkpoint", |_| has_checkpoint(&user)) {
                        running.signal(libc::SIGINT);
                    }
                    let ended = running.ended();
                    if !ended.stderr.contains(&format!("savepoint \"{savepoint}\" is checkpoint ")) {
                        continue;
                    }
                    restore = Some(format!("savepoint:{savepoint}"));
                    continue;
                }
            }
            drop(running);
            workers.into_iter().for_each(wait_for_end_of);
        }
        check(&user);
    }
}

/// Rows without end, not too many.
pub(crate) fn endless(user: &User) -> String {
    let query = format!(
        "CREATE TABLE beats WITH (connector = 'impulse', event_rate = '2000');
         CREATE TABLE each (counter BIGINT UNSIGNED)
             WITH (connector = 'filesystem', path = '{}', format = 'json', type = 'sink');
         INSERT INTO each SELECT counter FROM beats;",
        user.path("each").display(),
    );
    user.write("endless.sql", &query).display().to_string()
}

/// Controllers are killed. The worker goes on, and does what the next one says; another takes its place when it is
/// killed, too, or is not the one that is wanted.
#[test]
fn a_worker_outlives_its_controllers() {
    let mut random = Random::new();
    let user = User::new();
    let query = endless(&user);
    user.streamwright(&["build", &query]).with_code(0);
    let mut worker: Option<u32> = None;
    for attempt in 1..=6 {
        let rescaled = attempt >= 5;
        let mut arguments = vec!["run", "-s", "state", "-p", if rescaled { "2" } else { "1" }, query.as_str()];
        arguments.extend(OFTEN);
        arguments.extend(["--set", "process-scheduler.shutdown-with-controller=false"]);
        let mut running = user.start(user.command(&arguments));
        let runs = format!("Running, attempt {attempt},");
        running.wait_until("running job", |_| user.streamwright(&["status", "-s", "state"]).stdout.contains(&runs));
        let started = children(running.pid());
        match worker.filter(|_| attempt != 5) {
            Some(worker) => {
                assert_eq!(started, [0; 0], "attempt {attempt} goes on with the worker that runs");
                assert!(is_alive(worker));
            }
            None => {
                assert_eq!(started.len(), 1, "attempt {attempt} starts a worker");
                // One that runs another plan has been ended.
                worker.into_iter().for_each(wait_for_end_of);
                worker = started.first().copied();
            }
        }
        if attempt == 6 {
            user.streamwright(&["stop", "-s", "state"]).with_code(0);
            running.ended().with_code(0).saying("stopped: ");
            worker.into_iter().for_each(wait_for_end_of);
            break;
        }
        thread::sleep(Duration::from_millis(random.below(400)));
        running.signal(libc::SIGKILL);
        drop(running);
        assert!(worker.is_some_and(is_alive), "it goes on");
        if attempt == 3 {
            let pid = worker.take().unwrap();
            // SAFETY: `kill` takes numbers; the process is one that a run of ours has started, and it is alive.
            unsafe { libc::kill(i32::try_from(pid).unwrap(), libc::SIGKILL) };
            wait_for_end_of(pid);
        }
    }
    let mut each: Vec<u64> = rows(&user.path("each")).iter().map(|row| row["counter"].as_u64().unwrap()).collect();
    each.sort_unstable();
    assert!(!each.is_empty() && each.iter().copied().eq(0..each.len() as u64), "each row once, and none is missing");
    let hidden: Vec<_> = names(&user.path("each")).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

/// The directory of the checkpoints cannot be written for a while: the job waits, and goes on when it can.
#[test]
fn storage_that_is_mended_costs_nothing() {
    let user = User::new();
    let query = endless(&user);
    user.streamwright(&["build", &query]).with_code(0);
    let mut arguments = vec!["run", "-s", "state", query.as_str()];
    arguments.extend(OFTEN);
    let mut running = user.start(user.command(&arguments));
    running.wait_until("row", |_| !rows(&user.path("each")).is_empty());
    let (checkpoints, aside) = (user.path("state/checkpoints"), user.path("state/aside"));
    fs::rename(&checkpoints, &aside).unwrap();
    fs::write(&checkpoints, "not a directory").unwrap();
    running.wait_until("word of waiting", |run| run.stderr().contains("checkpoint"));
    // What was prepared before may be published yet.
    thread::sleep(Duration::from_millis(300));
    let before = rows(&user.path("each")).len();
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(rows(&user.path("each")).len(), before, "nothing is published without a manifest");
    fs::remove_file(&checkpoints).unwrap();
    fs::rename(&aside, &checkpoints).unwrap();
    running.wait_until("more rows", |_| rows(&user.path("each")).len() > before);
    let status = user.streamwright(&["status", "-s", "state"]).with_code(0).stdout;
    assert!(status.contains("Running, attempt 1, 0 restarts"), "{status}");
    user.streamwright(&["stop", "-s", "state"]).with_code(0);
    running.ended().with_code(0);
    let mut each: Vec<u64> = rows(&user.path("each")).iter().map(|row| row["counter"].as_u64().unwrap()).collect();
    each.sort_unstable();
    assert!(each.iter().copied().eq(0..each.len() as u64), "each row once, and none is missing");
}

/// A worker that nobody comes back to ends by itself.
#[test]
fn a_worker_does_not_wait_for_ever() {
    let user = User::new();
    let query = endless(&user);
    user.streamwright(&["build", &query]).with_code(0);
    let mut arguments = vec!["run", "-s", "state", query.as_str(), "--set", "controller.reattach-timeout=1s"];
    arguments.extend(["--set", "process-scheduler.shutdown-with-controller=false"]);
    let mut running = user.start(user.command(&arguments));
    running.wait_until("worker", |run| !children(run.pid()).is_empty());
    let workers = children(running.pid());
    running.signal(libc::SIGKILL);
    drop(running);
    workers.into_iter().for_each(wait_for_end_of);
}

#[test]
fn whatever_is_killed_whenever_the_output_is_that_of_one_run() {
    survives(query, check, crashes());
}

/// Changes of groups, pairs of windows, and Parquet.
fn other_query(user: &User) -> String {
    format!(
        "CREATE TABLE beats WITH (connector = 'impulse', event_rate = '20000', message_count = '{ROWS}',
             start_time = '2026-01-01T00:00:00Z', event_time_interval = '1ms');
         CREATE TABLE totals WITH (connector = 'filesystem', path = '{totals}', format = 'debezium_json', type = 'sink');
         CREATE TABLE pairs WITH (connector = 'filesystem', path = '{pairs}', format = 'json', type = 'sink');
         CREATE TABLE kept WITH (connector = 'filesystem', path = '{kept}', format = 'parquet', type = 'sink');
         CREATE VIEW sums AS
             SELECT tumble(INTERVAL '1 second') AS window, CAST(counter % {KEYS} AS BIGINT) AS k, count(*) AS n, sum(counter) AS total
             FROM beats GROUP BY window, k;
         CREATE VIEW evens AS
             SELECT tumble(INTERVAL '1 second') AS window, CAST(counter % {KEYS} AS BIGINT) AS k, count(*) AS n
             FROM beats WHERE counter % 2 = 0 GROUP BY window, k;
         INSERT INTO totals SELECT CAST(counter % {KEYS} AS BIGINT) AS k, count(*) AS n, sum(counter) AS total FROM beats GROUP BY k;
         INSERT INTO pairs SELECT a.window.start AS start, a.k, a.n, a.total, b.n AS evens
             FROM sums AS a JOIN evens AS b ON a.window = b.window AND a.k = b.k;
         INSERT INTO kept SELECT counter FROM beats;",
        totals = user.path("totals").display(),
        pairs = user.path("pairs").display(),
        kept = user.path("kept").display(),
    )
}

fn check_other(user: &User) {
    // What is left when changes have been applied, whatever their order.
    let mut groups: BTreeMap<(u64, u64, u64), i64> = BTreeMap::new();
    for change in rows(&user.path("totals")) {
        for (side, sign) in [("before", -1), ("after", 1)] {
            if let Some(row) = change[side].as_object() {
                let number = |name: &str| row[name].as_u64().unwrap();
                *groups.entry((number("k"), number("n"), number("total"))).or_default() += sign;
            }
        }
    }
    groups.retain(|_, count| *count != 0);
    let mut expected: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for counter in 0..ROWS {
        let sum = expected.entry(counter % KEYS).or_default();
        *sum = (sum.0 + 1, sum.1 + counter);
    }
    let expected = expected.into_iter().map(|(k, (n, total))| ((k, n, total), 1)).collect();
    assert_eq!(groups, expected, "each group once");

    let expected = expected_sums();
    let mut evens: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for counter in (0..ROWS).step_by(2) {
        *evens.entry((counter / ROWS_PER_WINDOW, counter % KEYS)).or_default() += 1;
    }
    let mut seen = BTreeSet::new();
    for row in rows(&user.path("pairs")) {
        let start: time::Seconds = row["start"].as_str().unwrap().into();
        let number = |name: &str| row[name].as_u64().unwrap();
        let group = (start.0, number("k"));
        let (n, total, _) = expected[&group];
        assert_eq!((number("n"), number("total"), number("evens")), (n, total, evens[&group]), "{row}");
        assert!(seen.insert(group), "{row} is there twice");
    }
    assert_eq!(seen.len(), expected.len(), "each window and key once");

    let mut kept = Vec::new();
    for name in names(&user.path("kept")) {
        let file = File::open(user.path("kept").join(&name)).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            kept.extend_from_slice(batch.column(0).as_primitive::<UInt64Type>().values());
        }
    }
    kept.sort_unstable();
    assert!(kept.iter().copied().eq(0..ROWS), "each row once: {} rows", kept.len());
    for directory in ["totals", "pairs", "kept"] {
        let hidden: Vec<_> = names(&user.path(directory)).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

#[test]
fn so_is_that_of_groups_without_a_window_of_joins_and_in_parquet() {
    survives(other_query, check_other, crashes());
}

/// Ctrl-C keeps windows open in a checkpoint, and the next run goes on with them, at another parallelism too.
#[test]
fn ctrl_c_stops_with_a_checkpoint_and_the_next_run_goes_on() {
    let user = User::new();
    let query = user.write("query.sql", &query(&user));
    let query = query.to_str().unwrap();
    user.streamwright(&["build", query]).with_code(0);
    let mut running = user.start(user.command(&["run", "--state-dir", "state", query]));
    running.wait_until("worker", |run| !children(run.pid()).is_empty());
    thread::sleep(Duration::from_millis(500));
    running.signal(libc::SIGINT);
    running.ended().with_code(0).saying("stopping with a checkpoint");
    let read = rows(&user.path("each")).len() as u64;
    assert!(read < ROWS, "it was stopped in the middle");
    user.streamwright(&["run", "--state-dir", "state", "-p", "3", query])
        .with_code(0)
        .saying("going on from checkpoint");
    check(&user);
    // As if that run had been killed between its last manifest and the publishing: the next one publishes.
    assert!(unpublish(&user) > 0);
    user.streamwright(&["run", "--state-dir", "state", query]).with_code(0).saying("going on from checkpoint");
    check(&user);
    // Then there is nothing left to do.
    user.streamwright(&["run", "--state-dir", "state", query]).with_code(0).saying("finished already");
    check(&user);
}

/// Hides again what the newest manifest's tokens stand for; how many files that was.
fn unpublish(user: &User) -> usize {
    let checkpoints = user.path("state/checkpoints");
    let log =
        checkpoints.join(names(&checkpoints).into_iter().find(|name| !name.starts_with('.')).unwrap()).join("log");
    let newest = log.join(names(&log).last().unwrap());
    let manifest: Value = serde_json::from_str(&fs::read_to_string(newest).unwrap()).unwrap();
    assert_eq!((&manifest["record"], &manifest["reason"]), (&"checkpoint".into(), &"end".into()));
    let items = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut hidden = 0;
    for task in items(&manifest, "stages").iter().flat_map(|stage| items(stage, "tasks")) {
        for part in items(&task, "tokens").iter().flat_map(|token| items(token, "parts")) {
            fs::rename(part["to"].as_str().unwrap(), part["from"].as_str().unwrap()).unwrap();
            hidden += 1;
        }
    }
    hidden
}
