//! Somebody at a terminal is asked before a changed query goes on with the state of the one before.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::state::{WITHOUT_TOTAL, stopped_before_the_change, windows};
use crate::user::User;

/// Both ends of a terminal: what its user has, and what a program has.
fn terminal() -> (File, OwnedFd) {
    let (mut user, mut program) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: `openpty` writes two descriptors, which are ours then; no name, settings and size are asked for.
    let opened = unsafe { libc::openpty(&raw mut user, &raw mut program, none, none.cast(), none.cast()) };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both are open, and nobody else's.
    unsafe { (File::from_raw_fd(user), OwnedFd::from_raw_fd(program)) }
}

/// `streamwright run` of the changed query, at a terminal, at which this is typed when it asks: what is to be read there.
fn at_a_terminal(user: &User, query: &str, typed: &str, code: i32) -> String {
    let (mut keyboard, program) = terminal();
    let mut command = user.command(&["run", "-s", "state", query]);
    command.stdin(Stdio::from(program.try_clone().unwrap()));
    let screen = Arc::new(Mutex::new(String::new()));
    let (mut reader, shown) = (keyboard.try_clone().unwrap(), screen.clone());
    let reading = thread::spawn(move || {
        let mut bytes = [0; 4096];
        // An error: the program has closed its end.
        while let Ok(read @ 1..) = reader.read(&mut bytes) {
            shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    });
    let mut running = user.start_at(command, program);
    running.wait_until("question", |_| screen.lock().unwrap().contains("Proceed? [y/N] "));
    keyboard.write_all(typed.as_bytes()).unwrap();
    running.ended().with_code(code);
    reading.join().unwrap();
    let screen = screen.lock().unwrap();
    screen.clone()
}

#[test]
fn a_changed_query_asks_and_goes_on_when_the_answer_is_yes() {
    let user = stopped_before_the_change();
    let query = user.write("after.sql", &windows(&user, "1 second", WITHOUT_TOTAL)).display().to_string();
    for no in ["\n", "n\n", "what?\n"] {
        let screen = at_a_terminal(&user, &query, no, 2);
        assert!(screen.contains(": sum(counter) is dropped"), "{screen}");
        assert!(screen.contains("not started"), "{screen}");
    }
    let screen = at_a_terminal(&user, &query, "y\n", 0);
    assert!(screen.contains("going on from checkpoint "), "{screen}");
    crate::state::check_counts(&user);
}
