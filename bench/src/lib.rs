//! Benchmarks. Each is a binary in `src/bin`, prints its figures beside a baseline of the same run, and asserts
//! nothing about time. `docs/performance.md` has the commands and the last figures.

pub mod process;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
