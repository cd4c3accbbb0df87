//! The NEXMark benchmark's generator as a source: persons, auctions and bids of an auction site.
//!
//! Of each 50 events, one is a person, three are auctions and 46 are bids; most bids go to few hot auctions and come
//! from few hot bidders, most auctions have few hot sellers (Tucker et al., "NEXMark: a benchmark for queries over
//! data streams", 2002; ratios as in Apache Beam's generator).
//!
//! Each value is a pure function of the event's number and of the member ([`event`]), so members that a query does
//! not read cost nothing, and every task can make its share of the same stream: events are dealt out to the tasks in
//! blocks of 50. With the option `start_time` two runs give the same events at any parallelism.
//!
//! Not here: late or disordered events, and rates that vary: event `n` is at `start + n / event_rate`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod event;
mod fill;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use connectors_options::nexmark::NexmarkSource;
use futures::future::BoxFuture;
use worker_lib::TaskError;
use worker_lib::connector::{ConnectorDef, Source, SourceContext, SourceCounters, SourceEvent};

use event::{BLOCK, Times};
use fill::Columns;

pub static NEXMARK_SOURCE: ConnectorDef = ConnectorDef { name: "nexmark", source: Some(new), sink: None };

fn new(cx: SourceContext) -> Result<Box<dyn Source>, TaskError> {
    Ok(Box::new(Nexmark::new(cx)?))
}

struct Nexmark {
    task: u64,
    tasks: u64,
    /// Events of this task, made and in all.
    made: u64,
    count: u64,
    rate: f64,
    paced: bool,
    batch_rows: u64,
    linger: Duration,
    columns: Columns,
    /// When the first event was asked for.
    begun: Option<Instant>,
    counters: Arc<SourceCounters>,
}

impl Nexmark {
    fn new(cx: SourceContext) -> Result<Self, TaskError> {
        let options: NexmarkSource = serde_json::from_value(cx.options)
            .map_err(|error| TaskError::fatal(format!("cannot read the options of table \"{}\": {error}", cx.table)))?;
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i64);
        let times = Times::new(options.start_time_nanos.unwrap_or_else(now), options.event_rate);
        let columns = Columns::new(&cx.schema, &cx.metadata, times)
            .map_err(|reason| TaskError::fatal(format!("table \"{}\": {reason}", cx.table)))?;
        let (task, tasks) = (cx.task as u64, cx.parallelism.max(1) as u64);
        Ok(Nexmark {
            task,
            tasks,
            made: 0,
            count: options.events.map_or(u64::MAX, |events| share(events, task, tasks)),
            rate: options.event_rate,
            paced: options.paced,
            batch_rows: cx.batch_rows.max(1) as u64,
            linger: cx.linger,
            columns,
            begun: None,
            counters: cx.counters,
        })
    }

    /// How long after the start this task's event `n` is due.
    fn due(&self, n: u64) -> Duration {
        Duration::try_from_secs_f64(number(n, self.task, self.tasks) as f64 / self.rate).unwrap_or(Duration::MAX)
    }

    /// How many of this task's events are due, that long after the start.
    fn due_by(&self, elapsed: Duration) -> u64 {
        let all = (elapsed.as_secs_f64() * self.rate) as u64 + 1;
        share(all, self.task, self.tasks)
    }

    /// How many events to make now, once that many may be made.
    async fn wait(&mut self) -> u64 {
        let wanted = self.batch_rows.min(self.count - self.made);
        if !self.paced {
            return wanted;
        }
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let full = self.due(self.made + wanted - 1);
        let ready = full.min(self.due(self.made).saturating_add(self.linger));
        if let Some(wait) = ready.checked_sub(begun.elapsed()) {
            tokio::time::sleep(wait).await;
        }
        let due = self.due_by(begun.elapsed()).min(self.count).saturating_sub(self.made);
        self.counters.lag.store(due.saturating_sub(wanted), Relaxed);
        due.clamp(1, wanted)
    }
}

/// The number of a task's event `n`.
fn number(n: u64, task: u64, tasks: u64) -> u64 {
    (n / BLOCK * tasks + task) * BLOCK + n % BLOCK
}

/// How many of the first `events` events are this task's.
fn share(events: u64, task: u64, tasks: u64) -> u64 {
    let round = BLOCK * tasks;
    events / round * BLOCK + (events % round).saturating_sub(task * BLOCK).min(BLOCK)
}

impl Source for Nexmark {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            if self.made >= self.count {
                return Ok(SourceEvent::End);
            }
            let rows = self.wait().await;
            let first = self.made;
            self.made += rows;
            let numbers = (first..first + rows).map(|n| number(n, self.task, self.tasks));
            let batch = self.columns.make(numbers).map_err(TaskError::fatal)?;
            Ok(SourceEvent::Rows { partition: 0, batch })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{Array, AsArray, RecordBatch};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Int64Type, TimestampNanosecondType};
    use schema::{EVENT_TIME, Field, ScalarType, Schema};

    use super::*;

    const START: i64 = 1_700_000_000_000_000_000;

    fn source(schema: &Schema, events: u64, task: usize, parallelism: usize) -> Nexmark {
        let options =
            NexmarkSource { event_rate: 1_000.0, events: Some(events), start_time_nanos: Some(START), paced: false };
        let metadata = |field: &Field| (field.name == EVENT_TIME).then(|| EVENT_TIME.to_owned());
        Nexmark::new(SourceContext {
            table: "nexmark".into(),
            options: serde_json::to_value(options).unwrap(),
            metadata: schema.fields.iter().map(metadata).collect(),
            schema: schema.clone(),
            task,
            parallelism,
            batch_rows: 37,
            linger: Duration::from_millis(100),
            counters: Arc::default(),
        })
        .unwrap()
    }

    async fn all(schema: &Schema, events: u64, task: usize, parallelism: usize) -> RecordBatch {
        let mut source = source(schema, events, task, parallelism);
        let mut batches = Vec::new();
        while let SourceEvent::Rows { batch, .. } = source.next().await.unwrap() {
            batches.push(RecordBatch::try_new(schema.to_arrow(), batch.columns).unwrap());
        }
        concat_batches(&schema.to_arrow(), &batches).unwrap()
    }

    fn with_event_time() -> Schema {
        let mut schema = connectors_options::nexmark::schema();
        schema.fields.push(Field::new(EVENT_TIME, ScalarType::TIMESTAMP_NS, false));
        schema
    }

    #[tokio::test]
    async fn proportions_and_skew_are_those_of_the_benchmark() {
        let batch = all(&connectors_options::nexmark::schema(), 50_000, 0, 1).await;
        let valid = |column: usize| batch.num_rows() - batch.column(column).null_count();
        assert_eq!((valid(0), valid(1), valid(2)), (1_000, 3_000, 46_000));
        for row in 0..batch.num_rows() {
            assert_eq!((0..3).filter(|column| batch.column(*column).is_valid(row)).count(), 1);
        }
        let bids = batch.column(2).as_struct();
        let auctions = bids.column_by_name("auction").unwrap().as_primitive::<Int64Type>();
        let mut hot = 0;
        for row in (0..batch.num_rows()).filter(|row| bids.is_valid(*row)) {
            hot += usize::from(auctions.value(row) % 100 == 0);
        }
        // One bid in two goes to the hot auction; some of the others hit it too.
        assert!((22_000..25_500).contains(&hot), "{hot}");
    }

    #[tokio::test]
    async fn the_same_stream_at_any_parallelism() {
        let schema = with_event_time();
        let rows = |batch: &RecordBatch| -> BTreeMap<i64, RecordBatch> {
            let times = batch.column(3).as_primitive::<TimestampNanosecondType>();
            (0..batch.num_rows()).map(|row| (times.value(row), batch.slice(row, 1))).collect()
        };
        let one = rows(&all(&schema, 777, 0, 1).await);
        assert_eq!(one.len(), 777);
        let mut three = BTreeMap::new();
        for task in 0..3 {
            three.extend(rows(&all(&schema, 777, task, 3).await));
        }
        assert_eq!(one, three);
        assert_eq!(*one.keys().next().unwrap(), START);
        assert_eq!(*one.keys().last().unwrap(), START + 776 * 1_000_000);
    }

    #[tokio::test]
    async fn members_that_are_not_read_change_nothing() {
        let full = all(&connectors_options::nexmark::schema(), 500, 0, 1).await;
        let some = Schema::new(vec![Field::new(
            "bid",
            ScalarType::Struct(vec![
                Field::new("price", ScalarType::Int64, false),
                Field::new("auction", ScalarType::Int64, false),
            ]),
            true,
        )]);
        let some = all(&some, 500, 0, 1).await;
        let (full, some) = (full.column(2).as_struct(), some.column(0).as_struct());
        for name in ["price", "auction"] {
            let full = full.column_by_name(name).unwrap().as_primitive::<Int64Type>();
            let some = some.column_by_name(name).unwrap().as_primitive::<Int64Type>();
            assert_eq!(full, some);
        }
        let nothing = Schema::new(Vec::new());
        let mut source = source(&nothing, 100, 0, 1);
        let SourceEvent::Rows { batch, .. } = source.next().await.unwrap() else { panic!("rows") };
        assert_eq!((batch.rows, batch.columns.len()), (37, 0));
    }

    #[tokio::test]
    async fn references_are_to_what_exists() {
        let batch = all(&connectors_options::nexmark::schema(), 5_000, 0, 1).await;
        let number = |column: usize, name: &str, row: usize| {
            let members = batch.column(column).as_struct();
            members.is_valid(row).then(|| members.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(row))
        };
        let ids = |column| (0..batch.num_rows()).filter_map(|row| number(column, "id", row)).collect::<Vec<_>>();
        assert_eq!(ids(0), (1_000..1_100).collect::<Vec<_>>());
        assert_eq!(ids(1), (1_000..1_300).collect::<Vec<_>>());
        for row in 0..batch.num_rows() {
            // Up to ten people and auctions are referred to before they come.
            if let Some(seller) = number(1, "seller", row) {
                assert!((1_000..1_110 + 1).contains(&seller));
                assert!((10..15).contains(&number(1, "category", row).unwrap()));
                assert!(number(1, "reserve", row) > number(1, "initial_bid", row));
            }
            if let Some(auction) = number(2, "auction", row) {
                assert!((1_000..1_311).contains(&auction));
                assert!((1_000..1_112).contains(&number(2, "bidder", row).unwrap()));
                assert!((100..=100_000_000).contains(&number(2, "price", row).unwrap()));
            }
        }
    }

    #[test]
    fn shares_add_up() {
        for events in [0, 1, 49, 50, 51, 149, 150, 151, 1_000] {
            for tasks in 1..5 {
                assert_eq!((0..tasks).map(|task| share(events, task, tasks)).sum::<u64>(), events);
            }
        }
    }
}
