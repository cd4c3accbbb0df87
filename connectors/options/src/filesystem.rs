//! `filesystem`: tables in files of a directory.

use formats::{Format, Reading};
use schema::Schema;
use serde::{Deserialize, Serialize};

use crate::format::{Carrier, take_reading, take_writing};
use crate::options::{OptionError, Options};
use crate::{Connector, EVENT_TIME_ONLY, ScalarType, Validated};

pub struct Filesystem;

/// Where rows are read from. `single_file` uses it too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilesystemSource {
    /// A file, a directory (with all below it), or a path with `*` and `?`.
    pub path: String,
    /// Only files whose path below `path` matches.
    pub pattern: Option<String>,
    /// `None`: by the file's extension, `.gz` or `.zst`.
    pub compression: Option<Compression>,
    pub reading: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Where rows are written to. `single_file` uses it too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilesystemSink {
    /// The directory, or the file if `single`.
    pub path: String,
    /// One file at exactly that path, written in place.
    pub single: bool,
    pub format: Format,
    /// Of text files; Parquet compresses inside.
    pub compression: Compression,
    pub rolling: Rolling,
    /// Columns whose values name the directories below `path`.
    pub partition_by: Vec<String>,
    pub naming: Naming,
}

/// When a file is closed and the next one begun: at the first that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolling {
    /// It has about that size.
    pub file_bytes: Option<u64>,
    /// It was begun that long ago.
    pub interval_micros: Option<u64>,
    /// Nothing was written for that long.
    pub inactivity_micros: Option<u64>,
}

/// Names of files: `{prefix}-{unique}{suffix}`, or with the format's extension where there is no suffix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Naming {
    pub prefix: Option<String>,
    pub suffix: Option<String>,
    pub strategy: NamingStrategy,
}

/// What makes a file's name unique.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamingStrategy {
    /// `00000-000`: the task's file number, and the task. A later run replaces the files of an earlier one.
    Serial,
    Uuid,
    /// Sorts by time.
    #[default]
    UuidV7,
    /// As `UuidV7`, in 26 characters.
    Ulid,
}

impl Connector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn metadata(&self) -> &'static [(&'static str, ScalarType)] {
        EVENT_TIME_ONLY
    }

    fn source(&self, options: &mut Options, schema: &Schema) -> Option<Result<Validated, OptionError>> {
        Some(source(options, schema).and_then(|source| Validated::new(&source, None)))
    }

    fn sink(&self, options: &mut Options, schema: &Schema) -> Option<Result<Validated, OptionError>> {
        Some(sink(options, schema).and_then(|sink| {
            let updates = sink.format.has_updates();
            Ok(Validated::new(&sink, None)?.with_updates(updates))
        }))
    }
}

/// Takes `path`: a path of this machine, plain or as a `file:` URL.
pub(crate) fn take_path(options: &mut Options) -> Result<String, OptionError> {
    let path = options.require("path")?;
    let plain = path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(&path);
    if let Some((scheme, _)) = plain.split_once("://") {
        return Err(OptionError::new("path", format!("object stores ({scheme}://) are not supported yet"))
            .with_hint("give a path of this machine, or a file:// URL"));
    }
    if plain.is_empty() {
        return Err(OptionError::new("path", "option \"path\" must not be empty"));
    }
    Ok(plain.to_owned())
}

/// `storage.*` are the credentials and endpoints of object stores.
pub(crate) fn refuse_storage(options: &Options) -> Result<(), OptionError> {
    match options.unknown().find(|key| key.starts_with("storage.")) {
        Some(key) => Err(OptionError::new(key, format!("option \"{key}\" is not supported yet"))
            .with_hint("it is for object stores, of which there are none yet: leave it out")),
        None => Ok(()),
    }
}

fn source(options: &mut Options, schema: &Schema) -> Result<FilesystemSource, OptionError> {
    let path = take_path(options)?;
    refuse_storage(options)?;
    let key = "source.regex_pattern";
    let pattern = options.take(key);
    if let Some(pattern) = &pattern {
        let none = arrow::array::StringArray::from(Vec::<&str>::new());
        let checked = arrow::compute::regexp_is_match_scalar(&none, pattern, None);
        checked
            .map_err(|_| OptionError::new(key, format!("option \"{key}\" is not a regular expression: '{pattern}'")))?;
    }
    let compression = take_compression(options, "source.compression")?;
    let reading = take_reading(options, schema, Carrier::Files, None)?;
    Ok(FilesystemSource { path, pattern, compression, reading })
}

fn take_compression(options: &mut Options, key: &str) -> Result<Option<Compression>, OptionError> {
    options.take_choice(
        key,
        &[
            ("none", Compression::None),
            ("uncompressed", Compression::None),
            ("gzip", Compression::Gzip),
            ("zstd", Compression::Zstd),
        ],
    )
}

/// Compression of text files that are written.
pub(crate) fn take_text_compression(options: &mut Options) -> Result<Compression, OptionError> {
    Ok(take_compression(options, "json.compression")?.unwrap_or(Compression::None))
}

fn sink(options: &mut Options, schema: &Schema) -> Result<FilesystemSink, OptionError> {
    let path = take_path(options)?;
    refuse_storage(options)?;
    let not_yet = [
        (
            "partitioning.time_pattern",
            "compute a column, such as date_trunc('hour', row_time()), for partitioning.fields",
        ),
        ("rolling_policy.watermark_expiration", "set rolling_policy.interval or rolling_policy.inactivity_interval"),
    ];
    for (key, instead) in not_yet {
        if options.take(key).is_some() {
            return Err(OptionError::new(key, format!("option \"{key}\" is not supported yet")).with_hint(instead));
        }
    }
    if options.take_parsed("shuffle_by_partition.enabled", "true or false")? == Some(true) {
        let key = "shuffle_by_partition.enabled";
        return Err(OptionError::new(key, format!("option \"{key}\" is not supported yet")));
    }
    // These concern uploads to object stores, and which of two implementations writes.
    for key in ["multipart.target_part_size", "multipart.minimum_multipart_size"] {
        options.take_bytes(key)?;
    }
    options.take_parsed::<u64>("multipart.max_parts", "a whole number")?;
    options.take_choice("sink.version", &[("v1", ()), ("v2", ())])?;
    let format = take_writing(options, schema, Carrier::Files, None)?;
    Ok(FilesystemSink {
        path,
        single: false,
        compression: take_text_compression(options)?,
        format,
        rolling: take_rolling(options)?,
        partition_by: take_partition_by(options, schema)?,
        naming: take_naming(options)?,
    })
}

fn take_rolling(options: &mut Options) -> Result<Rolling, OptionError> {
    let mut micros = |key: &str| {
        let duration = options.take_duration(key)?;
        Ok(duration.map(|duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    };
    let interval_micros = micros("rolling_policy.interval")?;
    let inactivity_micros = micros("rolling_policy.inactivity_interval")?;
    let file_bytes = options.take_bytes("rolling_policy.file_size")?;
    let rolling = Rolling { file_bytes, interval_micros, inactivity_micros };
    // Without any rule a job that never ends would never show a file.
    Ok(if rolling == Rolling::default() { Rolling { interval_micros: Some(30_000_000), ..rolling } } else { rolling })
}

fn take_partition_by(options: &mut Options, schema: &Schema) -> Result<Vec<String>, OptionError> {
    let key = "partitioning.fields";
    let mut columns = Vec::new();
    for name in options.take_list(key).unwrap_or_default() {
        let Some(index) = schema.find(&name) else {
            return Err(OptionError::new(key, format!("column \"{name}\" in option \"{key}\" does not exist")));
        };
        let field = &schema.fields[index];
        if matches!(field.ty, ScalarType::List(_) | ScalarType::Struct(_) | ScalarType::Map { .. }) {
            let ty = &field.ty;
            return Err(OptionError::new(key, format!("column \"{name}\" of type {ty} cannot name directories")));
        }
        columns.push(field.name.clone());
    }
    Ok(columns)
}

fn take_naming(options: &mut Options) -> Result<Naming, OptionError> {
    let strategy = options.take_choice(
        "filename.strategy",
        &[
            ("serial", NamingStrategy::Serial),
            ("uuid", NamingStrategy::Uuid),
            ("uuid_v7", NamingStrategy::UuidV7),
            ("ulid", NamingStrategy::Ulid),
        ],
    )?;
    let mut part = |key: &str| match options.take(key) {
        Some(text) if text.contains(['/', '\\', '\0']) => {
            Err(OptionError::new(key, format!("option \"{key}\" must be part of a file's name, not '{text}'")))
        }
        part => Ok(part),
    };
    Ok(Naming {
        prefix: part("filename.prefix")?,
        suffix: part("filename.suffix")?,
        strategy: strategy.unwrap_or_default(),
    })
}
