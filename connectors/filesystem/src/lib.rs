//! Tables in files: the connectors `filesystem` and `single_file`.
//!
//! ```text
//!   listing ──▶ files of this task ──▶ text  (inflate, whole lines, formats::Decoder) ──▶ batches
//!                                 └──▶ columns (Parquet row groups, wanted leaves only, cast) ──▶ batches
//!   batches ──▶ directories by partition ──▶ part (line file | Parquet file) ──▶ rename when published
//!          └──▶ one file (lines in place | Parquet, renamed when published)
//! ```
//!
//! Reading is blocking, a batch at a time: files are local, and their pages mostly in memory. So is writing; only what
//! waits for the disk has threads of its own.
//!
//! Not here: object stores, and watching a directory for new files.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod columns;
mod convert;
mod lines;
mod listing;
mod part;
mod position;
mod single;
mod sink;
mod source;
mod temporary;
#[cfg(test)]
mod tests;
mod text;

use std::io;
use std::path::Path;

use worker_lib::TaskError;
use worker_lib::connector::ConnectorDef;

// One item for each direction, so that a pipeline that only reads Parquet does not link its writer.

/// Many files, by any number of tasks.
pub static FILESYSTEM_SOURCE: ConnectorDef = ConnectorDef { name: "filesystem", source: Some(source::new), sink: None };
pub static FILESYSTEM_SINK: ConnectorDef = ConnectorDef { name: "filesystem", source: None, sink: Some(sink::new) };

/// One file, by one task.
pub static SINGLE_FILE_SOURCE: ConnectorDef =
    ConnectorDef { name: "single_file", source: Some(source::new), sink: None };
pub static SINGLE_FILE_SINK: ConnectorDef = ConnectorDef { name: "single_file", source: None, sink: Some(single::new) };

/// An error of the operating system: `cannot open "a.json": No such file or directory`.
fn io_error(action: &str, path: &Path, error: &io::Error) -> TaskError {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
    let message = format!("cannot {action} \"{}\": {reason}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            TaskError::retryable(message).with_hint("free some space; the job goes on from its last checkpoint")
        }
        io::ErrorKind::NotFound => TaskError::user(message).with_hint(format!(
            "relative paths are looked up from \"{}\"",
            std::env::current_dir().unwrap_or_default().display()
        )),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            TaskError::user(message).with_hint("the worker's user needs the permission")
        }
        io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        // No error of the system: what zstd or Parquet has to say of the bytes.
        | io::ErrorKind::Other
        | io::ErrorKind::InvalidFilename => TaskError::user(message),
        _ => TaskError::retryable(message),
    }
}
