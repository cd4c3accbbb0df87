//! The generator of the NEXMark benchmark: people who sell and bid on an auction site.
//!
//! Of every 50 events, the first is a person, the next three are auctions, and 46 are bids; each row has one of the
//! three structs, the others are null. Ids, skew and values follow the generator of the NEXMark suite: half of the
//! bids go to the hottest auction of the last hundred, three quarters come from the hottest bidder, three quarters of
//! the auctions belong to the hottest seller, and prices are spread over six orders of magnitude.
//!
//! **Every value is a function of the event's number and the member's name** ([`model`]): there is no generator whose
//! state would have to pass through each value. So members that the query does not read are not made, the same
//! events come at any parallelism (task `t` of `p` makes the events `t, t + p, t + 2p ...`), and with a start time
//! in every run.
//!
//! Not here: options (`connectors-options`), out-of-order events.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod column;
mod model;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use connectors_options::nexmark::NexmarkSource;
use futures::future::BoxFuture;
use tokio::time::Instant;
use worker_lib::connector::{ConnectorDef, Source, SourceContext, SourceCounters, SourceEvent};
use worker_lib::{Batch, TaskError};

use column::Column;

pub static NEXMARK: ConnectorDef = ConnectorDef { name: "nexmark", source: Some(new), sink: None };

/// Later than any event of a job is due; keeps clock arithmetic from overflowing at tiny rates.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

fn new(cx: SourceContext) -> Result<Box<dyn Source>, TaskError> {
    Ok(Box::new(Nexmark::new(cx)?))
}

struct Nexmark {
    /// The number of the next event, of all tasks' events.
    next: u64,
    /// Numbers of this task's events are so far apart.
    step: u64,
    /// Events of all tasks.
    count: u64,
    rate: f64,
    paced: bool,
    clock: Clock,
    columns: Vec<Column>,
    batch_rows: u64,
    linger: Duration,
    /// When the first event was asked for.
    started: Option<Instant>,
    counters: Arc<SourceCounters>,
}

/// From the number of an event to its event time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Nanoseconds since the epoch.
    pub(crate) start: i64,
    pub(crate) nanos_per_event: f64,
}

impl Clock {
    /// Nanoseconds since the epoch.
    pub(crate) fn time(&self, event: u64) -> i64 {
        self.start.saturating_add((event as f64 * self.nanos_per_event) as i64)
    }
}

impl Nexmark {
    fn new(cx: SourceContext) -> Result<Nexmark, TaskError> {
        let options: NexmarkSource = serde_json::from_value(cx.options)
            .map_err(|error| TaskError::fatal(format!("cannot read the options of table \"{}\": {error}", cx.table)))?;
        let columns = cx.schema.fields.iter().zip(&cx.metadata).map(|(field, metadata)| {
            Column::new(metadata.as_deref().unwrap_or(&field.name), &field.ty).ok_or_else(|| {
                TaskError::fatal(format!("connector \"nexmark\" has no column \"{}\" of type {}", field.name, field.ty))
            })
        });
        Ok(Nexmark {
            next: cx.task as u64,
            step: cx.parallelism as u64,
            count: options.events.unwrap_or(u64::MAX),
            rate: options.event_rate,
            paced: options.paced,
            clock: Clock {
                start: options.start_time_nanos.unwrap_or_else(now_nanos),
                nanos_per_event: 1e9 / options.event_rate,
            },
            columns: columns.collect::<Result<_, _>>()?,
            batch_rows: cx.batch_rows.max(1) as u64,
            linger: cx.linger,
            started: None,
            counters: cx.counters,
        })
    }

    /// Events of this task before that event of all tasks.
    fn mine_before(&self, event: u64) -> u64 {
        event.min(self.count).saturating_sub(self.next).div_ceil(self.step)
    }

    fn due_at(&self, event: u64) -> Duration {
        Duration::try_from_secs_f64(event as f64 / self.rate).map_or(FAR, |after| after.min(FAR))
    }

    /// How many events to make now, that long after the start, or until when to wait: a batch leaves when it is full,
    /// or when its oldest event has waited for the linger time.
    fn plan(&self, elapsed: Duration) -> Result<u64, Duration> {
        let whole = self.batch_rows.min(self.mine_before(u64::MAX));
        if !self.paced {
            return Ok(whole);
        }
        let waiting = self.mine_before((elapsed.as_secs_f64() * self.rate) as u64 + 1);
        self.counters.lag.store(waiting, Relaxed);
        if waiting == 0 {
            return Err(self.due_at(self.next));
        }
        let deadline = self.due_at(self.next) + self.linger;
        let first = self.next < self.step;
        let alone = deadline < self.due_at(self.next.saturating_add(waiting.saturating_mul(self.step)));
        if waiting >= whole || first || deadline <= elapsed || alone {
            return Ok(waiting.min(whole));
        }
        let full = self.next.saturating_add((whole - 1).saturating_mul(self.step));
        Err(deadline.min(self.due_at(full)))
    }

    fn make(&mut self, rows: u64) -> Batch {
        let events = model::Events { first: self.next, step: self.step, count: rows as usize };
        self.next += rows * self.step;
        let columns = self.columns.iter().map(|column| column.make(&events, &self.clock)).collect();
        Batch::new(columns, events.count)
    }
}

fn now_nanos() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

impl Source for Nexmark {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            let started = *self.started.get_or_insert_with(Instant::now);
            loop {
                if self.next >= self.count {
                    return Ok(SourceEvent::End);
                }
                match self.plan(started.elapsed()) {
                    Ok(rows) => return Ok(SourceEvent::Rows { partition: 0, batch: self.make(rows) }),
                    Err(until) => tokio::time::sleep_until(started + until).await,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int64Type, TimestampNanosecondType};
    use connectors_options::Connector;
    use schema::{EVENT_TIME, Field, ScalarType, Schema};

    use super::*;

    fn source(task: usize, parallelism: usize, count: u64, schema: Schema) -> Nexmark {
        let options = NexmarkSource {
            event_rate: 1e4,
            events: Some(count),
            start_time_nanos: Some(1_000_000_000),
            paced: false,
        };
        let metadata = schema.fields.iter().map(|f| (f.name == EVENT_TIME).then(|| EVENT_TIME.to_owned())).collect();
        Nexmark::new(SourceContext {
            table: "t".into(),
            options: serde_json::to_value(options).unwrap(),
            schema,
            metadata,
            task,
            parallelism,
            batch_rows: 64,
            linger: Duration::from_millis(100),
            counters: Arc::default(),
        })
        .unwrap()
    }

    fn whole_schema() -> Schema {
        let mut schema = connectors_options::nexmark::Nexmark.schema().unwrap();
        schema.fields.push(Field::new(EVENT_TIME, ScalarType::TIMESTAMP_NS, false));
        schema
    }

    /// All columns of all events, printed, one text an event.
    async fn events(mut source: Nexmark) -> Vec<String> {
        let schema = whole_schema().to_arrow();
        let mut lines = Vec::new();
        while let SourceEvent::Rows { batch, .. } = source.next().await.unwrap() {
            for column in &batch.columns {
                column.to_data().validate_full().unwrap();
            }
            let batch = arrow::array::RecordBatch::try_new(schema.clone(), batch.columns).unwrap();
            for row in 0..batch.num_rows() {
                let row = batch.slice(row, 1);
                lines.push(arrow::util::pretty::pretty_format_batches(&[row]).unwrap().to_string());
            }
        }
        lines
    }

    #[tokio::test]
    async fn the_same_events_come_at_any_parallelism_and_in_every_run() {
        let one = events(source(0, 1, 500, whole_schema())).await;
        assert_eq!(one, events(source(0, 1, 500, whole_schema())).await);
        let mut three = Vec::new();
        for task in 0..3 {
            three.push(events(source(task, 3, 500, whole_schema())).await.into_iter());
        }
        for (number, event) in one.into_iter().enumerate() {
            assert_eq!(Some(event), three[number % 3].next());
        }
        assert!(three.iter_mut().all(|rest| rest.next().is_none()));
    }

    #[tokio::test]
    async fn proportions_skew_and_references_are_those_of_the_benchmark() {
        let mut source = source(0, 1, 50_000, whole_schema());
        let (mut people, mut auctions, mut bids, mut hot, mut last) = (0, 0, 0, 0, i64::MIN);
        let (mut newest_auction, mut newest_person) = (0, 0);
        while let SourceEvent::Rows { batch, .. } = source.next().await.unwrap() {
            let times = batch.columns[3].as_primitive::<TimestampNanosecondType>();
            for row in 0..batch.rows {
                assert!(times.value(row) > last);
                last = times.value(row);
                let id = |column: usize, member: usize| {
                    batch.columns[column].as_struct().column(member).as_primitive::<Int64Type>().value(row)
                };
                let present = [0, 1, 2].map(|column| batch.columns[column].is_valid(row));
                match present {
                    [true, false, false] => {
                        people += 1;
                        newest_person = id(0, 0);
                    }
                    [false, true, false] => {
                        auctions += 1;
                        newest_auction = id(1, 0);
                        assert!(id(1, 7) <= newest_person + 10, "a seller is known, or about to be");
                        assert!((10..15).contains(&id(1, 8)));
                        assert!(id(1, 4) >= id(1, 3), "the reserve is at least the first bid");
                    }
                    [false, false, true] => {
                        bids += 1;
                        assert!(id(2, 0) <= newest_auction + 10 && id(2, 0) >= newest_auction - 110);
                        assert!((100..=100_000_000).contains(&id(2, 2)));
                        hot += usize::from(id(2, 0) % 100 == 0);
                    }
                    other => panic!("an event is one of three, not {other:?}"),
                }
            }
        }
        assert_eq!((people, auctions, bids), (1_000, 3_000, 46_000));
        assert!((22_000..25_500).contains(&hot), "half of the bids go to the hot auction: {hot}");
    }

    #[tokio::test]
    async fn members_that_are_not_read_are_not_there_and_change_nothing() {
        let whole = source(0, 1, 64, whole_schema()).make(64);
        let price = ScalarType::Struct(vec![Field::new("price", ScalarType::Int64, false)]);
        let mut narrow = source(0, 1, 64, Schema::new(vec![Field::new("bid", price, true)]));
        let narrow = narrow.make(64);
        assert_eq!(narrow.columns.len(), 1);
        assert_eq!(narrow.columns[0].as_struct().num_columns(), 1);
        assert_eq!(narrow.columns[0].as_struct().column(0), whole.columns[2].as_struct().column(2));
        let mut none = source(0, 1, 64, Schema::new(vec![Field::new("bid", ScalarType::Struct(vec![]), true)]));
        assert_eq!(none.make(50).columns[0].null_count(), 4);
    }

    #[test]
    fn events_come_when_they_are_due() {
        let mut source = source(1, 2, 1_000_000, Schema::default());
        source.paced = true;
        source.rate = 1_000.0;
        let millis = Duration::from_millis;
        assert_eq!(source.plan(millis(0)), Err(millis(1)), "the first of the second task is the second event");
        assert_eq!(source.plan(millis(1)), Ok(1));
        source.next = 3;
        assert_eq!(source.plan(millis(4)), Err(millis(103)), "one is due and waits for others");
        assert_eq!(source.plan(millis(103)), Ok(51));
        assert_eq!(source.plan(millis(1_000)), Ok(64), "late: whole batches");
    }
}
