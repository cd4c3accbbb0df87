mod compiled;
mod isolation;
mod plan;
pub use compiled::{CompileOptions, CompileRequest, Compiled, PassTime, View};
