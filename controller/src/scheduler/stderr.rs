//! What a worker writes to its stderr: each line goes to the log, the last ones explain a death.
//!
//! A worker that dies with its controller has a pipe. One that outlives it must not: writing to a pipe that nobody reads is
//! an error. It has a file, of which this controller, and the next, read what is added.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _};
use tokio::task::JoinHandle;

/// Lines that are kept, and bytes of one line.
const LAST_LINES: usize = 20;
const LINE_BYTES: usize = 8 * 1024;
/// From a process's end to the end of its stderr, which a child of its own might keep open.
const GRACE: Duration = Duration::from_millis(500);
/// How often it is looked whether a file has grown.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where in a file reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Begin,
    /// Another controller has read what is there.
    End,
}

/// The stderr of one process.
pub(super) struct Stderr {
    last: Arc<Mutex<VecDeque<String>>>,
    ended: Arc<AtomicBool>,
    reading: Option<JoinHandle<()>>,
}

impl Stderr {
    pub(super) fn of_pipe(
        pipe: impl AsyncRead + Unpin + Send + 'static,
        line: impl FnMut(String) + Send + 'static,
    ) -> Stderr {
        let (mut stderr, mut lines) = Stderr::new(line);
        stderr.reading = Some(tokio::spawn(async move {
            lines.read(pipe).await;
            lines.end();
        }));
        stderr
    }

    pub(super) fn of_file(path: PathBuf, from: From, line: impl FnMut(String) + Send + 'static) -> Stderr {
        let (mut stderr, mut lines) = Stderr::new(line);
        let ended = stderr.ended.clone();
        stderr.reading = Some(tokio::spawn(async move {
            let Ok(mut file) = File::open(&path).await else { return };
            if from == From::End {
                let _ = file.seek(std::io::SeekFrom::End(0)).await;
            }
            loop {
                // What was written before the end is there when the end is known.
                let last = ended.load(Ordering::Acquire);
                lines.read(&mut file).await;
                if last {
                    return lines.end();
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }));
        stderr
    }

    fn new(mut line: impl FnMut(String) + Send + 'static) -> (Stderr, Lines<impl FnMut(String) + Send + 'static>) {
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let kept = last.clone();
        let heard = move |text: String| {
            let mut kept = lock(&kept);
            if kept.len() == LAST_LINES {
                kept.pop_front();
            }
            kept.push_back(text.clone());
            line(text);
        };
        (Stderr { last, ended: Arc::default(), reading: None }, Lines { open: Vec::new(), line: heard })
    }

    /// The last lines of a process that has ended.
    pub(super) async fn last_lines(&mut self) -> String {
        self.ended.store(true, Ordering::Release);
        if let Some(reading) = self.reading.take() {
            // On time-out the reader is left to itself; it ends with its pipe.
            let _ = tokio::time::timeout(GRACE, reading).await;
        }
        lock(&self.last).make_contiguous().join("\n")
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

fn lock(lines: &Mutex<VecDeque<String>>) -> MutexGuard<'_, VecDeque<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands over each line of a stream, cut at [`LINE_BYTES`].
struct Lines<F> {
    open: Vec<u8>,
    line: F,
}

impl<F: FnMut(String)> Lines<F> {
    /// Up to where the stream ends for now.
    async fn read(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut block = [0; 4096];
        loop {
            let read = match from.read(&mut block).await {
                Ok(0) | Err(_) => return,
                Ok(read) => read,
            };
            for &byte in &block[..read] {
                match byte {
                    b'\n' => self.end_line(),
                    _ if self.open.len() < LINE_BYTES => self.open.push(byte),
                    _ => {}
                }
            }
        }
    }

    /// No more comes.
    fn end(&mut self) {
        if !self.open.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        (self.line)(String::from_utf8_lossy(&std::mem::take(&mut self.open)).trim_end().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_and_an_unfinished_one_is_not_lost() {
        let mut text = vec![b'x'; LINE_BYTES + 100];
        text.extend_from_slice(b"\nshort\r\n\nlast");
        let mut heard = vec![];
        let mut lines = Lines { open: Vec::new(), line: |line: String| heard.push(line) };
        lines.read(&text[..]).await;
        lines.end();
        assert_eq!(heard[0].len(), LINE_BYTES);
        assert_eq!(heard[1..], ["short", "", "last"]);
    }

    #[tokio::test]
    async fn a_file_is_read_as_it_grows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "of another time\nbegun").unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let lines = heard.clone();
        let mut all = Stderr::of_file(path.clone(), From::Begin, move |line| lines.lock().unwrap().push(line));
        let mut late = Stderr::of_file(path.clone(), From::End, |_| {});
        // Both have found its end.
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert_eq!(*heard.lock().unwrap(), ["of another time"]);
        std::fs::write(&path, "of another time\nbegun, ended\nlast").unwrap();
        assert_eq!(all.last_lines().await, "of another time\nbegun, ended\nlast");
        assert_eq!(late.last_lines().await, ", ended\nlast");
    }
}
