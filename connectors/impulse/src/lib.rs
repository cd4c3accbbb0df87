//! The source of numbered events: `counter`, `subtask_index` and, under the metadata key `_timestamp`, event time.
//!
//! The events `0, 1, 2 ...` are shared out among the tasks: task `t` of `p` makes `t, t + p, t + 2p ...`. Rate and
//! message count are those of the whole table, so the same events come at any parallelism. When they come, and who goes
//! on with them after a restore, is [`worker_lib::pace`]'s.
//!
//! **Event time** of event `n` is `start + n * interval` where the table has an interval, else `start + n / rate`, else
//! the time by the clock at which it was made. The clock begins at the start, and after a restore at the
//! time of the last event or, for a table without a start, at the present.
//!
//! `subtask_index` is the task that would have made the event at the first parallelism: a restore at another one does
//! not change it.
//!
//! Only the columns that the query reads are made.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, TimestampNanosecondArray, UInt64Array};
use arrow::buffer::ScalarBuffer;
use connectors_options::impulse::ImpulseSource;
use futures::future::BoxFuture;
use schema::{EVENT_TIME, ScalarType};
use worker_lib::connector::{ConnectorDef, Source, SourceContext, SourceEvent};
use worker_lib::pace::{Events, Numbers, clock_nanos};
use worker_lib::{Batch, TaskError};

pub static IMPULSE_SOURCE: ConnectorDef = ConnectorDef { name: "impulse", source: Some(new), sink: None };

fn new(cx: SourceContext) -> Result<Box<dyn Source>, TaskError> {
    Ok(Box::new(Impulse::new(cx)?))
}

struct Impulse {
    numbers: Numbers,
    event_time: EventTime,
    columns: Vec<Column>,
}

#[derive(Clone, Copy)]
enum Column {
    Counter,
    SubtaskIndex,
    EventTime,
}

/// Event times in nanoseconds since the epoch, from the start of the [`Numbers`].
#[derive(Clone, Copy)]
enum EventTime {
    /// `start + n * step`.
    Steps { step: f64 },
    /// By the clock, which showed `from` when the first event was made. It moves the start, and so is in the position.
    Clock { from: i64, begun: Option<Instant> },
}

impl Impulse {
    fn new(cx: SourceContext) -> Result<Impulse, TaskError> {
        let options: ImpulseSource = serde_json::from_value(cx.options.clone())
            .map_err(|error| TaskError::fatal(format!("cannot read the options of table \"{}\": {error}", cx.table)))?;
        let columns = cx.schema.fields.iter().zip(&cx.metadata).map(|(field, metadata)| {
            match (metadata.as_deref().unwrap_or(&field.name), &field.ty) {
                ("counter", ScalarType::UInt64) => Ok(Column::Counter),
                ("subtask_index", ScalarType::UInt64) => Ok(Column::SubtaskIndex),
                (EVENT_TIME, ty) if *ty == ScalarType::TIMESTAMP_NS => Ok(Column::EventTime),
                (name, ty) => {
                    Err(TaskError::fatal(format!("connector \"impulse\" has no column \"{name}\" of type {ty}")))
                }
            }
        });
        let columns = columns.collect::<Result<_, _>>()?;
        let events = Events { block: 1, count: options.message_count, rate: options.event_rate };
        let numbers = Numbers::new(&cx, events, options.start_time_nanos)?;
        let event_time = match (options.event_time_interval_nanos, options.event_rate) {
            (Some(interval), _) => EventTime::Steps { step: interval as f64 },
            (None, Some(rate)) => EventTime::Steps { step: 1e9 / rate },
            (None, None) => {
                let present = if options.start_time_nanos.is_none() { clock_nanos() } else { i64::MIN };
                EventTime::Clock { from: numbers.start.max(present), begun: None }
            }
        };
        Ok(Impulse { numbers, event_time, columns })
    }

    /// The events of these numbers.
    fn make(&mut self, numbers: Vec<u64>) -> Batch {
        let rows = numbers.len();
        let numbers = ScalarBuffer::from(numbers);
        if let EventTime::Clock { from, begun } = &mut self.event_time {
            let passed = begun.get_or_insert_with(Instant::now).elapsed().as_nanos() as i64;
            self.numbers.start = from.saturating_add(passed);
        }
        let tasks = self.numbers.first_tasks();
        let columns = self.columns.iter().map(|column| -> ArrayRef {
            match column {
                Column::Counter => Arc::new(UInt64Array::new(numbers.clone(), None)),
                Column::SubtaskIndex => {
                    Arc::new(UInt64Array::from_iter_values(numbers.iter().map(|number| number % tasks)))
                }
                Column::EventTime => Arc::new(self.times(&numbers)),
            }
        });
        Batch::new(columns.collect(), rows)
    }

    fn times(&self, numbers: &[u64]) -> TimestampNanosecondArray {
        let start = self.numbers.start;
        match self.event_time {
            // Whole steps are added as whole numbers: doubles are exact to 104 days of nanoseconds only.
            EventTime::Steps { step } if step.fract() == 0.0 => {
                let time = |number: &u64| start.saturating_add_unsigned(number.saturating_mul(step as u64));
                TimestampNanosecondArray::from_iter_values(numbers.iter().map(time))
            }
            EventTime::Steps { step } => {
                let time = |number: &u64| start.saturating_add((*number as f64 * step) as i64);
                TimestampNanosecondArray::from_iter_values(numbers.iter().map(time))
            }
            EventTime::Clock { .. } => TimestampNanosecondArray::from_value(start, numbers.len()),
        }
    }
}

impl Source for Impulse {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            Ok(match self.numbers.next().await {
                Some(numbers) => SourceEvent::Rows { partition: 0, batch: self.make(numbers) },
                None => SourceEvent::End,
            })
        })
    }

    fn position(&self) -> Option<serde_json::Value> {
        Some(self.numbers.position())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::array::AsArray;
    use arrow::datatypes::{TimestampNanosecondType, UInt64Type};
    use schema::{Field, Schema};
    use serde_json::Value;

    use super::*;

    fn restored(
        options: ImpulseSource,
        columns: &[&str],
        (task, parallelism): (usize, usize),
        restored: Option<Vec<Value>>,
    ) -> Impulse {
        let fields = columns.iter().map(|name| match *name {
            EVENT_TIME => Field::new("dt", ScalarType::TIMESTAMP_NS, false),
            name => Field::new(name, ScalarType::UInt64, false),
        });
        let metadata = columns.iter().map(|name| (*name == EVENT_TIME).then(|| EVENT_TIME.to_owned()));
        let cx = SourceContext {
            table: "t".into(),
            options: serde_json::to_value(options).unwrap(),
            schema: Schema::new(fields.collect()),
            metadata: metadata.collect(),
            task,
            parallelism,
            batch_rows: 4,
            linger: Duration::from_millis(100),
            counters: Arc::default(),
            restored,
        };
        Impulse::new(cx).unwrap()
    }

    fn source(options: ImpulseSource, columns: &[&str], place: (usize, usize)) -> Impulse {
        restored(options, columns, place, None)
    }

    fn options() -> ImpulseSource {
        ImpulseSource {
            event_rate: None,
            event_time_interval_nanos: None,
            message_count: None,
            start_time_nanos: Some(1_000),
        }
    }

    async fn next(source: &mut Impulse) -> Option<Batch> {
        match source.next().await.unwrap() {
            SourceEvent::Rows { partition: 0, batch } => Some(batch),
            SourceEvent::End => None,
            other => panic!("not {other:?}"),
        }
    }

    fn numbers(batch: &Batch, column: usize) -> Vec<u64> {
        batch.columns[column].as_primitive::<UInt64Type>().values().to_vec()
    }

    fn times(batch: &Batch, column: usize) -> Vec<i64> {
        batch.columns[column].as_primitive::<TimestampNanosecondType>().values().to_vec()
    }

    #[tokio::test]
    async fn events_are_the_same_at_any_parallelism() {
        for parallelism in [1, 3] {
            let mut seen = Vec::new();
            for task in 0..parallelism {
                let options = ImpulseSource { message_count: Some(10), ..options() };
                let mut source = source(options, &["subtask_index", "counter"], (task, parallelism));
                while let Some(batch) = next(&mut source).await {
                    assert!(batch.rows <= 4);
                    assert!(numbers(&batch, 0).iter().all(|index| *index == task as u64));
                    seen.extend(numbers(&batch, 1));
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn event_time_goes_by_the_interval() {
        let options =
            ImpulseSource { message_count: Some(5), event_time_interval_nanos: Some(1_000_000_000), ..options() };
        let mut source = source(options, &[EVENT_TIME], (1, 2));
        let batch = next(&mut source).await.unwrap();
        assert_eq!(times(&batch, 0), [1_000_001_000, 3_000_001_000]);
        assert!(next(&mut source).await.is_none());
    }

    #[tokio::test]
    async fn no_columns_are_still_rows() {
        let mut source = source(ImpulseSource { message_count: Some(3), ..options() }, &[], (0, 1));
        let batch = next(&mut source).await.unwrap();
        assert_eq!((batch.rows, batch.columns.len()), (3, 0));
    }

    #[tokio::test]
    async fn the_rest_comes_at_any_parallelism_with_the_same_values() {
        const COLUMNS: &[&str] = &["counter", "subtask_index", EVENT_TIME];
        let options = || ImpulseSource {
            message_count: Some(23),
            event_time_interval_nanos: Some(5),
            start_time_nanos: None,
            ..options()
        };
        for before in 0..3 {
            // The tasks stand apart: the second has made one batch more.
            let mut seen = Vec::new();
            let mut positions = Vec::new();
            let mut start = 0;
            for task in 0..2 {
                let mut source = source(options(), COLUMNS, (task, 2));
                // What the clock said is another time in each task; here it is to be comparable.
                start = if task == 0 { source.numbers.start } else { start };
                source.numbers.start = start;
                for _ in 0..before + task {
                    seen.extend(next(&mut source).await);
                }
                positions.push(source.position().unwrap());
            }
            for parallelism in 1..4 {
                let mut batches: Vec<Batch> = seen.clone();
                for task in 0..parallelism {
                    let mut source = restored(options(), COLUMNS, (task, parallelism), Some(positions.clone()));
                    while let Some(batch) = next(&mut source).await {
                        batches.push(batch);
                    }
                }
                let mut rows: Vec<(u64, u64, i64)> = Vec::new();
                for batch in &batches {
                    let (counters, indexes) = (numbers(batch, 0), numbers(batch, 1));
                    let each = counters.into_iter().zip(indexes).zip(times(batch, 2));
                    rows.extend(each.map(|((counter, index), time)| (counter, index, time)));
                }
                rows.sort_unstable();
                let expected: Vec<_> = (0..23_u64).map(|n| (n, n % 2, start + n as i64 * 5)).collect();
                assert_eq!(rows, expected, "{before} batches, then {parallelism} tasks");
            }
        }
    }

    #[tokio::test]
    async fn the_clock_does_not_go_back() {
        let mut first = source(options(), &[EVENT_TIME], (0, 1));
        let mut last = 0;
        for _ in 0..3 {
            let time = times(&next(&mut first).await.unwrap(), 0)[0];
            assert!(time >= last.max(1_000));
            last = time;
        }
        let position = first.position().unwrap();
        let mut again = restored(options(), &[EVENT_TIME], (0, 1), Some(vec![position.clone()]));
        assert!(times(&next(&mut again).await.unwrap(), 0)[0] >= last);
        // Without a start, the present.
        let options = ImpulseSource { start_time_nanos: None, ..options() };
        let mut present = restored(options, &[EVENT_TIME], (0, 1), Some(vec![position]));
        assert!(times(&next(&mut present).await.unwrap(), 0)[0] > 1_700_000_000_000_000_000);
    }

    #[test]
    fn a_column_that_it_does_not_have_is_refused() {
        let cx = |options| SourceContext {
            table: "t".into(),
            options,
            schema: Schema::new(vec![Field::new("count", ScalarType::UInt64, false)]),
            metadata: vec![None],
            task: 0,
            parallelism: 1,
            batch_rows: 1,
            linger: Duration::ZERO,
            counters: Arc::default(),
            restored: None,
        };
        let error = Impulse::new(cx(serde_json::to_value(options()).unwrap())).err().unwrap();
        assert_eq!(error.message, "connector \"impulse\" has no column \"count\" of type BIGINT UNSIGNED");
    }
}
