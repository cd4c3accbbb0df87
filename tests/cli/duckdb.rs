//! State files are Parquet: DuckDB makes of a table's files what `streamwright state export` does.
//!
//! `scripts/test-tools` installs it. Where it is not installed the test says so and has nothing to do, unless
//! `STREAMWRIGHT_TEST_TOOLS` says where it must be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::state::{json, stopped_with_savepoint};
use crate::user::{User, names};

/// As `docs/operations.md` has it, with names and numbers of the table at hand.
const LIVE_ROWS: &str = r#"
import duckdb, json, sys
table = json.loads(sys.argv[1])
db = duckdb.connect()
db.execute("SET VARIABLE files = ?", [table["files"]])
key, time = table["key"], table["time"]
rows = db.execute(f"""
    SELECT "{key}", epoch_ns("{time}"), COLUMNS(* EXCLUDE ("{key}", "{time}", filename))
    FROM read_parquet(getvariable('files'), filename = true)
    WHERE epoch_ns("{time}") + {table["nanos"]} > {table["watermark"]}
    QUALIFY row_number() OVER (
        PARTITION BY "{key}", "{time}" ORDER BY list_position(getvariable('files'), filename) DESC) = 1
""").fetchall()
print(json.dumps(rows, default=int))
"#;

/// A Python that has DuckDB.
fn python() -> Option<PathBuf> {
    let told = std::env::var_os("STREAMWRIGHT_TEST_TOOLS").map(PathBuf::from);
    // The executable of a test is in `target/<profile>/deps`.
    let exe = std::env::current_exe().unwrap();
    let target = exe.ancestors().nth(3).map_or_else(PathBuf::new, Path::to_owned);
    let python = told.clone().unwrap_or_else(|| target.join("test-tools")).join("python/bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(told.is_none(), "DuckDB is not installed: there is no \"{}\"", python.display());
    eprintln!("skipped: DuckDB is not installed; scripts/test-tools does that");
    None
}

#[test]
fn duckdb_reads_state() {
    let Some(python) = python() else { return };
    let user = User::new();
    stopped_with_savepoint(&user);
    let manifest = json(&user, &["show", "savepoint:first"]);
    let stages = manifest["stages"].as_array().unwrap();
    let of_stage = |stage: &'_ Value| {
        let tables = stage["tables"].as_array().unwrap().clone();
        tables.into_iter().find(|table| table["name"] == "groups").map(|table| (stage["tasks"].clone(), table))
    };
    let (tasks, table) = stages.iter().find_map(of_stage).unwrap();
    let watermarks: BTreeSet<i64> =
        tasks.as_array().unwrap().iter().map(|task| task["watermark"].as_i64().unwrap()).collect();
    assert_eq!(watermarks.len(), 1, "all rows go by one watermark");
    let files = table["files"].as_array().unwrap();
    assert!(files.len() > 1, "some rows are in several files, of which one counts");

    let checkpoints = user.path("state/checkpoints");
    let job = names(&checkpoints).into_iter().find(|name| !name.starts_with('.')).unwrap();
    let path = |file: &Value| checkpoints.join(&job).join(file["path"].as_str().unwrap()).display().to_string();
    let column = |at: usize| table["columns"][at]["name"].as_str().unwrap().to_owned();
    let time = table["lifetime"]["column"].as_u64().unwrap() as usize;
    let asked = json!({
        "files": files.iter().map(path).collect::<Vec<_>>(),
        "key": column(0),
        "time": column(time),
        "nanos": table["lifetime"]["nanos"],
        "watermark": watermarks.first(),
    });
    let out = Command::new(python).args(["-c", LIVE_ROWS, &asked.to_string()]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let read: Vec<Vec<Value>> = serde_json::from_slice(&out.stdout).unwrap();

    let exported = user.streamwright(&["state", "export", "savepoint:first", "groups", "-", "-s", "state"]);
    let exported = exported.with_code(0).rows();
    let columns: Vec<String> = (0..table["columns"].as_array().unwrap().len()).map(column).collect();
    let others = columns.iter().enumerate().filter(|(at, _)| *at != 0 && *at != time).map(|(_, name)| name);
    let others: Vec<&String> = others.collect();
    let line = |row: &Value| {
        let of = |name: &str| row[name].to_string();
        let time = nanos(row[&columns[time]].as_str().unwrap()).to_string();
        [vec![of(&columns[0]), time], others.iter().map(|name| of(name)).collect()].concat()
    };
    let mut expected: Vec<Vec<String>> = exported.iter().map(line).collect();
    let mut found: Vec<Vec<String>> = read.iter().map(|row| row.iter().map(Value::to_string).collect()).collect();
    expected.sort();
    found.sort();
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
}

/// Nanoseconds since the epoch of a time in the first hour of 2026.
fn nanos(time: &str) -> i64 {
    let seconds: crate::recovery::time::Seconds = time.into();
    crate::state::START + seconds.0 as i64 * 1_000_000_000
}
