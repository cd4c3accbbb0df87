//! The live rows of a table at a checkpoint, for people and for other programs.
//!
//! They are what a restart would have in memory. Files are read as a restart with one task reads them
//! ([`crate::runtime`]); then, by kind of table, what stages do with the rows:
//!
//! | kind | live are |
//! |---|---|
//! | time-keyed | of each key and time the last row, unless the watermark has removed it |
//! | keyed | of each key the last row, unless it says that the key is deleted |
//! | list | the rows that the watermark has not removed |
//! | global | of each key the last row |
//!
//! Not here: which checkpoints there are, and what they are made of (the controller's).
//!
//! Cost: the table is in memory, twice while it is encoded.

use std::sync::Arc;

use artifacts::objects::Objects;
use formats::{Encoder, Format, JsonOptions};
use protocol::checkpoint::{Manifest, StageState, TableKind, TableState};
use schema::Schema;

use crate::batch::Batch;
use crate::error::TaskError;
use crate::runtime::files::{Owner, Share, StateFiles, encode};
use crate::runtime::live::{self, Latest};

/// Rows of a table.
#[derive(Clone, Debug)]
pub struct LiveRows {
    pub columns: Schema,
    batches: Vec<Batch>,
}

/// Reads a table of a stage of a manifest.
///
/// # Errors
/// When a file is missing or damaged, or is not what the manifest says.
pub async fn live_rows(
    objects: Arc<dyn Objects>,
    manifest: &Manifest,
    stage: &StageState,
    table: &TableState,
) -> Result<LiveRows, TaskError> {
    let spec = &table.spec;
    if !live::is_sound(spec) {
        return Err(TaskError::fatal(format!("the manifest contradicts itself about table \"{}\"", spec.name)));
    }
    let files = StateFiles { objects, job: manifest.job.clone(), generation: manifest.generation };
    let share = Share { stage: stage.stage, task: 0, parallelism: 1 };
    let owners = Owner::all(stage);
    let mut batches = Vec::new();
    for file in &table.files {
        for (batch, watermark) in files.read(spec, file, share, &owners).await? {
            batches.push(live::lasting(spec, batch, watermark));
        }
    }
    let mut latest = Latest::new(spec);
    let live = batches.into_iter().rev().map(|batch| live::not_deleted(spec, latest.unseen(batch)));
    let mut batches: Vec<Batch> = live.filter(|batch| batch.rows > 0).collect();
    batches.reverse();
    let mut columns = spec.columns.clone();
    if spec.kind == TableKind::Keyed {
        columns.fields.pop();
        batches.iter_mut().for_each(|batch| drop(batch.columns.pop()));
    }
    Ok(LiveRows { columns, batches })
}

impl LiveRows {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(|batch| batch.rows).sum()
    }

    /// As a Parquet file.
    ///
    /// # Errors
    /// When the columns do not fit the schema, which is a bug.
    pub fn parquet(&self) -> Result<Vec<u8>, TaskError> {
        encode(&self.columns, &self.batches).map(Vec::from)
    }

    /// As a JSON document a line, as sinks of files write them.
    ///
    /// # Errors
    /// When JSON cannot hold the type of a column.
    pub fn json_lines(&self) -> Result<Vec<u8>, TaskError> {
        let encoder = Encoder::new(&Format::Json(JsonOptions::default()), &self.columns).map_err(TaskError::user)?;
        let mut lines = Vec::new();
        for batch in &self.batches {
            encoder.encode(&batch.columns, batch.rows, &mut lines).map_err(TaskError::fatal)?;
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::ArrayRef;
    use artifacts::objects::MemoryObjects;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use protocol::checkpoint::{FORMAT, Lifetime, Operator, Reason, TableSpec, TaskState};
    use schema::{Field, ScalarType, TimeUnit};

    use super::*;
    use crate::column::{self, from_bool, from_i64, from_text, from_timestamp, pack};
    use crate::exchange::destination;
    use crate::keys::hash_columns;
    use crate::state::TableRows;

    const WIDTH: i64 = 10;

    fn spec(kind: TableKind) -> TableSpec {
        let timed = matches!(kind, TableKind::TimeKeyed | TableKind::List);
        let mut fields = vec![Field::new("key", ScalarType::Utf8, true)];
        fields.extend(timed.then(|| Field::new("window_start", ScalarType::TIMESTAMP_NS, false)));
        fields.push(Field::new("sum(n)", ScalarType::Int64, true));
        fields.extend((kind == TableKind::Keyed).then(|| Field::new("_deleted", ScalarType::Bool, false)));
        let lifetime = timed.then_some(Lifetime { column: 1, nanos: WIDTH });
        let (columns, operator) = (Schema::new(fields), Operator::default());
        TableSpec { name: "groups".into(), kind, version: 1, keys: 1, columns, lifetime, operator }
    }

    /// Key, window start, value.
    type Row = (Option<&'static str>, i64, Option<i64>);

    fn timed(rows: &[Row]) -> Batch {
        let keys: Vec<_> = rows.iter().map(|row| row.0).collect();
        let starts = from_timestamp(rows.iter().map(|row| row.1).collect(), None, TimeUnit::Nanosecond, None);
        Batch::new(vec![from_text(&keys), starts, values(rows.iter().map(|row| row.2))], rows.len())
    }

    fn values(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        let values: Vec<_> = values.collect();
        let valid: Vec<_> = values.iter().map(Option::is_some).collect();
        from_i64(values.iter().map(|value| value.unwrap_or(0)).collect(), column::validity(&valid))
    }

    /// A table of two tasks with these watermarks, each batch a file with rows of either.
    async fn table(spec: TableSpec, watermarks: [Option<i64>; 2], files: Vec<Batch>) -> LiveRows {
        let objects: Arc<dyn Objects> = Arc::new(MemoryObjects::new());
        let state = StateFiles { objects: objects.clone(), job: "job".into(), generation: 1 };
        let mut written = Vec::new();
        for (epoch, batch) in (1..).zip(files) {
            let share = Share { stage: 1, task: 0, parallelism: 1 };
            let mut rows = TableRows::default();
            rows.keep(batch);
            written.extend(state.write(&spec, rows, share, epoch).await.unwrap());
        }
        let task = |watermark| TaskState { watermark, ..TaskState::default() };
        let table = TableState { spec, files: written };
        let stage = StageState {
            stage: 1,
            name: "tumble".into(),
            operators: vec![],
            source: None,
            sink: None,
            tables: vec![table.clone()],
            tasks: watermarks.map(task).to_vec(),
        };
        let manifest = Manifest {
            format: FORMAT,
            job: "job".into(),
            epoch: 9,
            generation: 1,
            code: String::new(),
            reason: Reason::Interval,
            begun_micros: 0,
            complete_micros: 0,
            stages: vec![stage.clone()],
        };
        live_rows(objects, &manifest, &stage, &table).await.unwrap()
    }

    fn lines(rows: &LiveRows) -> Vec<String> {
        let lines = String::from_utf8(rows.json_lines().unwrap()).unwrap();
        let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The task of two that has a key.
    fn task_of(key: &str) -> usize {
        let mut hashes = Vec::new();
        hash_columns(&[from_text(&[Some(key)])], 1, &mut hashes);
        destination(hashes[0], 2) as usize
    }

    /// Two keys of different tasks, by task.
    fn keys() -> [&'static str; 2] {
        let of = |task| ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().find(|key| task_of(key) == task).unwrap();
        [of(0), of(1)]
    }

    #[tokio::test]
    async fn of_a_window_the_last_row_of_each_key_until_its_task_has_closed_it() {
        let [first, second] = keys();
        let files = vec![
            timed(&[(Some(first), 0, Some(1)), (Some(first), 10, Some(2))]),
            timed(&[(Some(second), 0, Some(3)), (Some(second), 10, None)]),
            timed(&[(Some(first), 10, Some(4))]),
        ];
        // The first task has closed the first window, the second none.
        let rows = table(spec(TableKind::TimeKeyed), [Some(10), Some(9)], files).await;
        let line =
            |key, time, sum| format!(r#"{{"key":"{key}","window_start":"1970-01-01T00:00:00{time}","sum(n)":{sum}}}"#);
        let (zero, ten) = ("", ".000000010");
        let mut expected = [line(first, ten, "4"), line(second, zero, "3"), line(second, ten, "null")];
        expected.sort();
        assert_eq!(lines(&rows), expected);
        assert_eq!(rows.rows(), 3);

        let bytes = bytes::Bytes::from(rows.parquet().unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        assert_eq!(reader.schema().fields(), rows.columns.to_arrow().fields());
        assert_eq!(reader.metadata().file_metadata().num_rows(), 3);
    }

    #[tokio::test]
    async fn of_keys_those_that_were_not_deleted() {
        let batch = |keys: &[Option<&'static str>], sums: &[i64], deleted: &[bool]| {
            let sums = from_i64(sums.to_vec(), None);
            Batch::new(vec![from_text(keys), sums, from_bool(pack(deleted), None)], keys.len())
        };
        let files = vec![
            batch(&[Some("a"), Some("b"), None], &[1, 2, 3], &[false; 3]),
            batch(&[Some("a"), Some("c"), None], &[4, 5, 6], &[true, false, false]),
            batch(&[Some("c")], &[7], &[true]),
            batch(&[Some("a")], &[8], &[false]),
        ];
        let rows = table(spec(TableKind::Keyed), [None, None], files).await;
        let expected = [r#"{"key":"a","sum(n)":8}"#, r#"{"key":"b","sum(n)":2}"#, r#"{"key":null,"sum(n)":6}"#];
        assert_eq!(lines(&rows), expected);
    }

    #[tokio::test]
    async fn of_a_list_all_rows_until_they_expire() {
        let row = (Some("a"), 0, Some(1));
        let files = vec![timed(&[row, row]), timed(&[row, (Some("a"), 20, Some(2))])];
        let rows = table(spec(TableKind::List), [None, None], files.clone()).await;
        assert_eq!(rows.rows(), 4);
        let rows = table(spec(TableKind::List), [Some(15), Some(15)], files).await;
        assert_eq!(rows.rows(), 1);
        // Rows of a join have the window as a whole.
        let windows = |batch: Batch| {
            let start = column::i64(batch.array(1)).values[0];
            Batch { columns: vec![batch.columns[0].clone(), column::window(start, start + WIDTH, batch.rows)], ..batch }
        };
        let mut joined = spec(TableKind::List);
        joined.columns.fields.truncate(1);
        joined.columns.fields.push(Field::new("window", ScalarType::window(), false));
        let files = vec![windows(timed(&[row, row])), windows(timed(&[(Some("a"), 20, None)]))];
        let rows = table(joined, [Some(10), Some(10)], files).await;
        let window = r#"{"start":"1970-01-01T00:00:00.000000020","end":"1970-01-01T00:00:00.000000030"}"#;
        assert_eq!(lines(&rows), [format!(r#"{{"key":"a","window":{window}}}"#)]);
        let empty = table(spec(TableKind::List), [None, None], vec![]).await;
        assert_eq!((empty.rows(), empty.json_lines().unwrap().len()), (0, 0));
        assert!(!empty.parquet().unwrap().is_empty(), "a file with a schema and no rows");
    }
}
