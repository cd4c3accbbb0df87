//! JSON lines, read into typed columns and written from them.
//!
//! There is no document tree in between: [`decode`] walks the bytes once and puts the wanted fields into their
//! columns, stepping over the rest; [`encode`] writes each row's bytes straight from the columns, and [`debezium`]
//! puts envelopes around them.

pub(crate) mod debezium;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod names;
mod scan;

pub(crate) use scan::find_special;
