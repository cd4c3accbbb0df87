//! A thread with room to recurse.
//!
//! The parser, DataFusion's planner and our own passes recurse over expressions, whose depth
//! [`crate::parse::MAX_DEPTH`] bounds. What one level costs depends on the profile; a caller's thread may have
//! 2 MB. The memory is only reserved, not used, until it is needed.

const STACK_BYTES: usize = 256 << 20;

/// Runs `work` on a thread of its own. A panic in it goes on in the caller.
pub(crate) fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("sql".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
        match thread.expect("a thread can be started").join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
