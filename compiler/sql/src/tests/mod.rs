//! Scripts in, plans and messages out.

mod comparisons;
mod errors;
mod guards;
mod plans;
mod soup;

use connectors_options::{Connector, OptionError, Options, Validated};
use schema::{Field, ScalarType, Schema};
use serde_json::json;

use crate::{Bound, Diagnostic, SqlOptions, bind, lower, optimize, parse};

/// A connector of the tests: `path` is required, `rows` a number; `debezium_json` has updates.
struct Fake {
    name: &'static str,
    source: bool,
    sink: bool,
    generated: fn() -> Option<Schema>,
}

static CONNECTORS: &[Fake] = &[
    Fake { name: "file", source: true, sink: true, generated: || None },
    Fake { name: "stdout", source: false, sink: true, generated: || None },
    Fake { name: "nexmark", source: true, sink: false, generated: || Some(nexmark()) },
];

pub(crate) fn connector(name: &str) -> Option<&'static dyn Connector> {
    CONNECTORS.iter().find(|fake| fake.name == name).map(|fake| fake as &dyn Connector)
}

fn nexmark() -> Schema {
    let member = |name: &str, ty| Field::new(name, ty, false);
    let bid = ScalarType::Struct(vec![
        member("auction", ScalarType::Int64),
        member("bidder", ScalarType::Int64),
        member("price", ScalarType::Int64),
        member("channel", ScalarType::Utf8),
        member("datetime", ScalarType::TIMESTAMP_NS),
    ]);
    let person = ScalarType::Struct(vec![member("id", ScalarType::Int64), member("name", ScalarType::Utf8)]);
    Schema::new(vec![Field::new("person", person, true), Field::new("bid", bid, true)])
}

impl Fake {
    fn validate(&self, options: &mut Options) -> Result<Validated, OptionError> {
        let path = if self.name == "file" { Some(options.require("path")?) } else { None };
        let rows: Option<u64> = options.take_parsed("rows", "a whole number")?;
        let formats = [("json", "json"), ("csv", "csv"), ("debezium_json", "debezium_json")];
        let format = options.take_choice("format", &formats)?;
        Ok(Validated {
            config: json!({ "path": path, "rows": rows, "format": format }),
            max_parallelism: (self.name == "stdout").then_some(1),
            updates: format == Some("debezium_json"),
        })
    }
}

impl Connector for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn schema(&self) -> Option<Schema> {
        (self.generated)()
    }

    fn metadata(&self) -> &'static [(&'static str, ScalarType)] {
        if self.name == "file" { &[("file_name", ScalarType::Utf8)] } else { &[] }
    }

    fn source(&self, options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        self.source.then(|| self.validate(options))
    }

    fn sink(&self, options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        self.sink.then(|| self.validate(options))
    }
}

/// Tables that most scripts use.
const TABLES: &str = "
CREATE TABLE bids (
    auction BIGINT NOT NULL, bidder BIGINT NOT NULL, price BIGINT NOT NULL, channel TEXT, url TEXT,
    rate DOUBLE, amount DECIMAL(10,2), data JSON, tags TEXT[], day DATE, ts TIMESTAMP NOT NULL,
    place STRUCT<city TEXT, zip INT>,
    WATERMARK FOR ts AS ts - INTERVAL '5 seconds'
) WITH (connector = 'file', path = '/in', type = 'source');
CREATE TABLE nexmark WITH (connector = 'nexmark');
CREATE TABLE totals (auction BIGINT, total BIGINT) WITH (connector = 'file', path = '/out', type = 'sink');
";

fn bound(sql: &str) -> Result<Bound, Vec<Diagnostic>> {
    bind(&parse(sql)?, &SqlOptions::default()).map(optimize)
}

fn compile(sql: &str) -> Result<compiler_ir::Plan, Vec<Diagnostic>> {
    let plan = lower(&bound(sql)?)?;
    if let Err(findings) = compiler_ir::verify::plan(&plan) {
        panic!("{sql}\n{}", findings.join("\n"));
    }
    Ok(plan)
}

fn with_tables(sql: &str) -> String {
    format!("{TABLES}{sql}")
}

/// The printed plan of a query over [`TABLES`].
fn plan(sql: &str) -> String {
    match compile(&with_tables(sql)) {
        Ok(plan) => compiler_ir::print::plan(&plan),
        Err(errors) => panic!("{sql}\n{}", messages(&errors)),
    }
}

fn messages(errors: &[Diagnostic]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

/// Compares with the text beside this file; `UPDATE_EXPECT=1` writes it anew.
fn golden(file: &str, expected: &str, actual: &str) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests").join(file);
        std::fs::write(path, actual).unwrap();
        return;
    }
    for (n, (expected, actual)) in expected.lines().zip(actual.lines()).enumerate() {
        assert_eq!(expected, actual, "{file}:{}", n + 1);
    }
    assert_eq!(expected.lines().count(), actual.lines().count(), "{file}");
}
