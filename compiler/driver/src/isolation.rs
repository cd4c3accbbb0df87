//! Runs passes where neither their recursion nor their bugs reach the caller.
//!
//! Passes recurse over expressions, so they get a thread with a large stack (reserved, used only when needed). A panic
//! in them is our bug: it ends the compilation, not the process, and becomes a diagnostic with the place in our
//! source that it comes from. For that a panic hook is installed, once; panics of other threads go on to the hook that
//! was there before.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once};

/// Deep enough for the deepest expression that the parser lets through.
const STACK_BYTES: usize = 64 << 20;

/// Names of the threads whose panics are caught: ours, and the one that the front end makes within it.
const THREADS: [&str; 2] = ["compile", "sql"];

/// Messages and places of panics that have not been asked for yet. A panic may cross threads on its way out, so the
/// place is found by the message.
static PLACES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Panic {
    pub(crate) message: String,
    /// `file:line`, in our source.
    pub(crate) place: String,
}

/// The value of `work`, or what it panicked with.
pub(crate) fn isolated<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Panic> {
    install_hook();
    let outcome = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(THREADS[0].to_owned()).stack_size(STACK_BYTES);
        thread
            .spawn_scoped(scope, || panic::catch_unwind(AssertUnwindSafe(work)))
            .map(|handle| handle.join().and_then(|outcome| outcome))
    });
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(payload)) => Err(caught(&*payload)),
        Err(error) => Err(Panic { message: format!("cannot start a thread: {error}"), place: "the system".to_owned() }),
    }
}

fn caught(payload: &(dyn Any + Send)) -> Panic {
    let message = text(payload);
    let mut places = places();
    let index = places.iter().position(|(said, _)| *said == message);
    let place = index.map_or_else(|| "an unknown place".to_owned(), |index| places.swap_remove(index).1);
    Panic { message, place }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it did not say why").to_owned()
}

fn places() -> std::sync::MutexGuard<'static, Vec<(String, String)>> {
    PLACES.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if !thread.name().is_some_and(|name| THREADS.contains(&name)) {
                return before(info);
            }
            let place = info.location().map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
            places().push((text(info.payload()), place));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_out_as_a_value_with_its_place() {
        let panic = isolated(|| panic!("no {} here", "digest")).unwrap_err();
        assert_eq!(panic.message, "no digest here");
        assert!(panic.place.contains("isolation.rs:"), "{}", panic.place);
        assert_eq!(isolated(|| 7).unwrap(), 7);
        assert!(places().iter().all(|(said, _)| said != "no digest here"));
    }

    #[test]
    fn a_panic_keeps_its_place_across_threads() {
        let panic = isolated(|| {
            let inner = std::thread::Builder::new().name("sql".into()).spawn(|| panic!("inside")).unwrap();
            panic::resume_unwind(inner.join().unwrap_err());
        });
        let panic = panic.unwrap_err();
        assert_eq!(panic.message, "inside");
        assert!(panic.place.contains("isolation.rs:"), "{}", panic.place);
    }

    #[test]
    fn deep_recursion_has_room() {
        fn depth(n: usize) -> usize {
            let block = std::hint::black_box([n; 64]);
            if n == 0 { 0 } else { 1 + depth(block[63] - 1) }
        }
        assert_eq!(isolated(|| depth(20_000)).unwrap(), 20_000);
    }
}
