//! What every connector accepts: options, formats and their validation, without any client.
//!
//! The planner and the UI know a connector from here; its runtime lives in `connectors/<name>`. A connector is one
//! file here (its options), one crate there (its runtime), and one line in [`CONNECTORS`].
//!
//! Validation turns the strings of a `WITH (...)` clause into a typed struct, which travels to the worker as JSON
//! and is read there into the same struct. Nothing is validated twice and no string is parsed at run time.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod blackhole;
pub mod filesystem;
pub mod format;
pub mod impulse;
pub mod nexmark;
pub mod options;
pub mod single_file;
pub mod stdout;

use schema::{ScalarType, Schema};

pub use options::{OptionError, Options};

/// The planner's half of a connector.
pub trait Connector: Sync {
    /// As in `connector = '...'`.
    fn name(&self) -> &'static str;

    /// The columns of a generator, which a `CREATE TABLE` need not (but may) list.
    fn schema(&self) -> Option<Schema> {
        None
    }

    /// Keys for `METADATA FROM 'key'`, and their types.
    fn metadata(&self) -> &'static [(&'static str, ScalarType)] {
        &[]
    }

    /// Validates the options of a source, taking those that it knows from `options`. `schema` has the columns that
    /// are read (no virtual ones, no metadata). `None`: this connector is no source.
    fn source(&self, _options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        None
    }

    /// The same for a sink; `schema` has the columns that are written.
    fn sink(&self, _options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        None
    }
}

/// Options that have been understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// The connector's own options struct, for its runtime.
    pub config: serde_json::Value,
    /// Most tasks of a sink that may run at once; `None`: any number. A source is read by as many tasks as there are:
    /// those that find nothing end at once.
    pub max_parallelism: Option<usize>,
    /// Whether a sink can take back rows that were written.
    pub updates: bool,
}

impl Validated {
    /// # Errors
    /// Never for an options struct, which is plain data.
    pub(crate) fn new(config: &impl serde::Serialize, max_parallelism: Option<usize>) -> Result<Self, OptionError> {
        match serde_json::to_value(config) {
            Ok(config) => Ok(Validated { config, max_parallelism, updates: false }),
            Err(error) => Err(OptionError { key: None, message: error.to_string(), hint: None }),
        }
    }

    pub(crate) fn with_updates(self, updates: bool) -> Self {
        Validated { updates, ..self }
    }
}

/// The metadata of sources that have no other: the row's event time or, for files, the time when it was read.
pub(crate) const EVENT_TIME_ONLY: &[(&str, ScalarType)] = &[(schema::EVENT_TIME, ScalarType::TIMESTAMP_NS)];

/// All connectors, in alphabetical order.
pub static CONNECTORS: &[&dyn Connector] = &[
    &blackhole::Blackhole,
    &filesystem::Filesystem,
    &impulse::Impulse,
    &nexmark::Nexmark,
    &single_file::SingleFile,
    &stdout::Stdout,
];

/// The connector of that name.
pub fn find(name: &str) -> Option<&'static dyn Connector> {
    CONNECTORS.iter().copied().find(|connector| connector.name() == name)
}

#[cfg(test)]
mod tests {
    use schema::Field;

    use super::*;

    fn source(name: &str, options: &[(&str, &str)]) -> Result<serde_json::Value, String> {
        let schema = Schema::new(vec![Field::new("a", ScalarType::Int64, true)]);
        validate(options, |options| find(name).unwrap().source(options, &schema).unwrap())
    }

    fn sink(name: &str, options: &[(&str, &str)]) -> Result<serde_json::Value, String> {
        let schema = Schema::new(vec![Field::new("a", ScalarType::Int64, true)]);
        validate(options, |options| find(name).unwrap().sink(options, &schema).unwrap())
    }

    fn validate(
        options: &[(&str, &str)],
        validate: impl Fn(&mut Options) -> Result<Validated, OptionError>,
    ) -> Result<serde_json::Value, String> {
        let mut options = Options::new(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let validated = validate(&mut options).map_err(|error| error.message)?;
        assert_eq!(options.unknown().collect::<Vec<_>>(), Vec::<&str>::new());
        Ok(validated.config)
    }

    #[test]
    fn connectors_are_in_order_and_found_by_name() {
        let names: Vec<_> = CONNECTORS.iter().map(|connector| connector.name()).collect();
        assert!(names.is_sorted());
        assert!(find("single_file").is_some() && find("kafka").is_none());
    }

    #[test]
    fn options_become_the_struct_that_the_runtime_reads() {
        let config = source("single_file", &[("path", "file:///tmp/a.json"), ("wait_for_control", "false")]).unwrap();
        let options: filesystem::FilesystemSource = serde_json::from_value(config).unwrap();
        assert_eq!((options.path.as_str(), options.reading.format.name()), ("/tmp/a.json", "json"));
        let config = sink(
            "filesystem",
            &[
                ("path", "out"),
                ("format", "parquet"),
                ("parquet.compression", "snappy"),
                ("parquet.row_group_size", "64MiB"),
                ("rolling_policy.interval", "10s"),
                ("rolling_policy.file_size", "128 MB"),
                ("multipart.target_part_size", "5MiB"),
                ("partitioning.fields", "[A]"),
                ("filename.strategy", "serial"),
            ],
        )
        .unwrap();
        let options: filesystem::FilesystemSink = serde_json::from_value(config).unwrap();
        assert_eq!(options.rolling.interval_micros, Some(10_000_000));
        assert_eq!(options.rolling.file_bytes, Some(128_000_000));
        let formats::Format::Parquet(parquet) = &options.format else { panic!("not Parquet") };
        assert_eq!((parquet.row_group_rows, parquet.row_group_bytes), (None, Some(64 << 20)));
        assert_eq!(options.partition_by, ["a"]);
        assert_eq!(options.naming.strategy, filesystem::NamingStrategy::Serial);
        let config = source("nexmark", &[("event_rate", "100"), ("runtime", "2.5"), ("pacing", "none")]).unwrap();
        let options: nexmark::NexmarkSource = serde_json::from_value(config).unwrap();
        assert_eq!((options.events, options.paced), (Some(250), false));
    }

    #[test]
    fn a_row_group_has_a_size_in_rows_or_bytes() {
        let cases: [(&[(&str, &str)], _); 5] = [
            (&[("parquet.row_group_size", "50000")], (Some(50_000), None)),
            (&[("parquet.row_group_size", "134217728")], (None, Some(134_217_728))),
            (&[("parquet.row_group_size", "1kB")], (None, Some(1000))),
            (&[("parquet.row_group_bytes", "5000")], (None, Some(5000))),
            (&[("parquet.row_group_size", "10"), ("parquet.row_group_bytes", "1MB")], (Some(10), Some(1_000_000))),
        ];
        for (given, expected) in cases {
            let config = sink("single_file", &[&[("path", "x"), ("format", "parquet")][..], given].concat()).unwrap();
            let options: filesystem::FilesystemSink = serde_json::from_value(config).unwrap();
            let formats::Format::Parquet(parquet) = options.format else { panic!("not Parquet") };
            assert_eq!((parquet.row_group_rows, parquet.row_group_bytes), expected, "{given:?}");
        }
    }

    #[test]
    fn what_has_no_effect_is_noted() {
        let schema = Schema::new(vec![Field::new("a", ScalarType::Int64, true)]);
        let noted = |is_source: bool, given: &[(&str, &str)]| {
            let given = [given, &[("path", "x")][..]].concat();
            let mut options = Options::new(given.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
            let connector = find("single_file").unwrap();
            let validated =
                if is_source { connector.source(&mut options, &schema) } else { connector.sink(&mut options, &schema) };
            validated.unwrap().unwrap();
            options.warnings().iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
        };
        assert_eq!(noted(true, &[("bad_data", "drop"), ("framing", "newline")]), Vec::<String>::new());
        assert_eq!(
            noted(true, &[("format", "parquet"), ("bad_data", "drop"), ("framing", "newline")]),
            [
                "option \"bad_data\" has no effect on Parquet: a file that cannot be read fails the job",
                "option \"framing\" has no effect on Parquet, which has no lines",
            ]
        );
        assert_eq!(
            noted(false, &[("bad_data", "fail"), ("framing.newline.max_length", "1KiB")]),
            [
                "option \"framing.newline.max_length\" has no effect on a sink",
                "option \"bad_data\" has no effect on a sink",
            ]
        );
    }

    #[test]
    fn a_blackhole_takes_the_format_of_the_sink_that_it_stands_for() {
        sink("blackhole", &[("format", "json"), ("json.timestamp_format", "unix_millis"), ("framing", "newline")])
            .unwrap();
    }

    #[test]
    fn sinks_say_whether_rows_can_be_taken_back() {
        let schema = Schema::new(vec![Field::new("a", ScalarType::Int64, true)]);
        let updates = |name: &str, given: &[(&str, &str)]| {
            let mut options = Options::new(given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
            find(name).unwrap().sink(&mut options, &schema).unwrap().unwrap().updates
        };
        for (name, path) in [("filesystem", &[("path", "x")][..]), ("single_file", &[("path", "x")]), ("stdout", &[])] {
            for (format, expected) in [("json", false), ("csv", false), ("debezium_json", true)] {
                assert_eq!(updates(name, &[path, &[("format", format)]].concat()), expected, "{name}, {format}");
            }
        }
        assert!(updates("blackhole", &[]));
        let config = sink("stdout", &[("format", "debezium_json"), ("json.decimal_encoding", "number")]).unwrap();
        let options: stdout::StdoutSink = serde_json::from_value(config).unwrap();
        let formats::Format::DebeziumJson(json) = options.format else { panic!("not Debezium") };
        assert_eq!(json.timestamp_format, formats::TimestampFormat::UnixMillis);
        assert_eq!(json.decimal_encoding, formats::DecimalEncoding::Number);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            (source("filesystem", &[("format", "json")]), "option \"path\" is required"),
            (source("filesystem", &[("path", "x")]), "option \"format\" is required"),
            (
                source("filesystem", &[("path", "s3://b/x"), ("format", "json")]),
                "object stores (s3://) are not supported yet",
            ),
            (source("single_file", &[("path", "x"), ("format", "avro")]), "format 'avro' is not supported yet"),
            (
                source("single_file", &[("path", "x"), ("format", "xml")]),
                "option \"format\" must be one of 'json', 'csv', 'parquet', 'raw_string', 'raw_bytes', not 'xml'",
            ),
            (
                source("filesystem", &[("path", "x"), ("format", "json"), ("source.regex_pattern", "(")]),
                "option \"source.regex_pattern\" is not a regular expression: '('",
            ),
            (
                source("single_file", &[("path", "x"), ("format", "raw_string")]),
                "a table with format 'raw_string' has exactly one column, value TEXT",
            ),
            (
                sink("filesystem", &[("path", "x"), ("format", "json"), ("partitioning.fields", "b")]),
                "column \"b\" in option \"partitioning.fields\" does not exist",
            ),
            (
                sink("filesystem", &[("path", "x"), ("format", "json"), ("partitioning.time_pattern", "%Y")]),
                "option \"partitioning.time_pattern\" is not supported yet",
            ),
            (
                source("filesystem", &[("path", "x"), ("format", "json"), ("storage.aws_region", "us-east-1")]),
                "option \"storage.aws_region\" is not supported yet",
            ),
            (
                sink("filesystem", &[("path", "x"), ("format", "json"), ("rolling_policy.file_size", "much")]),
                "option \"rolling_policy.file_size\" must be a size in bytes, not 'much'",
            ),
            (
                sink("single_file", &[("path", "x"), ("format", "parquet"), ("parquet.row_group_size", "0")]),
                "option \"parquet.row_group_size\" must be above 0",
            ),
            (
                source("single_file", &[("path", "x"), ("format", "debezium_json")]),
                "format 'debezium_json' of a source is not supported yet",
            ),
            (
                sink("stdout", &[("format", "debezium")]),
                "option \"format\" must be one of 'json', 'csv', 'parquet', 'raw_string', 'raw_bytes', 'debezium_json', \
                 not 'debezium'",
            ),
            (source("impulse", &[("event_rate", "0")]), "option \"event_rate\" must be a number above 0, not '0'"),
            (source("nexmark", &[]), "option \"event_rate\" is required"),
            (sink("stdout", &[("format", "parquet")]), "format 'parquet' is for files only"),
        ];
        for (result, message) in cases {
            assert_eq!(result.unwrap_err(), message);
        }
    }
}
