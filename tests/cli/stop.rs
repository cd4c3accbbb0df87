//! How a run ends before its input does: Ctrl-C, once and twice, and a reader that has seen enough.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};

use crate::user::{Ended, PATIENCE, User, names};

/// Rows without end, as fast as they are taken.
const FLOOD: &str = "\
CREATE TABLE beats WITH (connector = 'impulse');
SELECT counter FROM beats;
";

/// One row, and the next one in a quarter of an hour.
const TRICKLE: &str = "\
CREATE TABLE beats WITH (connector = 'impulse', event_rate = '0.001');
SELECT counter FROM beats;
";

#[test]
fn ctrl_c_flushes_windows_and_completes_files() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let user = User::new();
        let directory = user.path("kept");
        // All rows are in one window, which is open when the signal comes.
        let query = format!(
            "CREATE TABLE beats WITH (connector = 'impulse', event_rate = 200, start_time = '2024-01-01T00:00:00Z');\n\
             CREATE TABLE kept WITH (connector = 'filesystem', path = '{}', format = 'json', type = 'sink');\n\
             INSERT INTO kept SELECT tumble(INTERVAL '1 hour') AS window, count(*) AS n FROM beats GROUP BY window;\n\
             SELECT counter FROM beats;\n",
            directory.display()
        );
        let mut running = user.start(user.command(&["run", "-p", "2", &query]));
        running.wait_until("row", |run| !run.stdout().is_empty());
        assert_eq!(names(&directory), [""; 0], "the window is open");
        running.signal(signal);
        let ended = running.ended().with_code(0).saying("stopping (Ctrl-C again").saying("stopped: ");

        let files = names(&directory);
        assert!(files.len() == 1 && !files[0].starts_with('.'), "{files:?}");
        let kept: Value = serde_json::from_str(&fs::read_to_string(directory.join(&files[0])).unwrap()).unwrap();
        let window = json!({ "start": "2024-01-01T00:00:00", "end": "2024-01-01T01:00:00" });
        // What had been read by then has come out of both sinks.
        assert_eq!(kept, json!({ "window": window, "n": ended.rows().len() }));
    }
}

#[test]
fn a_second_ctrl_c_gives_up_rows_that_nobody_takes() {
    let user = User::new();
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut running = user.start_into(user.command(&["run", FLOOD]), writer.try_clone().unwrap());
    // Rows that are read by now cannot flow out, so a stop in good order would wait for two minutes.
    running.wait_until("full pipe", |_| is_full(&writer));
    running.signal(libc::SIGINT);
    running.wait_until("word of stopping", |run| run.stderr().contains("stopping (Ctrl-C again"));
    running.signal(libc::SIGINT);
    running.ended().with_code(130).saying("given up");
}

/// Whether a write would have to wait.
fn is_full(pipe: &PipeWriter) -> bool {
    let mut poll = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `poll` is given one valid `pollfd`, its count, and no time to wait.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 0 }
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_run_quietly() {
    let (lines, ended) = run_into_head(FLOOD, 3);
    assert_eq!(lines, ["{\"counter\":0}", "{\"counter\":1}", "{\"counter\":2}"]);
    assert_quiet(&ended.with_code(0));
}

#[test]
fn a_reader_that_goes_between_two_rows_is_missed() {
    let (lines, ended) = run_into_head(TRICKLE, 1);
    assert_eq!(lines, ["{\"counter\":0}"]);
    assert_quiet(&ended.with_code(0));
}

#[test]
fn a_run_that_can_be_resumed_has_not_ended_when_its_reader_goes() {
    let user = User::new();
    let state = user.path("state").display().to_string();
    for _ in 0..2 {
        let (lines, ended) = into_head(&user, &["run", "--state-dir", &state, FLOOD], 1);
        assert_eq!(lines, ["{\"counter\":0}"], "no checkpoint was due: it begins again");
        ended.with_code(0);
    }
}

/// `streamwright run QUERY | head -n COUNT`
fn run_into_head(query: &str, count: usize) -> (Vec<String>, Ended) {
    into_head(&User::new(), &["run", query], count)
}

fn into_head(user: &User, arguments: &[&str], count: usize) -> (Vec<String>, Ended) {
    let (reader, writer) = std::io::pipe().unwrap();
    let running = user.start_into(user.command(arguments), writer);
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(head(reader, count)));
    let lines = receive.recv_timeout(PATIENCE).unwrap();
    (lines, running.ended())
}

/// The first lines of a pipe, which is closed then.
fn head(pipe: PipeReader, count: usize) -> Vec<String> {
    BufReader::new(pipe).lines().map_while(Result::ok).take(count).collect()
}

/// There is the line about compiling, and nothing about the end.
fn assert_quiet(ended: &Ended) {
    assert!(ended.stderr.lines().all(|line| line.contains("compiled in ")), "{}", ended.stderr);
}
