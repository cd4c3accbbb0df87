//! The oracle: the same query, run by DataFusion over the whole input.
//!
//! It is made from the compiler's first view, the statements in canonical spelling:
//!
//! - a table with a file connector is read into memory with the readers of Arrow and Parquet; its virtual fields become
//!   a view;
//! - `tumble(INTERVAL ...)` becomes `named_struct('start', date_bin(...), 'end', ...)` of the event time column;
//! - a memory table becomes a view of the rows inserted into it;
//! - every INSERT into a connector, and every bare SELECT, is a query whose rows go to the output of that name.
//!
//! Rows are written with our own JSON encoder, which has its own tests. Types are what DataFusion understands by their
//! names; only for those that it has no name for (`STRUCT<...>`) the compiler's word is taken.
//!
//! Limits: one event time column in the script, and none of the sources that make their rows (impulse, nexmark); a case
//! beyond them has an `oracle.sql` or a `.no-oracle`.

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{Field, FieldRef, Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use compiler_driver::{Compiled, View};
use datafusion::config::Dialect;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use flate2::read::MultiGzDecoder;
use formats::{Encoder, Format, JsonOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::{ScalarType, Schema};

use super::case::Case;
use super::running::{Outputs, STDOUT};

/// The rows that DataFusion gives, by output.
pub(crate) async fn answer(case: &Case, compiled: &Compiled) -> Result<Outputs, String> {
    let script = Script::parse(compiled.view(View::Ast))?;
    let context = context();
    for table in script.tables.iter().filter(|table| table.is_read(&script)) {
        register(&context, table, case, compiled).await?;
    }
    let event_time = script.event_time()?;
    let mut outputs = Outputs::new();
    if case.has("oracle.sql") {
        let text = case.read("oracle.sql")?;
        let queries: Vec<&str> = text.split(";\n").map(str::trim).filter(|query| !query.is_empty()).collect();
        let targets: Vec<&String> = script.queries.iter().filter_map(|query| query.output.as_ref()).collect();
        if queries.len() != targets.len() {
            return Err(format!("oracle.sql has {} queries for {} outputs", queries.len(), targets.len()));
        }
        for (query, output) in queries.into_iter().zip(targets) {
            outputs.entry(output.clone()).or_default().extend(rows(&context, query).await?);
        }
        return Ok(outputs);
    }
    for query in &script.queries {
        let sql = without_tumble(&query.sql, event_time.as_deref())?;
        match (&query.view, &query.output) {
            (Some(head), _) => {
                run(&context, &format!("CREATE VIEW {head} AS {sql}")).await?;
            }
            (None, Some(output)) => outputs.entry(output.clone()).or_default().extend(rows(&context, &sql).await?),
            // A sink that keeps nothing.
            (None, None) => {}
        }
    }
    Ok(outputs)
}

fn context() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1);
    let parser = &mut config.options_mut().sql_parser;
    parser.dialect = Dialect::PostgreSQL;
    parser.map_string_types_to_utf8view = false;
    let context = SessionContext::new_with_config(config);
    for udf in kernels::json_functions().into_iter().chain(kernels::extra_functions()) {
        context.register_udf(udf.as_ref().clone());
    }
    context
}

async fn run(context: &SessionContext, sql: &str) -> Result<(ArrowSchema, Vec<RecordBatch>), String> {
    let failed = |error: datafusion::error::DataFusionError| format!("{}\nof: {sql}", error.strip_backtrace());
    let frame = context.sql(sql).await.map_err(failed)?;
    let schema = frame.schema().as_arrow().clone();
    Ok((schema, frame.collect().await.map_err(failed)?))
}

async fn rows(context: &SessionContext, sql: &str) -> Result<Vec<String>, String> {
    let (schema, batches) = run(context, sql).await?;
    lines(&schema, &batches)
}

/// Rows as lines of JSON.
fn lines(schema: &ArrowSchema, batches: &[RecordBatch]) -> Result<Vec<String>, String> {
    let schema = Schema::from_arrow(schema).map_err(|error| error.to_string())?;
    let encoder = Encoder::new(&Format::Json(JsonOptions::default()), &schema)?;
    let mut text = vec![];
    for batch in batches {
        let columns: Result<Vec<ArrayRef>, _> = batch
            .columns()
            .iter()
            .zip(&schema.fields)
            .map(|(column, field)| cast(column, &field.ty.to_arrow()))
            .collect();
        encoder.encode(&columns.map_err(|error| error.to_string())?, batch.num_rows(), &mut text)?;
    }
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

/// What the oracle understands of a script.
#[derive(Default)]
struct Script {
    tables: Vec<Table>,
    queries: Vec<Query>,
}

struct Table {
    name: String,
    columns: Vec<Column>,
    event_time: Option<String>,
    options: Vec<(String, String)>,
}

struct Column {
    name: String,
    ty: String,
    generated: Option<String>,
}

struct Query {
    /// `name` or `name (column, ...)`, when others select from it.
    view: Option<String>,
    /// Where its rows go.
    output: Option<String>,
    sql: String,
}

impl Script {
    /// From the view `ast`: one statement after another, each ended by `;` and a line end.
    fn parse(text: &str) -> Result<Script, String> {
        let mut script = Script::default();
        for statement in text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            if let Some(rest) = statement.strip_prefix("CREATE TABLE ") {
                script.create_table(rest)?;
            } else if let Some(rest) = statement.strip_prefix("CREATE VIEW ") {
                let (head, sql) = rest.split_once(" AS\n").ok_or_else(|| format!("what is {statement}"))?;
                script.queries.push(Query { view: Some(head.to_owned()), output: None, sql: sql.to_owned() });
            } else if let Some(rest) = statement.strip_prefix("INSERT INTO ") {
                let (head, sql) = rest.split_once('\n').ok_or_else(|| format!("what is {statement}"))?;
                script.insert(head, sql);
            } else if !statement.starts_with("SET ") {
                script.queries.push(Query { view: None, output: Some(STDOUT.to_owned()), sql: statement.to_owned() });
            }
        }
        Ok(script)
    }

    fn create_table(&mut self, text: &str) -> Result<(), String> {
        // A table made of a query: a memory table with its rows.
        if let Some((head, sql)) = text.split_once(" AS\n").filter(|(head, _)| !head.contains('\n')) {
            self.queries.push(Query { view: Some(head.to_owned()), output: None, sql: sql.to_owned() });
            return Ok(());
        }
        let name_end = text.find([' ', '\n']).unwrap_or(text.len());
        let mut table = Table { name: text[..name_end].to_owned(), columns: vec![], event_time: None, options: vec![] };
        let (columns, options) = match text.split_once(" WITH (\n") {
            Some((columns, options)) => (columns, options),
            None => (text, ""),
        };
        for line in columns.lines().skip(1).map(|line| line.trim().trim_end_matches(',')) {
            if let Some(rest) = line.strip_prefix("WATERMARK FOR ") {
                table.event_time = rest.split(' ').next().map(str::to_owned);
            } else if line != ")" {
                table.columns.push(Column::parse(line)?);
            }
        }
        for line in options.lines().map(|line| line.trim().trim_end_matches(',')) {
            if let Some((key, value)) = line.trim_matches('\'').split_once("' = '") {
                table.options.push((key.to_owned(), value.replace("''", "'")));
            }
        }
        if let Some(column) = table.option("event_time_field") {
            table.event_time = Some(column.to_owned());
        }
        self.tables.push(table);
        Ok(())
    }

    fn insert(&mut self, head: &str, sql: &str) {
        let name = head.split(' ').next().unwrap_or(head);
        let table = self.tables.iter().find(|table| table.name == name);
        let (view, output) = match table.and_then(|table| Some((table, table.option("connector")?))) {
            None => {
                let columns =
                    table.map(|table| table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>());
                (Some(format!("{name} ({})", columns.unwrap_or_default().join(", "))), None)
            }
            Some((_, "stdout")) => (None, Some(STDOUT.to_owned())),
            Some((_, "blackhole")) => (None, None),
            Some((table, _)) => {
                let path = PathBuf::from(table.option("path").unwrap_or_default());
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (None, Some(file.split('.').next().unwrap_or_default().to_owned()))
            }
        };
        self.queries.push(Query { view, output, sql: sql.to_owned() });
    }

    /// The column that windows are of: the same in all tables.
    fn event_time(&self) -> Result<Option<String>, String> {
        let mut found: Vec<&String> = self.tables.iter().filter_map(|table| table.event_time.as_ref()).collect();
        found.sort();
        found.dedup();
        match found[..] {
            [] => Ok(None),
            [column] => Ok(Some(column.clone())),
            _ => Err("the tables have different event time columns".to_owned()),
        }
    }
}

impl Column {
    /// `name TYPE [NOT NULL] [PRIMARY KEY] [GENERATED ALWAYS AS (expr)] [METADATA FROM 'key']`
    fn parse(line: &str) -> Result<Column, String> {
        let (name, rest) = line.split_once(' ').ok_or_else(|| format!("what column is \"{line}\""))?;
        if rest.contains(" METADATA FROM '") {
            return Err(format!("column {name} is metadata"));
        }
        let (rest, generated) = match rest.split_once(" GENERATED ALWAYS AS (") {
            Some((rest, expr)) => (rest, Some(expr.strip_suffix(')').unwrap_or(expr).to_owned())),
            None => (rest, None),
        };
        let ty = rest.replace(" NOT NULL", "").replace(" PRIMARY KEY", "");
        Ok(Column { name: name.to_owned(), ty, generated })
    }
}

impl Table {
    fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// A source: it has a connector, and nothing is inserted into it.
    fn is_read(&self, script: &Script) -> bool {
        let out = self.option("path").is_some_and(|path| path.starts_with("/"));
        let sink = matches!(self.option("connector"), None | Some("stdout" | "blackhole"));
        !sink && !out && self.option("type") != Some("sink") && !script.tables.is_empty()
    }
}

/// Reads a table's files into the context.
async fn register(context: &SessionContext, table: &Table, case: &Case, compiled: &Compiled) -> Result<(), String> {
    let connector = table.option("connector").unwrap_or_default();
    if !matches!(connector, "single_file" | "filesystem") {
        return Err(format!("table {} is of connector {connector}, which makes its rows", table.name));
    }
    let schema = arrow_schema(context, table, compiled).await?;
    let path = case.path(table.option("path").ok_or_else(|| format!("table {} has no path", table.name))?);
    let mut batches = vec![];
    for file in files(&path)? {
        batches.extend(read_file(&file, table, &schema)?);
    }
    let rows = MemTable::try_new(schema, vec![batches]).map_err(|error| error.to_string())?;
    let generated: Vec<String> = table
        .columns
        .iter()
        .filter_map(|column| Some(format!("CAST({} AS {}) AS {}", column.generated.as_ref()?, column.ty, column.name)))
        .collect();
    let name = if generated.is_empty() { table.name.clone() } else { format!("{}_stored", table.name) };
    context.register_table(name.as_str(), Arc::new(rows)).map_err(|error| error.to_string())?;
    if !generated.is_empty() {
        let stored = format!("SELECT *, {} FROM {name}", generated.join(", "));
        let order: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        run(context, &format!("CREATE VIEW {} AS SELECT {} FROM ({stored})", table.name, order.join(", "))).await?;
    }
    Ok(())
}

/// The stored columns, with the types as DataFusion understands their names, in our representation. A column of a type
/// that it has no name for, and that the query does not read, is left out.
async fn arrow_schema(context: &SessionContext, table: &Table, compiled: &Compiled) -> Result<SchemaRef, String> {
    let mut fields = vec![];
    for column in table.columns.iter().filter(|column| column.generated.is_none()) {
        let ty = if column.ty.eq_ignore_ascii_case("JSON") { "TEXT" } else { &column.ty };
        let Ok((schema, _)) = run(context, &format!("SELECT CAST(NULL AS {ty}) AS {}", column.name)).await else {
            fields.extend(understood(compiled, table, column));
            continue;
        };
        let field = schema.field(0);
        let ty = ScalarType::from_arrow(field.data_type()).map_err(|error| error.to_string())?;
        fields.push(Field::new(field.name(), ty.to_arrow(), true));
    }
    Ok(Arc::new(ArrowSchema::new(fields)))
}

/// A column as the compiler has understood it, if the query reads it; of a struct, the members that are read.
fn understood(compiled: &Compiled, table: &Table, column: &Column) -> Option<Field> {
    let is_source = |name: &str| name == table.name.trim_matches('"');
    let mut stages = compiled.plan.stages.iter();
    let stage = stages.find(|stage| stage.source.as_ref().is_some_and(|source| is_source(&source.table)))?;
    let name = column.name.trim_matches('"');
    let field = &stage.input_schema.fields[stage.input_schema.index_of(name)?];
    Some(Field::new(name, field.ty.to_arrow(), true))
}

fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut files = vec![];
    for entry in entries.filter_map(Result::ok) {
        files.extend(self::files(&entry.path())?);
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path, table: &Table, schema: &SchemaRef) -> Result<Vec<RecordBatch>, String> {
    let failed = |error: ArrowError| format!("{}: {error}", path.display());
    let format = table.option("format").unwrap_or("json");
    if format == "parquet" {
        let (_, batches) = read_parquet(path)?;
        return batches.iter().map(|batch| declared(batch, schema).map_err(failed)).collect();
    }
    let bytes = inflated(path, table.option("source.compression"))?;
    let unstructured = table.option("json.unstructured") == Some("true");
    match format {
        "raw_string" => Ok(vec![documents(&bytes, false, schema).map_err(failed)?]),
        "json" if unstructured => Ok(vec![documents(&bytes, true, schema).map_err(failed)?]),
        "json" => {
            let reader = arrow::json::ReaderBuilder::new(Arc::clone(schema)).build(BufReader::new(Cursor::new(bytes)));
            reader.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
        }
        "csv" => {
            let header = table.option("csv.header") != Some("false");
            let mut builder = arrow::csv::ReaderBuilder::new(Arc::clone(schema)).with_header(header);
            if let Some(delimiter) = table.option("csv.delimiter").and_then(|text| text.bytes().next()) {
                builder = builder.with_delimiter(delimiter);
            }
            builder.build(Cursor::new(bytes)).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
        }
        other => Err(format!("table {} is of format {other}, which the oracle does not read", table.name)),
    }
}

/// The columns that the table declares, as it declares them.
fn declared(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
        Some(column) => cast(column, field.data_type()),
        None => Err(ArrowError::SchemaError(format!("there is no column {}", field.name()))),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// Lines that are the values of the only column. Of JSON blank lines are nothing, and the document `null` is null.
fn documents(bytes: &[u8], json: bool, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter(|line| !json || !line.trim().is_empty());
    let values: StringArray = lines.map(|line| (!json || line.trim() != "null").then_some(line)).collect();
    RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(values) as ArrayRef])
}

/// A file's bytes, decompressed as the table says or else as the file's name does.
fn inflated(path: &Path, compression: Option<&str>) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let bytes = fs::read(path).map_err(failed)?;
    let by_name = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => "gzip",
        Some("zst") => "zstd",
        _ => "none",
    };
    match compression.unwrap_or(by_name) {
        "gzip" => {
            let mut text = vec![];
            MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text).map_err(failed)?;
            Ok(text)
        }
        "zstd" => zstd::decode_all(bytes.as_slice()).map_err(failed),
        _ => Ok(bytes),
    }
}

fn read_parquet(path: &Path) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| failed(&error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed(&error))?;
    let schema = Arc::clone(builder.schema());
    let reader = builder.build().map_err(|error| failed(&error))?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
    Ok((schema, batches))
}

/// Lines of a text file that a sink has written, decompressed; a Parquet file's rows as JSON.
pub(crate) fn read_lines(path: &Path) -> Result<Vec<String>, String> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        let (schema, batches) = read_parquet(path)?;
        return lines(&schema, &batches);
    }
    match String::from_utf8(inflated(path, None)?) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(_) => Err(format!("{} is neither text nor Parquet, which is all that a case can compare", path.display())),
    }
}

/// Replaces the window function by what it means.
fn without_tumble(sql: &str, event_time: Option<&str>) -> Result<String, String> {
    const CALL: &str = "tumble(";
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.to_ascii_lowercase().find(CALL) {
        let after = &rest[at + CALL.len()..];
        let end = closing(after).ok_or("a call of tumble does not end")?;
        let (width, time) = (&after[..end], event_time.ok_or("tumble, but no event time column")?);
        let start = format!("date_bin({width}, {time})");
        out.push_str(&rest[..at]);
        out.push_str(&format!("named_struct('start', {start}, 'end', {start} + {width})"));
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Position of the parenthesis that closes one opened before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}
