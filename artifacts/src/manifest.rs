//! The documents that name blobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A blob by name and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// What a build has made, stored under its action key.
///
/// The key is a digest of everything that decides the bytes of the outputs. The rest of the document tells people
/// where they came from and decides nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub action_key: Digest,
    /// By role: `pipeline`, the executable; `log`, what the compiler said, if it said anything.
    pub outputs: BTreeMap<String, Blob>,
    /// Digest of the generated sources.
    pub code: Digest,
    /// The toolchain bundle that was linked.
    pub bundle: Digest,
    /// The platform that the executable runs on: `x86_64-unknown-linux-gnu`.
    pub target: String,
    /// Flags that decide the bytes, as they were given to the compiler.
    pub flags: Vec<String>,
    /// The compiler: `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub rustc: String,
    /// Where the build's time went, in order.
    pub phases: Vec<Phase>,
    /// RFC 3339, UTC.
    pub created_at: String,
}

/// A step of a build and its wall-clock time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    pub millis: f64,
}

impl Manifest {
    /// Name of the executable among the outputs.
    pub const PIPELINE: &str = "pipeline";
    /// Name of the compiler's log among the outputs.
    pub const LOG: &str = "log";

    /// The executable.
    pub fn pipeline(&self) -> Option<Blob> {
        self.outputs.get(Self::PIPELINE).copied()
    }
}

/// A pipeline that can be run: a plan and the executable that the plan belongs to. Stored as a blob, so that its
/// digest names all of it; hence nothing in it depends on when, where or how fast it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineManifest {
    /// The build that made the executable; its manifest is `ac/<action key>`.
    pub action_key: Digest,
    pub binary: Blob,
    /// Digest of the generated sources; a plan runs only with code of this digest.
    pub code: Digest,
    pub target: String,
    /// What the controller and the workers run. This crate carries it unread.
    pub plan: serde_json::Value,
}
