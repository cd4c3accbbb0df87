//! Files through the real source and sink, as the runtime drives them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::Int64Type;
use connectors_options::{Options, find};
use parquet::arrow::ArrowWriter;
use schema::{EVENT_TIME, Field, ScalarType, Schema};
use worker_lib::connector::{SinkContext, SinkCounters, SourceContext, SourceCounters, SourceEvent};
use worker_lib::{Batch, TaskError};

use crate::{FILESYSTEM_SINK, FILESYSTEM_SOURCE, SINGLE_FILE_SINK, SINGLE_FILE_SOURCE};

fn schema() -> Schema {
    Schema::new(vec![Field::new("a", ScalarType::Int64, true), Field::new("b", ScalarType::Utf8, true)])
}

fn options(pairs: &[(&str, &str)]) -> Options {
    Options::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

/// All rows of one task, and its counters.
async fn read_task(
    connector: &str,
    pairs: &[(&str, &str)],
    schema: &Schema,
    (task, parallelism): (usize, usize),
) -> Result<(Vec<Batch>, Arc<SourceCounters>), TaskError> {
    let validated = find(connector).unwrap().source(&mut options(pairs), schema).unwrap().unwrap();
    let def = if connector == "filesystem" { &FILESYSTEM_SOURCE } else { &SINGLE_FILE_SOURCE };
    let counters: Arc<SourceCounters> = Arc::default();
    let metadata = |field: &Field| (field.name == EVENT_TIME).then(|| EVENT_TIME.to_owned());
    let mut source = def.source.unwrap()(SourceContext {
        table: "t".into(),
        options: validated.config,
        schema: schema.clone(),
        metadata: schema.fields.iter().map(metadata).collect(),
        task,
        parallelism,
        batch_rows: 3,
        linger: Duration::from_millis(100),
        counters: Arc::clone(&counters),
    })?;
    let mut batches = Vec::new();
    while let SourceEvent::Rows { batch, .. } = source.next().await? {
        assert!(batch.rows > 0 && batch.rows <= 3);
        batches.push(batch);
    }
    Ok((batches, counters))
}

async fn read(connector: &str, pairs: &[(&str, &str)]) -> Result<Vec<i64>, TaskError> {
    Ok(numbers(&read_task(connector, pairs, &schema(), (0, 1)).await?.0))
}

/// The values of the first column.
fn numbers(batches: &[Batch]) -> Vec<i64> {
    let values = |batch: &Batch| batch.columns[0].as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(values).collect()
}

fn lines(numbers: impl Iterator<Item = i64>) -> String {
    numbers.map(|n| format!("{{\"b\":\"x\",\"a\":{n}}}\n")).collect()
}

async fn write(connector: &str, pairs: &[(&str, &str)], batches: &[Batch]) -> Result<Arc<SinkCounters>, TaskError> {
    let validated = find(connector).unwrap().sink(&mut options(pairs), &schema()).unwrap().unwrap();
    let def = if connector == "filesystem" { &FILESYSTEM_SINK } else { &SINGLE_FILE_SINK };
    let counters: Arc<SinkCounters> = Arc::default();
    let mut sink = def.sink.unwrap()(SinkContext {
        table: "t".into(),
        options: validated.config,
        schema: schema(),
        task: 0,
        parallelism: 1,
        counters: Arc::clone(&counters),
    })?;
    for batch in batches {
        sink.write(batch.clone()).await?;
        sink.flush().await?;
    }
    sink.close().await?;
    Ok(counters)
}

fn batch(numbers: &[i64], texts: &[Option<&str>]) -> Batch {
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(numbers.to_vec())), Arc::new(StringArray::from(texts.to_vec()))];
    Batch::new(columns, numbers.len())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[tokio::test]
async fn compressed_and_plain_lines_of_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("1.json"), lines(0..5).trim_end()).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(fs::File::create(root.join("2.json.gz")).unwrap(), Default::default());
    gzip.write_all(lines(5..10).as_bytes()).unwrap();
    gzip.finish().unwrap();
    fs::write(root.join("3.json.zst"), zstd::encode_all(lines(10..12).as_bytes(), 0).unwrap()).unwrap();
    let path = text(root);
    let pairs = [("path", path.as_str()), ("format", "json")];
    assert_eq!(read("filesystem", &pairs).await.unwrap(), (0..12).collect::<Vec<_>>());
    let (one, counters) = read_task("filesystem", &pairs, &schema(), (1, 2)).await.unwrap();
    assert_eq!(numbers(&one), (5..10).collect::<Vec<_>>());
    assert_eq!(counters.bytes.load(Relaxed), fs::metadata(root.join("2.json.gz")).unwrap().len());
    assert_eq!(counters.lag.load(Relaxed), 0);
}

#[tokio::test]
async fn lines_longer_than_a_chunk_and_many_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    let long = "y".repeat(3 << 20);
    let mut content = lines(0..30_000);
    content.push_str(&format!("{{\"a\":30000,\"b\":\"{long}\"}}\n"));
    content.push_str(&lines(30_001..60_000));
    fs::write(&path, content).unwrap();
    let numbers = read("single_file", &[("path", &text(&path))]).await.unwrap();
    assert_eq!(numbers, (0..60_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn csv_and_the_time_of_reading() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.csv");
    fs::write(&path, "b,a\nx,1\ny,2\n").unwrap();
    let mut schema = schema();
    schema.fields.insert(1, Field::new(EVENT_TIME, ScalarType::TIMESTAMP_NS, false));
    let metadata_free = [("path", text(&path)), ("format", "csv".to_owned())];
    let pairs: Vec<(&str, &str)> = metadata_free.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let (batches, _) = read_task("single_file", &pairs, &schema, (0, 1)).await.unwrap();
    assert_eq!(numbers(&batches), [1, 2]);
    assert_eq!(batches[0].columns[2].as_string::<i32>().value(1), "y");
}

#[tokio::test]
async fn bad_rows_fail_with_their_place_or_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    fs::write(&path, "{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":3}\n").unwrap();
    let path = text(&path);
    let error = read("single_file", &[("path", &path)]).await.unwrap_err();
    let place = "line 2, column 6: column \"a\": BIGINT expected, found a string";
    assert_eq!(error.message, format!("\"{path}\", {place}"));
    let pairs = [("path", path.as_str()), ("bad_data", "drop")];
    let (batches, counters) = read_task("single_file", &pairs, &schema(), (0, 1)).await.unwrap();
    assert_eq!((numbers(&batches), counters.bad_rows.load(Relaxed)), (vec![1, 3], 1));
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let missing = root.join("missing.json");
    let error = read("single_file", &[("path", &text(&missing))]).await.unwrap_err();
    assert!(error.message.ends_with("missing.json\": no such file or directory"), "{error}");
    let error = read("filesystem", &[("path", &text(root)), ("format", "json")]).await.unwrap_err();
    assert_eq!(error.message, format!("table \"t\": there are no files in \"{}\"", root.display()));
    fs::write(root.join("a.json.gz"), "not gzip").unwrap();
    let error = read("filesystem", &[("path", &text(root)), ("format", "json")]).await.unwrap_err();
    assert!(error.message.contains("cannot read") && error.message.contains("a.json.gz"), "{error}");
    fs::write(root.join("a.parquet"), "not parquet").unwrap();
    let pairs = [("path", text(&root.join("a.parquet"))), ("format", "parquet".to_owned())];
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let error = read("single_file", &pairs).await.unwrap_err();
    assert!(error.message.contains("as Parquet"), "{error}");
}

/// A file of several row groups with a nested column, wider and narrower types than the table's.
fn write_nested(path: &Path) {
    let inner = StructArray::from(vec![
        (
            Arc::new(arrow::datatypes::Field::new("skipped", arrow::datatypes::DataType::Utf8, true)),
            Arc::new(StringArray::from_iter_values((0..20).map(|i| format!("s{i}")))) as ArrayRef,
        ),
        (
            Arc::new(arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int32, true)),
            Arc::new(Int32Array::from_iter_values(0..20)) as ArrayRef,
        ),
    ]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("first", Arc::new(StringArray::from_iter_values((0..20).map(|i| i.to_string())))),
        ("nested", Arc::new(inner)),
        ("a", Arc::new(Int32Array::from_iter_values(0..20))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties =
        parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(4)).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[tokio::test]
async fn parquet_reads_only_what_is_wanted_and_shares_row_groups() {
    let directory = tempfile::tempdir().unwrap();
    write_nested(&directory.path().join("a.parquet"));
    let member = Field::new("n", ScalarType::Int64, true);
    let wanted = Schema::new(vec![
        Field::new("a", ScalarType::Int64, false),
        Field::new("nested", ScalarType::Struct(vec![member]), true),
    ]);
    let path = text(directory.path());
    let pairs = [("path", path.as_str()), ("format", "parquet")];
    let mut all = Vec::new();
    for task in 0..2 {
        let (batches, counters) = read_task("filesystem", &pairs, &wanted, (task, 2)).await.unwrap();
        for batch in &batches {
            let nested = batch.columns[1].as_struct();
            assert_eq!(nested.num_columns(), 1);
            assert_eq!(nested.column(0).as_primitive::<Int64Type>(), batch.columns[0].as_primitive::<Int64Type>());
        }
        assert!(counters.bytes.load(Relaxed) > 0);
        all.extend(numbers(&batches));
    }
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<_>>());
    let (count_only, _) = read_task("filesystem", &pairs, &Schema::default(), (0, 1)).await.unwrap();
    assert_eq!(count_only.iter().map(|batch| batch.rows).sum::<usize>(), 20);
}

#[tokio::test]
async fn parquet_columns_that_do_not_fit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    write_nested(&path);
    let path = text(&path);
    let pairs = [("path", path.as_str()), ("format", "parquet")];
    for (name, ty, reason) in [
        ("zz", ScalarType::Int64, "has no column \"zz\"; it has first, nested, a"),
        ("a", ScalarType::Utf8, "has column \"a\" of type INT, the table declares TEXT"),
        ("a", ScalarType::Int16, "has column \"a\" of type INT, the table declares SMALLINT"),
    ] {
        let schema = Schema::new(vec![Field::new(name, ty, true)]);
        let error = read_task("single_file", &pairs, &schema, (0, 1)).await.unwrap_err();
        assert_eq!(error.message, format!("\"{path}\" {reason}"));
    }
}

#[tokio::test]
async fn a_single_file_is_replaced_and_flushed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/a.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "old").unwrap();
    let rows = [batch(&[1, 2], &[Some("x"), None]), batch(&[3], &[Some("z")])];
    let counters = write("single_file", &[("path", &text(&path))], &rows).await.unwrap();
    let content = fs::read_to_string(&path).unwrap();
    assert_eq!(content, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":null}\n{\"a\":3,\"b\":\"z\"}\n");
    assert_eq!(counters.bytes.load(Relaxed), content.len() as u64);
    write("single_file", &[("path", &text(&path))], &[]).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
}

#[tokio::test]
async fn every_format_reads_back() {
    let rows = [batch(&[1, 2, 3], &[Some("x"), None, Some("z,\"")])];
    for format in ["json", "csv", "parquet"] {
        for compression in ["none", "gzip", "zstd"] {
            let directory = tempfile::tempdir().unwrap();
            let path = text(directory.path());
            let pairs = [("path", path.as_str()), ("format", format), ("json.compression", compression)];
            write("filesystem", &pairs, &rows).await.unwrap();
            let (back, _) = read_task("filesystem", &pairs[..2], &schema(), (0, 1)).await.unwrap();
            assert_eq!(back[0].columns, rows[0].columns, "{format} {compression}");
        }
    }
}

#[tokio::test]
async fn partitions_and_rolling_by_size() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(directory.path());
    let pairs = [
        ("path", path.as_str()),
        ("format", "json"),
        ("partitioning.fields", "b"),
        ("rolling_policy.file_size", "1"),
        ("filename.strategy", "serial"),
        ("filename.prefix", "p"),
    ];
    let rows = [batch(&[1, 2, 3], &[Some("x/y"), None, Some("x/y")]), batch(&[4], &[None])];
    write("filesystem", &pairs, &rows).await.unwrap();
    let files = crate::listing::list(&path, None).unwrap();
    assert_eq!(files.len(), 3);
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(read("b=x%2Fy/p-00001-000.json"), "{\"a\":1,\"b\":\"x/y\"}\n{\"a\":3,\"b\":\"x/y\"}\n");
    assert_eq!(read("b=__HIVE_DEFAULT_PARTITION__/p-00000-000.json"), "{\"a\":2,\"b\":null}\n");
    assert_eq!(read("b=__HIVE_DEFAULT_PARTITION__/p-00002-000.json"), "{\"a\":4,\"b\":null}\n");
}

#[tokio::test]
async fn a_part_that_is_not_closed_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(directory.path());
    let pairs = [("path", path.as_str()), ("format", "json")];
    let validated = find("filesystem").unwrap().sink(&mut options(&pairs), &schema()).unwrap().unwrap();
    let mut sink = FILESYSTEM_SINK.sink.unwrap()(SinkContext {
        table: "t".into(),
        options: validated.config,
        schema: schema(),
        task: 0,
        parallelism: 1,
        counters: Arc::default(),
    })
    .unwrap();
    sink.write(batch(&[1], &[None])).await.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    drop(sink);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_to_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let path = text(&file.join("below"));
    let error = write("filesystem", &[("path", &path), ("format", "json")], &[batch(&[1], &[None])]).await.unwrap_err();
    assert!(error.message.starts_with("cannot create directory") && error.message.contains("below"), "{error}");
    let full = write("single_file", &[("path", "/dev/full")], &[batch(&[1], &[None])]).await.unwrap_err();
    assert_eq!(full.message, "cannot write \"/dev/full\": no space left on device");
}
