//! Files through the real source and sink, as the runtime drives them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::Int64Type;
use connectors_options::{Options, find};
use parquet::arrow::ArrowWriter;
use schema::{Changelog, EVENT_TIME, Field, ScalarType, Schema};
use serde_json::{Value, json};
use worker_lib::connector::{
    Attempt, Sink, SinkContext, SinkCounters, Source, SourceContext, SourceCounters, SourceEvent,
};
use worker_lib::{Batch, ErrorClass, TaskError};

use crate::{FILESYSTEM_SINK, FILESYSTEM_SOURCE, SINGLE_FILE_SINK, SINGLE_FILE_SOURCE};

fn schema() -> Schema {
    Schema::new(vec![Field::new("a", ScalarType::Int64, true), Field::new("b", ScalarType::Utf8, true)])
}

fn options(pairs: &[(&str, &str)]) -> Options {
    Options::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

fn source(
    connector: &str,
    pairs: &[(&str, &str)],
    schema: &Schema,
    (task, parallelism): (usize, usize),
    restored: Option<Vec<Value>>,
) -> Result<(Box<dyn Source>, Arc<SourceCounters>), TaskError> {
    let validated = find(connector).unwrap().source(&mut options(pairs), schema).unwrap().unwrap();
    let def = if connector == "filesystem" { &FILESYSTEM_SOURCE } else { &SINGLE_FILE_SOURCE };
    let counters: Arc<SourceCounters> = Arc::default();
    let metadata = |field: &Field| (field.name == EVENT_TIME).then(|| EVENT_TIME.to_owned());
    let source = def.source.unwrap()(SourceContext {
        table: "t".into(),
        options: validated.config,
        schema: schema.clone(),
        metadata: schema.fields.iter().map(metadata).collect(),
        task,
        parallelism,
        batch_rows: 3,
        linger: Duration::from_millis(100),
        counters: Arc::clone(&counters),
        restored,
    })?;
    Ok((source, counters))
}

/// At most so many batches.
async fn take(source: &mut dyn Source, most: usize) -> Result<Vec<Batch>, TaskError> {
    let mut batches = Vec::new();
    while batches.len() < most {
        let SourceEvent::Rows { batch, .. } = source.next().await? else { break };
        assert!(batch.rows > 0 && batch.rows <= 3);
        batches.push(batch);
    }
    Ok(batches)
}

/// All rows of one task, and its counters.
async fn read_task(
    connector: &str,
    pairs: &[(&str, &str)],
    schema: &Schema,
    place: (usize, usize),
) -> Result<(Vec<Batch>, Arc<SourceCounters>), TaskError> {
    let (mut source, counters) = source(connector, pairs, schema, place, None)?;
    let batches = take(source.as_mut(), usize::MAX).await?;
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

fn sink(
    connector: &str,
    pairs: &[(&str, &str)],
    generation: u64,
) -> Result<(Box<dyn Sink>, Arc<SinkCounters>), TaskError> {
    sink_of(connector, pairs, generation, None)
}

/// Of a changelog, if there is one, of such rows.
fn sink_of(
    connector: &str,
    pairs: &[(&str, &str)],
    generation: u64,
    changelog: Option<Changelog>,
) -> Result<(Box<dyn Sink>, Arc<SinkCounters>), TaskError> {
    let first = changelog.as_ref().map(|_| Changelog::retract_field());
    let validated = find(connector).unwrap().sink(&mut options(pairs), &schema()).unwrap().unwrap();
    let def = if connector == "filesystem" { &FILESYSTEM_SINK } else { &SINGLE_FILE_SINK };
    let counters: Arc<SinkCounters> = Arc::default();
    let sink = def.sink.unwrap()(SinkContext {
        table: "t".into(),
        options: validated.config,
        schema: Schema::new(first.into_iter().chain(schema().fields).collect()),
        changelog,
        task: 0,
        parallelism: 1,
        counters: Arc::clone(&counters),
        attempt: Attempt { job: "job".into(), generation },
    })?;
    Ok((sink, counters))
}

/// A whole job of one epoch.
async fn write(connector: &str, pairs: &[(&str, &str)], batches: &[Batch]) -> Result<Arc<SinkCounters>, TaskError> {
    let (mut sink, counters) = sink(connector, pairs, 1)?;
    for batch in batches {
        sink.write(batch.clone()).await?;
        sink.flush().await?;
    }
    if let Some(token) = sink.prepare().await? {
        sink.publish(token).await?;
    }
    Ok(counters)
}

/// The files of a directory, hidden ones too.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
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
async fn a_file_without_an_end_of_line_is_not_read_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let path = text(&path);
    for bad_data in ["fail", "drop"] {
        let error = read("single_file", &[("path", &path), ("bad_data", bad_data)]).await.unwrap_err();
        assert_eq!(error.message, format!("\"{path}\": a line is longer than 67108864 bytes"));
    }
}

#[tokio::test]
async fn bad_rows_without_end_leave_others_their_turns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    fs::write(&path, "no\n".repeat(1 << 20)).unwrap();
    let pairs = [("path", text(&path)), ("bad_data", "drop".to_owned())];
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let (mut source, counters) = source("single_file", &pairs, &schema(), (0, 1), None).unwrap();
    let mut turns = 0;
    let next = source.next();
    tokio::pin!(next);
    let other = std::future::poll_fn(|cx| {
        turns += 1;
        next.as_mut().poll(cx)
    });
    assert!(matches!(other.await, Ok(SourceEvent::End)));
    assert!(turns > 2);
    assert_eq!(counters.bad_rows.load(Relaxed), 1 << 20);
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
    let place = "line 2, column 6: column \"a\": BIGINT expected, found \"x\"";
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
    // Neither what is damaged nor what is cut off gets better by reading it again.
    let whole = zstd::encode_all(&b"{\"a\": 1}\n"[..], 0).unwrap();
    for bytes in [&b"neither is this zstd"[..], &whole[..whole.len() - 3]] {
        fs::write(root.join("b.json.zst"), bytes).unwrap();
        let path = text(&root.join("b.json.zst"));
        let error = read("single_file", &[("path", &path)]).await.unwrap_err();
        assert!(error.message.starts_with(&format!("cannot read \"{path}\": ")), "{error}");
        assert_eq!(error.class, ErrorClass::User);
    }
    fs::write(root.join("a.parquet"), "not parquet").unwrap();
    let pairs = [("path", text(&root.join("a.parquet"))), ("format", "parquet".to_owned())];
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let error = read("single_file", &pairs).await.unwrap_err();
    assert!(error.message.contains("as Parquet"), "{error}");
}

/// A file of several row groups with a nested column, wider and narrower types than the table's.
fn write_nested(path: &Path, from: i32) {
    let numbers = || from..from + 20;
    let inner = StructArray::from(vec![
        (
            Arc::new(arrow::datatypes::Field::new("skipped", arrow::datatypes::DataType::Utf8, true)),
            Arc::new(StringArray::from_iter_values(numbers().map(|i| format!("s{i}")))) as ArrayRef,
        ),
        (
            Arc::new(arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int32, true)),
            Arc::new(Int32Array::from_iter_values(numbers())) as ArrayRef,
        ),
    ]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("first", Arc::new(StringArray::from_iter_values(numbers().map(|i| i.to_string())))),
        ("nested", Arc::new(inner)),
        ("a", Arc::new(Int32Array::from_iter_values(numbers()))),
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
    write_nested(&directory.path().join("a.parquet"), 0);
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
        assert_eq!(counters.lag.load(Relaxed), 0);
        all.extend(numbers(&batches));
    }
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<_>>());
    let bytes = fs::metadata(directory.path().join("a.parquet")).unwrap().len();
    let lag = |task| source("filesystem", &pairs, &wanted, (task, 3), None).unwrap().1.lag.load(Relaxed);
    assert_eq!((0..3).map(lag).sum::<u64>(), bytes);
    let (count_only, _) = read_task("filesystem", &pairs, &Schema::default(), (0, 1)).await.unwrap();
    assert_eq!(count_only.iter().map(|batch| batch.rows).sum::<usize>(), 20);
}

#[tokio::test]
async fn parquet_columns_that_do_not_fit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    write_nested(&path, 0);
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
async fn changes_of_rows_are_written_with_their_kind() {
    let directory = tempfile::tempdir().unwrap();
    let changes = |retracts: &[bool], numbers: &[i64], texts: &[Option<&str>]| {
        let Batch { mut columns, rows } = batch(numbers, texts);
        columns.insert(0, Arc::new(BooleanArray::from(retracts.to_vec())) as ArrayRef);
        Batch::new(columns, rows)
    };
    let rows = changes(&[false, true, false, true, false], &[1, 1, 1, 2, 2], &[None, None, Some("x"), None, None]);
    let file = text(&directory.path().join("out.json"));
    let parts = text(&directory.path().join("parts"));
    let serial = [("partitioning.fields", "b"), ("filename.strategy", "serial")];
    for (connector, path, more) in [("single_file", &file, &serial[..0]), ("filesystem", &parts, &serial[..])] {
        let pairs = [&[("path", path.as_str()), ("format", "debezium_json")][..], more].concat();
        let changelog = Changelog { key: Some(vec![1]) };
        let (mut sink, _) = sink_of(connector, &pairs, 1, Some(changelog)).unwrap();
        sink.write(rows.clone()).await.unwrap();
        let token = sink.prepare().await.unwrap().unwrap();
        sink.publish(token).await.unwrap();
    }
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let (new, old) = (r#"{"before":null,"after":{"a":1,"b":null},"op":"c"}"#, r#"{"a":1,"b":null}"#);
    let same = r#"{"before":{"a":2,"b":null},"after":{"a":2,"b":null},"op":"u"}"#;
    let expected = format!("{new}\n{{\"before\":{old},\"after\":{{\"a\":1,\"b\":\"x\"}},\"op\":\"u\"}}\n{same}\n");
    assert_eq!(read("out.json"), expected);
    // A row that goes to another directory is taken out of one and put into the other.
    let gone = format!("{new}\n{{\"before\":{old},\"after\":null,\"op\":\"d\"}}\n{same}\n");
    assert_eq!(read("parts/b=__HIVE_DEFAULT_PARTITION__/00000-000.json"), gone);
    assert_eq!(read("parts/b=x/00001-000.json"), "{\"before\":null,\"after\":{\"a\":1,\"b\":\"x\"},\"op\":\"c\"}\n");
}

#[tokio::test]
async fn a_part_stays_when_it_has_been_prepared() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(directory.path());
    let pairs = [("path", path.as_str()), ("format", "json"), ("rolling_policy.file_size", "1")];
    let (mut first, _) = sink("filesystem", &pairs, 1).unwrap();
    // It is long enough, and closed.
    first.write(batch(&[1], &[None])).await.unwrap();
    assert_eq!(names(directory.path()).len(), 1);
    drop(first);
    assert_eq!(names(directory.path()), [""; 0]);
    let (mut second, _) = sink("filesystem", &pairs, 2).unwrap();
    second.write(batch(&[1], &[None])).await.unwrap();
    let token = second.prepare().await.unwrap().unwrap();
    assert_eq!(second.prepare().await.unwrap(), None);
    drop(second);
    assert_eq!(names(directory.path()).len(), 1);
    let (mut third, _) = sink("filesystem", &pairs, 3).unwrap();
    third.publish(token.clone()).await.unwrap();
    third.publish(token.clone()).await.unwrap();
    assert_eq!(read("filesystem", &pairs).await.unwrap(), [1]);
    let file = token["parts"][0]["to"].as_str().unwrap();
    fs::remove_file(file).unwrap();
    // Its reader has taken it away: it had been published.
    third.publish(token.clone()).await.unwrap();
    let error = third.publish(Value::Null).await.unwrap_err();
    assert_eq!(error.message, "no files can be published by null");
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

/// What so many batches of each task hold, and one more of each task than of the one before; and the positions then.
async fn read_some(
    pairs: &[(&str, &str)],
    schema: &Schema,
    parallelism: usize,
    restored: Option<&[Value]>,
    most: usize,
) -> (Vec<i64>, Vec<Value>) {
    let (mut seen, mut positions) = (Vec::new(), Vec::new());
    for task in 0..parallelism {
        let restored = restored.map(<[Value]>::to_vec);
        let (mut source, _) = source("filesystem", pairs, schema, (task, parallelism), restored).unwrap();
        seen.extend(numbers(&take(source.as_mut(), most.saturating_add(task)).await.unwrap()));
        positions.push(source.position().unwrap());
    }
    (seen, positions)
}

/// Whenever it is restored, and at whichever parallelism, each row comes once.
async fn check_restored(pairs: &[(&str, &str)], schema: &Schema, expected: &[i64]) {
    for before in 0..expected.len() / 3 {
        let (first, at_first) = read_some(pairs, schema, 2, None, before).await;
        for parallelism in 1..4 {
            let (second, at_second) = read_some(pairs, schema, parallelism, Some(&at_first), 1).await;
            let (third, at_end) = read_some(pairs, schema, 2, Some(&at_second), usize::MAX).await;
            let mut all = [first.clone(), second, third].concat();
            all.sort_unstable();
            assert_eq!(all, expected, "{before} batches, then {parallelism} tasks");
            let (none, still) = read_some(pairs, schema, 1, Some(&at_end), usize::MAX).await;
            assert_eq!(none, [0; 0]);
            let position = crate::position::Position::restored;
            assert_eq!(position(&still), position(&at_end));
        }
    }
}

#[tokio::test]
async fn lines_come_once_whenever_the_source_is_restored() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("1.json"), lines(0..10)).unwrap();
    fs::write(root.join("2.json"), "").unwrap();
    fs::write(root.join("3.json"), lines(10..11).trim_end()).unwrap();
    fs::write(root.join("4.json.zst"), zstd::encode_all(lines(11..17).as_bytes(), 0).unwrap()).unwrap();
    fs::write(root.join("5.json"), lines(17..24)).unwrap();
    let path = text(root);
    let pairs = [("path", path.as_str()), ("format", "json")];
    check_restored(&pairs, &schema(), &(0..24).collect::<Vec<i64>>()).await;
}

#[tokio::test]
async fn records_come_once_whenever_the_source_is_restored() {
    let directory = tempfile::tempdir().unwrap();
    for file in 0..3 {
        let rows: String = (file * 5..file * 5 + 5).map(|n| format!("\"two\nlines\",{n}\n")).collect();
        fs::write(directory.path().join(format!("{file}.csv")), format!("b,a\n{rows}")).unwrap();
    }
    let path = text(directory.path());
    check_restored(&[("path", &path), ("format", "csv")], &schema(), &(0..15).collect::<Vec<i64>>()).await;
}

#[tokio::test]
async fn row_groups_come_once_whenever_the_source_is_restored() {
    let directory = tempfile::tempdir().unwrap();
    write_nested(&directory.path().join("a.parquet"), 0);
    write_nested(&directory.path().join("b.parquet"), 20);
    let member = Field::new("n", ScalarType::Int64, true);
    let wanted = Schema::new(vec![
        Field::new("a", ScalarType::Int64, false),
        Field::new("nested", ScalarType::Struct(vec![member]), true),
    ]);
    let path = text(directory.path());
    let pairs = [("path", path.as_str()), ("format", "parquet")];
    check_restored(&pairs, &wanted, &(0..40).collect::<Vec<i64>>()).await;
    // Without any column, too.
    let (mut counting, _) = source("filesystem", &pairs, &Schema::default(), (0, 1), None).unwrap();
    take(counting.as_mut(), 5).await.unwrap();
    let restored = Some(vec![counting.position().unwrap()]);
    let (mut counting, _) = source("filesystem", &pairs, &Schema::default(), (0, 1), restored).unwrap();
    let rest = take(counting.as_mut(), usize::MAX).await.unwrap();
    assert_eq!(rest.iter().map(|batch| batch.rows).sum::<usize>(), 25);
}

#[tokio::test]
async fn files_that_have_come_are_read_and_files_that_were_read_may_go() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("1.json"), lines(0..3)).unwrap();
    fs::write(root.join("3.json"), lines(3..8)).unwrap();
    let path = text(root);
    let pairs = [("path", path.as_str()), ("format", "json")];
    let (_, positions) = read_some(&pairs, &schema(), 1, None, 2).await;
    let done = serde_json::json!([{ "file": root.join("1.json"), "groups": [0] }]);
    assert_eq!(positions[0]["done"], done);
    assert_eq!(positions[0]["open"], serde_json::json!([{ "file": root.join("3.json"), "group": 0, "rows": 3 }]));
    fs::remove_file(root.join("1.json")).unwrap();
    fs::write(root.join("2.json"), lines(20..21)).unwrap();
    let (rest, at_end) = read_some(&pairs, &schema(), 1, Some(&positions), usize::MAX).await;
    assert_eq!(rest, [20, 6, 7]);
    for file in ["2.json", "3.json"] {
        fs::remove_file(root.join(file)).unwrap();
    }
    assert_eq!(read_some(&pairs, &schema(), 2, Some(&at_end), usize::MAX).await.0, [0; 0]);
}

#[tokio::test]
async fn a_file_that_was_begun_must_not_shrink_or_go() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (json, parquet) = (root.join("1.json"), root.join("1.parquet"));
    fs::write(&json, lines(0..10)).unwrap();
    write_nested(&parquet, 0);
    let path = text(root);
    for (format, file) in [("json", &json), ("parquet", &parquet)] {
        let pattern = format!("{format}$");
        let pairs = [("path", path.as_str()), ("format", format), ("source.regex_pattern", pattern.as_str())];
        let schema = Schema::new(vec![Field::new("a", ScalarType::Int64, true)]);
        let (_, positions) = read_some(&pairs, &schema, 1, None, 2).await;
        if format == "json" {
            fs::write(&json, lines(0..2)).unwrap();
        } else {
            let columns: Vec<(&str, ArrayRef)> = vec![("a", Arc::new(Int32Array::from_iter_values(0..3)))];
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let mut writer = ArrowWriter::try_new(fs::File::create(&parquet).unwrap(), batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
        let (mut shrunk, _) = source("filesystem", &pairs, &schema, (0, 1), Some(positions.clone())).unwrap();
        let error = take(shrunk.as_mut(), usize::MAX).await.unwrap_err();
        let start = format!("cannot go on reading \"{}\": ", file.display());
        // Of Parquet, two rows of the second row group had been read, which is not there any more.
        let rest = if format == "json" { "6 rows" } else { "2 rows" };
        assert!(error.message.starts_with(&format!("{start}{rest} were read before the restart")), "{error}");
        fs::write(root.join(format!("2.{format}")), "").unwrap();
        fs::remove_file(file).unwrap();
        let error = source("filesystem", &pairs, &schema, (0, 1), Some(positions)).err().unwrap();
        assert!(error.message.starts_with(&start) && error.message.ends_with("now it is gone"), "{error}");
    }
    let other = Some(vec![serde_json::json!({ "start": 1 })]);
    let pairs = [("path", path.as_str()), ("format", "json")];
    let error = source("filesystem", &pairs, &schema(), (0, 1), other).err().unwrap();
    assert_eq!(error.message, "table \"t\" cannot go on from positions [{\"start\":1}]");
}

#[tokio::test]
async fn bad_rows_are_counted_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    fs::write(&path, "{\"a\":1}\nbad\n{\"a\":2}\nbad\n{\"a\":3}\n{\"a\":4}\nbad\n").unwrap();
    let path = text(&path);
    let pairs = [("path", path.as_str()), ("bad_data", "drop")];
    let (mut first, counters) = source("single_file", &pairs, &schema(), (0, 1), None).unwrap();
    assert_eq!(numbers(&take(first.as_mut(), 1).await.unwrap()), [1, 2, 3]);
    assert_eq!(counters.bad_rows.load(Relaxed), 2);
    let restored = Some(vec![first.position().unwrap()]);
    let (mut second, counters) = source("single_file", &pairs, &schema(), (0, 1), restored).unwrap();
    assert_eq!(numbers(&take(second.as_mut(), usize::MAX).await.unwrap()), [4]);
    assert_eq!(counters.bad_rows.load(Relaxed), 1);
}

/// The last thing that a worker does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Write,
    Prepare,
    /// The manifest is in the log.
    Record,
    Publish,
}

/// Rows 0 to 4. Four attempts: one ends in its second epoch or just behind it, one does nothing but to be there, one
/// writes and is lost, one writes the rest.
async fn write_with_crashes(connector: &str, pairs: &[(&str, &str)], last: Last, killed: bool) {
    let row = |n: i64| batch(&[n], &[Some("x")]);
    let crash = |sink: Box<dyn Sink>| if killed { std::mem::forget(sink) } else { drop(sink) };
    let (mut first, _) = sink(connector, pairs, 1).unwrap();
    first.discard_leftovers().await.unwrap();
    first.write(row(0)).await.unwrap();
    let mut manifest = first.prepare().await.unwrap().unwrap();
    // The stream does not wait for the publication.
    first.write(row(1)).await.unwrap();
    first.publish(manifest.clone()).await.unwrap();
    let mut next = 1;
    if last != Last::Write {
        let token = first.prepare().await.unwrap().unwrap();
        if last != Last::Prepare {
            (manifest, next) = (token.clone(), 2);
        }
        first.write(row(2)).await.unwrap();
        first.flush().await.unwrap();
        if last == Last::Publish {
            first.publish(token).await.unwrap();
        }
    }
    crash(first);

    let (mut idle, _) = sink(connector, pairs, 2).unwrap();
    idle.publish(manifest.clone()).await.unwrap();
    idle.discard_leftovers().await.unwrap();
    let token = idle.prepare().await.unwrap();
    manifest = token.unwrap_or(manifest);
    crash(idle);

    for generation in 3..5 {
        let (mut sink, _) = sink(connector, pairs, generation).unwrap();
        sink.publish(manifest.clone()).await.unwrap();
        sink.discard_leftovers().await.unwrap();
        for n in next..5 {
            sink.write(row(n)).await.unwrap();
            sink.flush().await.unwrap();
        }
        let token = sink.prepare().await.unwrap().unwrap();
        if generation == 3 {
            crash(sink);
        } else {
            sink.publish(token.clone()).await.unwrap();
            sink.publish(token).await.unwrap();
        }
    }
}

const LAST: [Last; 4] = [Last::Write, Last::Prepare, Last::Record, Last::Publish];

#[tokio::test]
async fn a_directory_has_each_row_once_whenever_the_worker_is_lost() {
    for (last, killed) in LAST.into_iter().flat_map(|last| [(last, false), (last, true)]) {
        for more in [("format", "json"), ("format", "csv"), ("format", "parquet"), ("json.compression", "gzip")] {
            let directory = tempfile::tempdir().unwrap();
            let path = text(directory.path());
            let mut pairs = vec![("path", path.as_str()), ("filename.strategy", "serial"), more];
            if more.0 != "format" {
                pairs.push(("format", "json"));
            }
            write_with_crashes("filesystem", &pairs, last, killed).await;
            let mut rows = read("filesystem", &pairs).await.unwrap();
            rows.sort_unstable();
            assert_eq!(rows, [0, 1, 2, 3, 4], "{last:?} {killed} {more:?}");
            let names = names(directory.path());
            assert!(names.iter().any(|name| name.starts_with("00000-000.")), "{names:?}");
            assert!(names.iter().any(|name| name.starts_with("00000-000-g4.")), "{names:?}");
            assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
        }
    }
}

#[tokio::test]
async fn partitions_have_each_row_once_whenever_the_worker_is_lost() {
    for last in LAST {
        let directory = tempfile::tempdir().unwrap();
        let path = text(&directory.path().join("made/here"));
        let pairs = [("path", path.as_str()), ("format", "json"), ("partitioning.fields", "b")];
        write_with_crashes("filesystem", &pairs, last, true).await;
        let mut rows = read("filesystem", &pairs[..2]).await.unwrap();
        rows.sort_unstable();
        assert_eq!(rows, [0, 1, 2, 3, 4], "{last:?}");
        let names = names(&directory.path().join("made/here/b=x"));
        assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
    }
}

#[tokio::test]
async fn a_single_file_has_each_row_once_whenever_the_worker_is_lost() {
    for (last, killed) in LAST.into_iter().flat_map(|last| [(last, false), (last, true)]) {
        for (name, format) in [
            ("a.json", "json"),
            ("a.json.gz", "json"),
            ("a.csv.zst", "csv"),
            ("a.csv", "csv"),
            ("a.parquet", "parquet"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join(name);
            fs::write(&file, "of an earlier job").unwrap();
            let path = text(&file);
            let pairs = [("path", path.as_str()), ("format", format)];
            write_with_crashes("single_file", &pairs, last, killed).await;
            let rows = read("single_file", &pairs).await.unwrap();
            assert_eq!(rows, [0, 1, 2, 3, 4], "{last:?} {killed} {name}");
            assert_eq!(names(directory.path()), [name]);
            if name == "a.csv" {
                let content = fs::read_to_string(&file).unwrap();
                assert_eq!(content, "a,b\n0,x\n1,x\n2,x\n3,x\n4,x\n");
            }
        }
    }
}

#[tokio::test]
async fn a_single_file_without_rows_is_whole() {
    for (name, format) in [("a.json.gz", "json"), ("a.json.zst", "json"), ("a.csv", "csv"), ("a.parquet", "parquet")] {
        let directory = tempfile::tempdir().unwrap();
        let path = text(&directory.path().join(name));
        let pairs = [("path", path.as_str()), ("format", format)];
        write("single_file", &pairs, &[]).await.unwrap();
        assert_eq!(read("single_file", &pairs).await.unwrap(), [0; 0], "{name}");
    }
}

#[tokio::test]
async fn the_longest_of_several_tokens_says_where_a_file_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(&directory.path().join("a.json"));
    let pairs = [("path", path.as_str())];
    let (mut first, _) = sink("single_file", &pairs, 1).unwrap();
    let mut tokens = Vec::new();
    for n in 0..2 {
        first.write(batch(&[n], &[None])).await.unwrap();
        tokens.extend(first.prepare().await.unwrap());
    }
    first.write(batch(&[9], &[None])).await.unwrap();
    drop(first);
    let (mut second, _) = sink("single_file", &pairs, 2).unwrap();
    for token in &tokens {
        second.publish(token.clone()).await.unwrap();
    }
    second.write(batch(&[2], &[None])).await.unwrap();
    assert_eq!(second.prepare().await.unwrap().unwrap()["bytes"], 51);
    assert_eq!(read("single_file", &pairs).await.unwrap(), [0, 1, 2]);

    // What is left behind is cut off, whatever may have been published of it.
    let (mut back, _) = sink("single_file", &pairs, 3).unwrap();
    back.publish_left_behind(tokens[1].clone()).await.unwrap();
    back.publish(tokens[0].clone()).await.unwrap();
    back.discard_leftovers().await.unwrap();
    assert_eq!(read("single_file", &pairs).await.unwrap(), [0]);

    fs::write(&path, "short").unwrap();
    let (mut third, _) = sink("single_file", &pairs, 3).unwrap();
    let error = third.publish(tokens[1].clone()).await.unwrap_err();
    let reason = "it had 34 bytes at the checkpoint, and now it has 5";
    assert_eq!(error.message, format!("cannot go on writing \"{path}\": {reason}"));
    fs::remove_file(&path).unwrap();
    let error = third.publish(tokens[1].clone()).await.unwrap_err();
    assert_eq!(error.message, format!("cannot go on writing \"{path}\": no such file or directory"));
    let elsewhere = text(&directory.path().join("b.json"));
    let (mut other, _) = sink("single_file", &[("path", &elsewhere)], 3).unwrap();
    let error = other.publish(tokens[1].clone()).await.unwrap_err();
    assert_eq!(error.message, format!("cannot go on writing \"{elsewhere}\": the checkpoint is of \"{path}\""));
}

#[tokio::test]
async fn a_parquet_file_does_not_go_back_behind_its_last_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(&directory.path().join("a.parquet"));
    let pairs = [("path", path.as_str()), ("format", "parquet")];
    let (mut first, _) = sink("single_file", &pairs, 1).unwrap();
    let mut tokens = Vec::new();
    for (n, text) in [(0, "a text"), (1, "another text, and a longer one by far")] {
        first.write(batch(&[n, n], &[None, Some(text)])).await.unwrap();
        let token = first.prepare().await.unwrap().unwrap();
        first.publish(token.clone()).await.unwrap();
        tokens.push(token);
    }
    let (mut second, _) = sink("single_file", &pairs, 2).unwrap();
    second.publish(tokens[0].clone()).await.unwrap();
    let error = second.discard_leftovers().await.unwrap_err();
    assert!(error.message.starts_with(&format!("cannot go on writing \"{path}\": it had ")), "{error}");
    // A task that has ended may have left more than one.
    second.publish(tokens[1].clone()).await.unwrap();
    second.discard_leftovers().await.unwrap();
    assert_eq!(read("single_file", &pairs).await.unwrap(), [0, 0, 1, 1]);
}

#[tokio::test]
async fn tokens_that_make_no_sense_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(&directory.path().join("out"));
    let senseless = [
        Value::Null,
        json!({}),
        json!([]),
        json!("parts"),
        json!({ "path": 1, "bytes": 2 }),
        json!({ "path": path }),
        json!({ "path": path, "bytes": -1 }),
        json!({ "path": path, "bytes": 1.5 }),
        json!({ "parts": [{}] }),
        json!({ "parts": [{ "from": "a" }] }),
        json!({ "parts": { "from": "a", "to": "b" } }),
    ];
    for (connector, format) in [("filesystem", "json"), ("single_file", "json"), ("single_file", "parquet")] {
        for token in &senseless {
            let (mut sink, _) = sink(connector, &[("path", &path), ("format", format)], 2).unwrap();
            let error = sink.publish(token.clone()).await.unwrap_err();
            assert!(error.message.contains(&token.to_string()), "{connector}, {format}: {error}");
        }
    }
    assert!(!directory.path().join("out").exists());
}
