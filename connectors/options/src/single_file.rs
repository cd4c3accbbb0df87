//! `single_file`: a table in one file, read or written by one task.

use formats::{Format, JsonOptions};
use schema::Schema;

use crate::filesystem::{
    Compression, FilesystemSink, FilesystemSource, Naming, Rolling, refuse_storage, take_path, take_text_compression,
};
use crate::format::{Carrier, take_reading, take_writing};
use crate::options::{OptionError, Options};
use crate::{Connector, EVENT_TIME_ONLY, ScalarType, Validated};

pub struct SingleFile;

impl Connector for SingleFile {
    fn name(&self) -> &'static str {
        "single_file"
    }

    fn metadata(&self) -> &'static [(&'static str, ScalarType)] {
        EVENT_TIME_ONLY
    }

    fn source(&self, options: &mut Options, schema: &Schema) -> Option<Result<Validated, OptionError>> {
        Some(source(options, schema))
    }

    fn sink(&self, options: &mut Options, schema: &Schema) -> Option<Result<Validated, OptionError>> {
        Some(sink(options, schema))
    }
}

/// Takes what is accepted for the sake of scripts that have it, and has no effect.
fn take_without_effect(options: &mut Options) -> Result<(), OptionError> {
    options.take_parsed::<bool>("wait_for_control", "true or false").map(drop)
}

fn source(options: &mut Options, schema: &Schema) -> Result<Validated, OptionError> {
    let path = take_path(options)?;
    refuse_storage(options)?;
    take_without_effect(options)?;
    let reading = take_reading(options, schema, Carrier::Files, Some(Format::Json(JsonOptions::default())))?;
    Validated::new(&FilesystemSource { path, pattern: None, compression: None, reading }, None)
}

fn sink(options: &mut Options, schema: &Schema) -> Result<Validated, OptionError> {
    let path = take_path(options)?;
    refuse_storage(options)?;
    take_without_effect(options)?;
    let format = take_writing(options, schema, Carrier::Files, Some(Format::Json(JsonOptions::default())))?;
    let compression = match (take_text_compression(options)?, path.rsplit_once('.')) {
        (Compression::None, Some((_, "gz"))) => Compression::Gzip,
        (Compression::None, Some((_, "zst"))) => Compression::Zstd,
        (compression, _) => compression,
    };
    let sink = FilesystemSink {
        path,
        single: true,
        format,
        compression,
        rolling: Rolling::default(),
        partition_by: Vec::new(),
        naming: Naming::default(),
    };
    Ok(Validated::new(&sink, Some(1))?.with_updates(sink.format.has_updates()))
}
