//! Content-addressed storage of compiled pipelines.
//!
//! ```text
//!  <artifact-url>/
//!    cas/sha256/ab/abcd...   a blob, named by the SHA-256 of its bytes; written once, verified on every read
//!    ac/<action key>         a Manifest: what a build with these inputs has made (names blobs of cas/)
//!    tmp/                    files on their way to cas/ and ac/
//!    quarantine/             blobs whose bytes did not match their name
//! ```
//!
//! Two documents, by what decides them. A [`Manifest`] answers "has this been built": its key covers the generated
//! sources, the flags and the toolchain bundle, and nothing that is data. A [`PipelineManifest`] answers "what is to
//! be run": a plan (paths, topics, parallelism) and the binary it belongs to. It is a blob, so its digest is the one
//! word that deploys a pipeline, and a changed path gives a new document for the same binary.
//!
//! Invariants: a file under `cas/` or `ac/` is complete, for it got there by `rename` after `fsync`; a process that
//! dies leaves a file under `tmp/` and nothing else. Two processes that write the same write the same bytes.
//!
//! The interface of the store is synchronous: it is a few system calls, and callers on an async runtime have
//! `spawn_blocking`. What checkpoints need of an object store is [`objects`], which is not. Not here: what the bytes mean, compilation, object stores (their URLs are recognised, and
//! refused by [`Store::open`] until they have a client).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod digest;
mod manifest;
pub mod objects;
mod store;
mod url;

pub use digest::{Digest, DigestWriter, InvalidDigest};
pub use manifest::{Blob, Manifest, Phase, PipelineManifest};
pub use store::{Store, StoreError};
pub use url::{StorageUrl, UrlError};
