//! The runner of the cases: what a case is ([`case`]), where it is built ([`world`]), the two kinds of test
//! ([`running`], [`failing`]), rows as text ([`rows`]) and the oracle ([`oracle`]).

pub(crate) mod case;
pub(crate) mod failing;
pub(crate) mod oracle;
pub(crate) mod rows;
pub(crate) mod running;
pub(crate) mod world;
