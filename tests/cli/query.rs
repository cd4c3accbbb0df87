//! What is said of a query, and of arguments, before anything is built: `check`, `explain`, and every mistake.

use std::fs::File;

use serde_json::{Value, json};

use crate::user::{BEATS, LAST_BEATS, User};

/// Two statements with a mistake each.
const WRONG: &str = "\
CREATE TABLE beats WITH (connector = 'impulse', message_count = 5);
SELECT nothing FROM beats;
SELECT uper(counter) FROM beats;
";

#[test]
fn mistakes_are_told_all_at_once_each_with_code_place_and_caret() {
    let user = User::new();
    user.write("wrong.sql", WRONG);
    for command in ["run", "check", "explain", "build"] {
        let ended = user.streamwright(&[command, "wrong.sql"]).with_code(3).without_rows();
        ended
            .saying("error[E0302]: column \"nothing\" does not exist\n --> wrong.sql:2:8\n")
            .saying("\n2 | SELECT nothing FROM beats;\n  |        ^^^^^^^\n")
            .saying("error[E0303]: function \"uper\" does not exist\n --> wrong.sql:3:8\n")
            .saying("\n3 | SELECT uper(counter) FROM beats;\n  |        ^^^^\n")
            .saying("Did you mean \"upper\"?");
    }
}

#[test]
fn a_mistake_names_where_the_query_came_from() {
    let user = User::new();
    let mut from_stdin = user.command(&["check", "-"]);
    from_stdin.stdin(File::open(user.write("wrong.sql", WRONG)).unwrap());
    user.start(from_stdin).ended().with_code(3).saying(" --> <stdin>:2:8\n");
    user.streamwright(&["check", WRONG]).with_code(3).saying(" --> <argument>:2:8\n");
}

#[test]
fn check_is_silent_on_stdout_unless_asked_for_json() {
    let user = User::new();
    user.write("beats.sql", BEATS);
    user.streamwright(&["check", "beats.sql"]).with_code(0).without_rows().saying("beats.sql: no errors");
    let ended = user.streamwright(&["check", "--json", "beats.sql"]).with_code(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("[]\n", ""));

    let ended = user.streamwright(&["check", "--json", WRONG]).with_code(3);
    assert_eq!(ended.stderr, "");
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let place = |n: usize| json!([found[n]["code"], found[n]["line"], found[n]["column"]]);
    assert_eq!((place(0), place(1)), (json!(["E0302", 2, 8]), json!(["E0303", 3, 8])));
    assert_eq!(found.as_array().map(Vec::len), Some(2));
}

/// A query that says something in vain.
const WARNED: &str = "\
CREATE TABLE beats WITH (connector = 'impulse', message_count = 5);
CREATE TABLE kept (counter BIGINT UNSIGNED PRIMARY KEY) WITH (connector = 'single_file', path = 'kept.json');
INSERT INTO kept SELECT counter FROM beats;
";

#[test]
fn what_is_in_vain_is_warned_of_and_no_mistake() {
    let user = User::new();
    user.write("warned.sql", WARNED);
    for command in ["check", "run", "build"] {
        let ended = user.streamwright(&[command, "warned.sql"]).with_code(0);
        ended
            .saying("warning[W0200]: PRIMARY KEY of column \"counter\" has no effect on a sink\n --> warned.sql:2:20\n")
            .saying("2 | CREATE TABLE kept (counter BIGINT UNSIGNED PRIMARY KEY)");
    }
    let ended = user.streamwright(&["check", "--json", "warned.sql"]).with_code(0);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&found[0]["severity"], &found[0]["line"]), (&json!("warning"), &json!(2)));
    assert_eq!((ended.stderr.as_str(), found.as_array().map(Vec::len)), ("", Some(1)));
}

#[test]
fn every_view_is_explained() {
    let user = User::new();
    for (view, texts) in [
        ("ast", ["CREATE TABLE beats", "'connector' = 'impulse'"]),
        ("logical", ["Sink: stdout (stdout)", "TableScan: beats"]),
        ("plan", ["%0 = source beats (impulse) -> (counter BIGINT UNSIGNED NOT NULL)", "filter %0: counter >= 3"]),
        ("stream", ["stage 0 beats x2", "  filter counter >= 3"]),
        ("rust", ["// src/main.rs\n", "fn main() -> ExitCode {"]),
    ] {
        let ended = user.streamwright(&["explain", "--view", view, "-p", "2", LAST_BEATS]).with_code(0);
        assert_eq!(ended.stderr, "");
        for text in texts {
            assert!(ended.stdout.contains(text), "view {view} without {text}:\n{}", ended.stdout);
        }
    }
    let explained = |arguments: &[&str]| user.streamwright(arguments).with_code(0).stdout;
    assert_eq!(explained(&["explain", BEATS]), explained(&["explain", "--view", "stream", BEATS]));
}

/// Arguments, and what is said of them.
const WRONG_ARGUMENTS: &[(&[&str], &str)] = &[
    (&["dance"], "'dance'"),
    (&["run", "--frobnicate", BEATS], "'--frobnicate'"),
    (&["run", "-p", "0", BEATS], "must be a number from 1 to 4096"),
    (&["explain", "--view", "physical", BEATS], "not \"physical\""),
    (&["build"], "QUERY"),
    (&["run"], "no query"),
    (&["run", "missing.sql"], "cannot read the query \"missing.sql\""),
    (&["run", "-c", "missing.toml", BEATS], "cannot read the configuration \"missing.toml\""),
    (&["run", "--set", "nothing", BEATS], "--set nothing: no value"),
    (&["run", "--set", "pipeline.source-batchsize=1", BEATS], "\"pipeline.source-batchsize\" does not exist"),
    (&["run", "--set", "pipeline.source-batchsize=1", BEATS], "Did you mean \"pipeline.source-batch-size\"?"),
    (&["check", "--set", "pipeline.source-batch-size=0", BEATS], "must be a whole number from 1 on, not 0"),
    (&["build", "--set", "pipeline.source-batch-linger=soon", BEATS], "must be a duration"),
    (&["run", "--set", "compiler.artifact-url=s3://bucket/x", BEATS], "object stores are not supported yet"),
    (&["run", "-s", "gs://bucket/x", BEATS], "object stores are not supported yet"),
];

#[test]
fn wrong_arguments_and_configuration_are_named() {
    let user = User::new();
    for (arguments, text) in WRONG_ARGUMENTS {
        user.streamwright(arguments).with_code(2).without_rows().saying(text);
    }
    let mut from_environment = user.command(&["run", BEATS]);
    from_environment.env("STREAMWRIGHT__PIPELINE__SOURCE_BATCH_SIZE", "many");
    let wrong = "\"pipeline.source-batch-size\" must be a whole number from 1 on, not \"many\"";
    user.start(from_environment).ended().with_code(2).without_rows().saying(wrong);
}

#[test]
fn help_is_no_mistake_and_lists_the_exit_codes() {
    let ended = User::new().streamwright(&["--help"]).with_code(0);
    assert_eq!(ended.stderr, "");
    for text in ["Exit codes:", "  130  given up by a second Ctrl-C", "bundle"] {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
}
