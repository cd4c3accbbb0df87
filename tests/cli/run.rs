//! `run`: rows, inputs and outputs that fail, the state directory.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::user::{BEATS, LAST_BEATS, User, children, names, wait_for_end_of};

/// One row at once, and twenty a second from then on. The code is that of [`BEATS`].
const ENDLESS: &str = "\
CREATE TABLE beats WITH (connector = 'impulse', event_rate = 20);
SELECT counter FROM beats;
";

const FULL: &str = "/dev/full";

#[test]
fn rows_go_to_stdout_and_all_that_is_said_to_stderr() {
    let user = User::new();
    let file = user.write("beats.sql", BEATS);
    let mut from_stdin = user.command(&["run", "-"]);
    from_stdin.stdin(File::open(file).unwrap());
    for command in [user.command(&["run", "beats.sql"]), from_stdin, user.command(&["run", BEATS])] {
        let ended = user.start(command).ended().with_code(0);
        let lines = "{\"counter\":0}\n{\"counter\":1}\n{\"counter\":2}\n{\"counter\":3}\n{\"counter\":4}\n";
        assert_eq!(ended.stdout, lines);
        ended.saying("compiled in ").saying("finished: 5 rows in, 5 rows out in ");
    }
}

#[test]
fn what_is_to_run_can_come_from_the_configuration() {
    let user = User::new();
    user.write("beats.sql", BEATS);
    user.write("streamwright.toml", "[run]\nquery = \"beats.sql\"\nstate-dir = \"state\"\n");
    assert_eq!(user.streamwright(&["run"]).with_code(0).rows().len(), 5);
    assert!(user.path("state/state.sqlite").exists());
}

// --- inputs --------------------------------------------------------------------------------------------------------

/// Reads the lines of a file.
fn reading(path: &Path, more_options: &str) -> String {
    format!(
        "CREATE TABLE v (id INT NOT NULL, n BIGINT)\n\
         WITH (connector = 'single_file', path = '{}', format = 'json', type = 'source'{more_options});\n\
         SELECT id, n FROM v;\n",
        path.display()
    )
}

fn three_lines_of_which_the_second_is_bad(user: &User) -> String {
    let path = user.write("v.jsonl", "{\"id\": 1, \"n\": 1}\n{\"id\": 2, \"n\": \"many\"}\n{\"id\": 3, \"n\": 3}\n");
    path.display().to_string()
}

#[test]
fn an_input_that_is_not_there_is_named() {
    let user = User::new();
    let missing = user.path("missing.jsonl");
    let reason = format!("cannot open \"{}\": no such file or directory", missing.display());
    user.streamwright(&["run", &reading(&missing, "")]).with_code(1).without_rows().saying(&reason).saying("hint: ");
}

#[test]
fn an_input_that_may_not_be_read_is_named() {
    // SAFETY: `geteuid` cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        eprintln!("skipped: root may read everything");
        return;
    }
    let user = User::new();
    let directory = user.path("locked");
    fs::create_dir(&directory).unwrap();
    let input = user.write("locked/v.jsonl", "{\"id\": 1, \"n\": 1}\n");
    let allow = |mode| fs::set_permissions(&directory, PermissionsExt::from_mode(mode)).unwrap();
    allow(0o000);
    let ended = user.streamwright(&["run", &reading(&input, "")]);
    allow(0o755);
    let reason = format!("cannot open \"{}\": permission denied", input.display());
    ended.with_code(1).without_rows().saying(&reason).saying("hint: ");
}

#[test]
fn a_bad_row_ends_the_run_with_its_place_and_reason() {
    let user = User::new();
    let path = three_lines_of_which_the_second_is_bad(&user);
    let reason = format!("\"{path}\", line 2, column 16: column \"n\": BIGINT expected, found \"many\"");
    for more_options in ["", ", bad_data = 'fail'"] {
        let query = reading(Path::new(&path), more_options);
        user.streamwright(&["run", &query]).with_code(1).saying(&reason).saying("bad_data = 'drop'");
    }
}

#[test]
fn bad_rows_that_are_dropped_are_counted() {
    let user = User::new();
    let path = three_lines_of_which_the_second_is_bad(&user);
    let ended = user.streamwright(&["run", &reading(Path::new(&path), ", bad_data = 'drop'")]).with_code(0);
    assert_eq!(ended.rows(), [json!({ "id": 1, "n": 1 }), json!({ "id": 3, "n": 3 })]);
    ended.saying("finished: 2 rows in, 2 rows out in ").saying(", 1 bad row");
}

#[test]
fn a_report_has_what_every_task_has_counted() {
    let user = User::new();
    // One row is bad, and one is late, for its window has been closed by the row before it.
    let rows = "{\"id\": 1, \"at\": \"2026-01-01T00:00:00\"}\n{\"id\": \"two\", \"at\": \"2026-01-01T00:00:01\"}\n\
                {\"id\": 3, \"at\": \"2026-01-01T00:00:20\"}\n{\"id\": 4, \"at\": \"2026-01-01T00:00:05\"}\n";
    let path = user.write("v.jsonl", rows);
    let query = format!(
        "CREATE TABLE v (id INT NOT NULL, at TIMESTAMP, WATERMARK FOR at)\n\
         WITH (connector = 'single_file', path = '{}', format = 'json', type = 'source', bad_data = 'drop');\n\
         SELECT tumble(INTERVAL '10 seconds') AS window, max(id) AS last FROM v GROUP BY window;\n",
        path.display()
    );
    let a_row_a_batch = ["--set", "pipeline.source-batch-size=1"];
    let command = [&["run", "--report", "report.json", &query][..], &a_row_a_batch].concat();
    let ended = user.streamwright(&command).with_code(0).saying(", 1 late row").saying(", 1 bad row");
    assert_eq!(ended.rows().len(), 2);

    let read = || -> Value { serde_json::from_str(&fs::read_to_string(user.path("report.json")).unwrap()).unwrap() };
    let report = read();
    assert_eq!((&report["state"], &report["attempt"], &report["restarts"]), (&json!("Finished"), &json!(1), &json!(0)));
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    let tasks = report["tasks"].as_array().unwrap();
    let total = |counter: &str| -> u64 { tasks.iter().map(|task| task[counter].as_u64().unwrap()).sum() };
    assert_eq!((total("bad_rows"), total("late_rows")), (1, 1));
    assert!(total("busy_nanos") > 0 && total("bytes_out") > 0);
    for task in tasks {
        assert!(task["name"].is_string() && task["blocked_nanos"].is_u64() && task["finished"] == true, "{task}");
    }
    let source = &tasks[0];
    let counted =
        ["stage", "task", "rows_in", "batches_in", "bytes_in"].map(|counter| source[counter].as_u64().unwrap());
    assert_eq!(counted, [0, 0, 3, 3, rows.len() as u64]);

    // A job that fails has counted, too.
    let failing = query.replace(", bad_data = 'drop'", "");
    let command = [&["run", "--report", "report.json", &failing][..], &a_row_a_batch].concat();
    user.streamwright(&command).with_code(1);
    assert_eq!((&read()["state"], &read()["tasks"][0]["finished"]), (&json!("Failed"), &json!(false)));

    let refused = user.streamwright(&["run", "--report", "missing/report.json", BEATS]).with_code(2).without_rows();
    refused.saying("cannot create the report \"missing/report.json\"").saying("--report");
}

#[test]
fn state_that_has_no_room_in_memory_goes_to_the_disk_that_is_named() {
    let user = User::new();
    fs::create_dir(user.path("spill")).unwrap();
    let query = "\
CREATE TABLE beats (counter BIGINT UNSIGNED) WITH (connector = 'impulse', message_count = 100);
SELECT k, count(*) AS n FROM (SELECT CAST(counter AS BIGINT) % 7 AS k FROM beats) AS keys GROUP BY k;
";
    let spill = format!("worker.spill-dir={}", user.path("spill").display());
    let run = |memory: &str| -> u64 {
        let memory = format!("worker.state-memory={memory}");
        let batches = "pipeline.source-batch-size=10";
        let command = ["run", "--report", "report.json", query, "--set", &memory, "--set", &spill, "--set", batches];
        user.streamwright(&command).with_code(0).saying("finished: 100 rows in");
        assert_eq!(names(&user.path("spill")), [""; 0]);
        let report: Value = serde_json::from_str(&fs::read_to_string(user.path("report.json")).unwrap()).unwrap();
        report["tasks"].as_array().unwrap().iter().map(|task| task["spilled_groups"].as_u64().unwrap()).sum()
    };
    assert_eq!((run("1GiB"), run("0")), (0, 7));
    let wrong = user.streamwright(&["run", query, "--set", "worker.state-memory=much"]).with_code(2).without_rows();
    wrong.saying("must be a number of bytes such as \"512MB\"");
}

// --- outputs -------------------------------------------------------------------------------------------------------

/// Writes five rows to a file or below a directory.
fn writing(connector: &str, path: &Path) -> String {
    format!(
        "CREATE TABLE beats WITH (connector = 'impulse', message_count = 5);\n\
         CREATE TABLE kept WITH (connector = '{connector}', path = '{}', format = 'json', type = 'sink');\n\
         INSERT INTO kept SELECT counter FROM beats;\n",
        path.display()
    )
}

#[test]
fn an_output_that_cannot_be_made_is_named() {
    let user = User::new();
    let file = user.write("file", "no directory");
    for (connector, output) in [("single_file", "file/kept.json"), ("filesystem", "file/kept")] {
        let ended = user.streamwright(&["run", &writing(connector, &user.path(output))]).with_code(1).without_rows();
        ended.saying("cannot create ").saying(&file.display().to_string());
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "no directory");
}

#[test]
fn a_full_disk_ends_the_run_and_names_the_file() {
    if !Path::new(FULL).exists() {
        eprintln!("skipped: there is no {FULL}");
        return;
    }
    let user = User::new();
    // It may be mended any time, so the job tries again, and says why; here it may not.
    let once = ["run", "--set", "pipeline.allowed-restarts=0", &writing("single_file", Path::new(FULL))];
    let ended = user.streamwright(&once).with_code(1);
    ended.saying("cannot write \"/dev/full\": no space left on device").saying("hint: ");
}

#[test]
fn a_full_disk_behind_stdout_is_no_success() {
    if !Path::new(FULL).exists() {
        eprintln!("skipped: there is no {FULL}");
        return;
    }
    let user = User::new();
    for command in ["run", "explain"] {
        let full = File::options().write(true).open(FULL).unwrap();
        let ended = user.start_into(user.command(&[command, BEATS]), full).ended().with_code(1);
        ended.saying("cannot write to the standard output: No space left on device");
    }
}

#[test]
fn outputs_are_whole_files_under_their_names() {
    let user = User::new();
    let rows = |path: &Path| -> Vec<Value> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let beats: Vec<Value> = (0..5).map(|n| json!({ "counter": n })).collect();
    let file = user.path("kept.json");
    user.streamwright(&["run", &writing("single_file", &file)]).with_code(0).without_rows();
    assert_eq!(rows(&file), beats);
    let directory = user.path("kept");
    user.streamwright(&["run", &writing("filesystem", &directory)]).with_code(0).without_rows();
    let parts = names(&directory);
    assert!(parts.len() == 1 && !parts[0].starts_with('.'), "{parts:?}");
    assert_eq!(rows(&directory.join(&parts[0])), beats);
}

// --- the state directory -------------------------------------------------------------------------------------------

#[test]
fn a_state_directory_has_one_run_at_a_time() {
    let user = User::new();
    let mut first = user.start(user.command(&["run", "-s", "state", ENDLESS]));
    first.wait_until("row", |run| !run.stdout().is_empty());
    let in_use = format!("state directory \"state\" is in use by process {}", first.pid());
    let second = user.streamwright(&["run", "-s", "state", ENDLESS]).with_code(2).without_rows();
    second.saying(&in_use).saying("hint: Stop the other run, or give this one another directory with --state-dir.");
    let elsewhere = format!("file://{}", user.path("elsewhere").display());
    assert_eq!(user.streamwright(&["run", "-s", &elsewhere, BEATS]).with_code(0).rows().len(), 5);
    first.signal(libc::SIGINT);
    first.ended().with_code(0);
    // The directory is free again; what was read by then is not read again, unless one begins anew.
    assert!(user.streamwright(&["run", "-s", "state", BEATS]).with_code(0).rows().len() < 5);
    assert_eq!(user.streamwright(&["run", "-f", "-s", "state", BEATS]).with_code(0).rows().len(), 5);
}

#[test]
fn a_state_directory_belongs_to_one_query() {
    let user = User::new();
    let run = |query: &str, more: &[&str]| {
        let mut command = user.command(&["run", "-n", "heart", "-s", "state", query]);
        command.args(more);
        user.start(command).ended()
    };
    run(BEATS, &[]).with_code(0);
    run(&format!("\n-- again\n{}", BEATS.replace(' ', "\n  ")), &[]).with_code(0).saying("finished already");
    let refused = run(LAST_BEATS, &[]).with_code(2).without_rows();
    refused.saying("state directory \"state\" belongs to another query, \"heart\"").saying("--force");
    assert_eq!(run(LAST_BEATS, &["--force"]).with_code(0).rows(), [json!({ "counter": 3 }), json!({ "counter": 4 })]);
    assert!(user.path("state/state.sqlite").exists());
    assert_eq!(names(&user.path("state/jobs")), [""; 0], "binaries go with their jobs");
}

#[test]
fn directories_that_cannot_be_made_are_named() {
    let user = User::new();
    user.write("file", "no directory");
    let refused = user.streamwright(&["run", "-s", "file/state", BEATS]).with_code(2).without_rows();
    refused.saying("cannot make the state directory \"file/state\"").saying("--state-dir");
    let store = "compiler.artifact-url=file/store";
    let refused = user.streamwright(&["run", "--set", store, BEATS]).with_code(2).without_rows();
    refused.saying("cannot create directory \"").saying("file/store/cas");
}

#[test]
fn a_run_that_is_killed_takes_its_worker_along_and_can_be_repeated() {
    let user = User::new();
    let mut first = user.start(user.command(&["run", "-s", "state", ENDLESS]));
    first.wait_until("row", |run| !run.stdout().is_empty());
    let workers = children(first.pid());
    assert_eq!(workers.len(), 1);
    first.signal(libc::SIGKILL);
    assert_eq!(first.ended().code, None);
    workers.into_iter().for_each(wait_for_end_of);
    let second = user.streamwright(&["run", "-s", "state", BEATS]).with_code(0);
    assert_eq!(second.rows().len(), 5);
    second.saying("the controller before this one ended while jobs were running");
}
