//! Failed: ended by an error that no further attempt would mend, or after the last attempt. Terminal.

use crate::job::Failure;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub failure: Failure,
}
