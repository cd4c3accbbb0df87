//! Finished: the input ended and everything was processed. Terminal.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished;
