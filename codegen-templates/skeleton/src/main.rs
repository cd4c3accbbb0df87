//! The skeleton of a generated crate's `main.rs`: a pipeline without stages and connectors. Code generation fills in
//! the two tables and the modules.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline { code: env!("STREAMWRIGHT_CODE"), stages: &[] as &[StageDef], connectors: &[] };

pub(crate) fn main() -> ExitCode {
    worker_lib::main(&PIPELINE)
}
