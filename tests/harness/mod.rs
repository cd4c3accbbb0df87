//! The runner of the cases: what a case is ([`case`]), where it is built ([`world`]) and with what ([`program`]), the
//! two kinds of test ([`running`], [`failing`]), inputs in parts ([`cut`]), rows as text ([`rows`], [`changes`]), the oracle
//! ([`oracle`]), and workers that are killed ([`crashing`]).

pub(crate) mod case;
pub(crate) mod changes;
pub(crate) mod crashing;
pub(crate) mod cut;
pub(crate) mod failing;
pub(crate) mod oracle;
pub(crate) mod program;
pub(crate) mod rows;
pub(crate) mod running;
pub(crate) mod world;
