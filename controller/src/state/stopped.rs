//! Stopped: ended because the user wanted it to. Terminal.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped;
