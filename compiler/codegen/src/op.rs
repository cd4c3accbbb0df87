//! Operators: one file each. An operator adds functions to its stage's module, fields to its struct, and statements to the
//! callback that it runs in. (`aggregate` is what two of them share.)

mod aggregate;
pub(crate) mod compute;
pub(crate) mod filter;
pub(crate) mod project;
pub(crate) mod tumble;
pub(crate) mod updating;
pub(crate) mod watermark;
pub(crate) mod window_join;
