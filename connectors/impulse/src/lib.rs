//! The source of numbered events: `counter`, `subtask_index` and, under the metadata key `_timestamp`, event time.
//!
//! The events `0, 1, 2 ...` are shared out among the tasks: task `t` of `p` makes `t, t + p, t + 2p ...`. Rate and
//! message count are those of the whole table, so the same events come at any parallelism.
//!
//! **When.** With a rate, event `n` is due `n / rate` seconds after the start; the first one is there at once. Events
//! that are due leave together, at the latest when the oldest has waited for the linger time, and without waiting
//! when no other would become due meanwhile. What could not be made in time (backpressure) is made up for, in whole
//! batches, and shows as lag. Without a rate batches are made as fast as they are taken.
//!
//! **Event time** of event `n` is `start + n * interval` where the table has an interval, otherwise the time by the
//! clock at which it was due (or made, without a rate).
//!
//! Only the columns that the query reads are made.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::{ArrayRef, TimestampNanosecondArray, UInt64Array};
use connectors_options::impulse::ImpulseSource;
use futures::future::BoxFuture;
use schema::{EVENT_TIME, ScalarType};
use tokio::time::Instant;
use worker_lib::connector::{ConnectorDef, Source, SourceContext, SourceCounters, SourceEvent};
use worker_lib::{Batch, TaskError};

pub static IMPULSE_SOURCE: ConnectorDef = ConnectorDef { name: "impulse", source: Some(new), sink: None };

/// Later than any event of a job is due; keeps clock arithmetic from overflowing at tiny rates.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

fn new(cx: SourceContext) -> Result<Box<dyn Source>, TaskError> {
    Ok(Box::new(Impulse::new(cx)?))
}

struct Impulse {
    /// Event `n` of the table is this task's event `(n - task) / tasks`.
    task: u64,
    tasks: u64,
    /// Events of this task, made and in all.
    made: u64,
    count: u64,
    /// Events per second, of all tasks; `None`: no waiting.
    rate: Option<f64>,
    event_time: EventTime,
    columns: Vec<Column>,
    batch_rows: u64,
    linger: Duration,
    /// When the first event was asked for.
    start: Option<Instant>,
    counters: Arc<SourceCounters>,
}

#[derive(Clone, Copy)]
enum Column {
    Counter,
    SubtaskIndex,
    EventTime,
}

/// Event times in nanoseconds since the epoch.
#[derive(Clone, Copy)]
enum EventTime {
    /// `start + n * step`.
    Steps { start: i64, step: f64 },
    /// By the clock, from `start` on.
    Clock { start: i64 },
}

impl Impulse {
    fn new(cx: SourceContext) -> Result<Impulse, TaskError> {
        let options: ImpulseSource = serde_json::from_value(cx.options)
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
        let (task, tasks) = (cx.task as u64, cx.parallelism as u64);
        let start = options.start_time_nanos.unwrap_or_else(now_nanos);
        Ok(Impulse {
            task,
            tasks,
            made: 0,
            count: options.message_count.map_or(u64::MAX, |count| count.saturating_sub(task).div_ceil(tasks)),
            rate: options.event_rate,
            event_time: match (options.event_time_interval_nanos, options.event_rate) {
                (Some(interval), _) => EventTime::Steps { start, step: interval as f64 },
                (None, Some(rate)) => EventTime::Steps { start, step: 1e9 / rate },
                (None, None) => EventTime::Clock { start },
            },
            columns: columns.collect::<Result<_, _>>()?,
            batch_rows: cx.batch_rows.max(1) as u64,
            linger: cx.linger,
            start: None,
            counters: cx.counters,
        })
    }

    /// How many of this task's events are due, that long after the start.
    fn due(&self, rate: f64, elapsed: Duration) -> u64 {
        let newest = (elapsed.as_secs_f64() * rate) as u64;
        if newest < self.task { 0 } else { (newest - self.task) / self.tasks + 1 }
    }

    /// When this task's event is due, after the start.
    fn due_at(&self, event: u64, rate: f64) -> Duration {
        let number = self.task as f64 + event as f64 * self.tasks as f64;
        Duration::try_from_secs_f64(number / rate).map_or(FAR, |after| after.min(FAR))
    }

    /// How many events to make now, or until when after the start to wait.
    fn plan(&self, rate: f64, elapsed: Duration) -> Result<u64, Duration> {
        let waiting = self.due(rate, elapsed).saturating_sub(self.made);
        let whole = self.batch_rows.min(self.count - self.made);
        self.counters.lag.store(waiting, Relaxed);
        let oldest = self.due_at(self.made, rate);
        if waiting == 0 {
            return Err(oldest);
        }
        let deadline = oldest + self.linger;
        if waiting >= whole
            || self.made == 0
            || deadline <= elapsed
            || deadline < self.due_at(self.made + waiting, rate)
        {
            return Ok(waiting.min(whole));
        }
        Err(deadline.min(self.due_at(self.made + whole - 1, rate)))
    }

    /// The next `rows` events.
    fn make(&mut self, rows: u64) -> Batch {
        let events = self.made..self.made + rows;
        self.made += rows;
        let (task, tasks) = (self.task, self.tasks);
        let numbers = events.map(move |event| task.wrapping_add(event.wrapping_mul(tasks)));
        let columns = self.columns.iter().map(|column| -> ArrayRef {
            match column {
                Column::Counter => Arc::new(UInt64Array::from_iter_values(numbers.clone())),
                Column::SubtaskIndex => Arc::new(UInt64Array::from_value(task, rows as usize)),
                Column::EventTime => Arc::new(TimestampNanosecondArray::from_iter_values(self.times(numbers.clone()))),
            }
        });
        Batch::new(columns.collect(), rows as usize)
    }

    fn times(&self, numbers: impl Iterator<Item = u64>) -> Vec<i64> {
        match self.event_time {
            // Whole steps are added as whole numbers: doubles are exact to 104 days of nanoseconds only.
            EventTime::Steps { start, step } if step.fract() == 0.0 => {
                numbers.map(|number| start.saturating_add_unsigned(number.saturating_mul(step as u64))).collect()
            }
            EventTime::Steps { start, step } => {
                numbers.map(|number| start.saturating_add((number as f64 * step) as i64)).collect()
            }
            EventTime::Clock { start } => {
                let now = start.saturating_add(self.start.map_or(0, |start| start.elapsed().as_nanos() as i64));
                numbers.map(|_| now).collect()
            }
        }
    }
}

fn now_nanos() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

impl Source for Impulse {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            let start = *self.start.get_or_insert_with(Instant::now);
            loop {
                if self.made == self.count {
                    return Ok(SourceEvent::End);
                }
                let rows = match self.rate.map(|rate| self.plan(rate, start.elapsed())) {
                    None => self.batch_rows.min(self.count - self.made),
                    Some(Ok(rows)) => rows,
                    Some(Err(until)) => {
                        tokio::time::sleep_until(start + until).await;
                        continue;
                    }
                };
                return Ok(SourceEvent::Rows { partition: 0, batch: self.make(rows) });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{TimestampNanosecondType, UInt64Type};
    use schema::{Field, Schema};

    use super::*;

    fn source(options: ImpulseSource, columns: &[&str], (task, parallelism): (usize, usize)) -> Impulse {
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
        };
        Impulse::new(cx).unwrap()
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
        let times = batch.columns[0].as_primitive::<TimestampNanosecondType>().values().to_vec();
        assert_eq!(times, [1_000_001_000, 3_000_001_000]);
        assert!(next(&mut source).await.is_none());
    }

    #[tokio::test]
    async fn no_columns_are_still_rows() {
        let mut source = source(ImpulseSource { message_count: Some(3), ..options() }, &[], (0, 1));
        let batch = next(&mut source).await.unwrap();
        assert_eq!((batch.rows, batch.columns.len()), (3, 0));
    }

    #[test]
    fn the_first_event_does_not_wait_and_others_gather() {
        let millis = Duration::from_millis;
        let mut source = source(ImpulseSource { event_rate: Some(25.0), ..options() }, &["counter"], (0, 1));
        assert_eq!(source.plan(25.0, millis(0)), Ok(1));
        source.made = 1;
        assert_eq!(source.plan(25.0, millis(10)), Err(millis(40)), "none is due");
        assert_eq!(source.plan(25.0, millis(41)), Err(millis(140)), "the first has waited long enough then");
        assert_eq!(source.plan(25.0, millis(140)), Ok(3));
        source.made = 4;
        assert_eq!(source.plan(25.0, millis(1_140)), Ok(4), "whole batches make up for a pause");
        assert_eq!(source.counters.lag.load(Relaxed), 25);
        assert_eq!(source.plan(1_000.0, millis(5)), Err(millis(7)), "the batch is full then");
    }

    #[test]
    fn a_rare_event_is_not_held_for_company_nor_the_last_one() {
        let options = ImpulseSource { message_count: Some(3), ..options() };
        let mut source = source(options, &["counter"], (0, 1));
        source.made = 1;
        assert_eq!(source.plan(1.0, Duration::from_millis(1_001)), Ok(1));
        source.made = 2;
        assert_eq!(source.plan(1_000.0, Duration::from_millis(2)), Ok(1));
    }

    #[tokio::test]
    async fn events_with_a_rate_come() {
        let options = ImpulseSource { event_rate: Some(1e6), message_count: Some(100), ..options() };
        let mut source = source(options, &["counter"], (1, 2));
        let mut seen = Vec::new();
        while let Some(batch) = next(&mut source).await {
            seen.extend(numbers(&batch, 0));
        }
        assert_eq!(seen, (0..50).map(|event| event * 2 + 1).collect::<Vec<_>>());
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
        };
        let error = Impulse::new(cx(serde_json::to_value(options()).unwrap())).err().unwrap();
        assert_eq!(error.message, "connector \"impulse\" has no column \"count\" of type BIGINT UNSIGNED");
    }
}
