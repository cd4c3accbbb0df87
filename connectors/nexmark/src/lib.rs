//! The NEXMark benchmark's generator as a source: persons, auctions and bids of an auction site.
//!
//! Of each 50 events, one is a person, three are auctions and 46 are bids; most bids go to few hot auctions and come
//! from few hot bidders, most auctions have few hot sellers (Tucker et al., "NEXMark: a benchmark for queries over
//! data streams", 2002; ratios as in Apache Beam's generator).
//!
//! Each value is a pure function of the event's number and of the member ([`event`]), so members that a query does
//! not read cost nothing, and every task can make its share of the same stream: events are dealt out to the tasks in
//! blocks of 50. With the option `start_time` two runs give the same events at any parallelism. When events come, and
//! who goes on with them after a restore, is [`worker_lib::pace`]'s.
//!
//! Not here: late or disordered events, and rates that vary: event `n` is at `start + n / event_rate`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod event;
mod fill;

use connectors_options::nexmark::NexmarkSource;
use futures::future::BoxFuture;
use worker_lib::TaskError;
use worker_lib::connector::{ConnectorDef, Source, SourceContext, SourceEvent};
use worker_lib::pace::{Events, Numbers};

use event::{BLOCK, Times};
use fill::Columns;

pub static NEXMARK_SOURCE: ConnectorDef = ConnectorDef { name: "nexmark", source: Some(new), sink: None };

fn new(cx: SourceContext) -> Result<Box<dyn Source>, TaskError> {
    Ok(Box::new(Nexmark::new(cx)?))
}

struct Nexmark {
    numbers: Numbers,
    columns: Columns,
}

impl Nexmark {
    fn new(cx: SourceContext) -> Result<Self, TaskError> {
        let options: NexmarkSource = serde_json::from_value(cx.options.clone())
            .map_err(|error| TaskError::fatal(format!("cannot read the options of table \"{}\": {error}", cx.table)))?;
        let rate = options.paced.then_some(options.event_rate);
        let numbers =
            Numbers::new(&cx, Events { block: BLOCK, count: options.events, rate }, options.start_time_nanos)?;
        let columns = Columns::new(&cx.schema, &cx.metadata, Times::new(numbers.start, options.event_rate))
            .map_err(|reason| TaskError::fatal(format!("table \"{}\": {reason}", cx.table)))?;
        Ok(Nexmark { numbers, columns })
    }
}

impl Source for Nexmark {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            let Some(numbers) = self.numbers.next().await else { return Ok(SourceEvent::End) };
            let batch = self.columns.make(numbers).map_err(TaskError::fatal)?;
            Ok(SourceEvent::Rows { partition: 0, batch })
        })
    }

    fn position(&self) -> Option<serde_json::Value> {
        Some(self.numbers.position())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use arrow::array::{Array, AsArray, RecordBatch};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Int64Type, TimestampNanosecondType};
    use schema::{EVENT_TIME, Field, ScalarType, Schema};
    use serde_json::Value;

    use super::*;

    const START: i64 = 1_700_000_000_000_000_000;

    fn restored(schema: &Schema, events: u64, place: (usize, usize), restored: Option<Vec<Value>>) -> Nexmark {
        let options =
            NexmarkSource { event_rate: 1_000.0, events: Some(events), start_time_nanos: Some(START), paced: false };
        let metadata = |field: &Field| (field.name == EVENT_TIME).then(|| EVENT_TIME.to_owned());
        Nexmark::new(SourceContext {
            table: "nexmark".into(),
            options: serde_json::to_value(options).unwrap(),
            metadata: schema.fields.iter().map(metadata).collect(),
            schema: schema.clone(),
            task: place.0,
            parallelism: place.1,
            batch_rows: 37,
            linger: Duration::from_millis(100),
            counters: Arc::default(),
            restored,
        })
        .unwrap()
    }

    fn source(schema: &Schema, events: u64, task: usize, parallelism: usize) -> Nexmark {
        restored(schema, events, (task, parallelism), None)
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

    #[tokio::test]
    async fn the_rest_comes_at_any_parallelism() {
        let schema = Schema::new(vec![Field::new(EVENT_TIME, ScalarType::TIMESTAMP_NS, false)]);
        let times = |source: &SourceEvent| -> Option<Vec<i64>> {
            let SourceEvent::Rows { batch, .. } = source else { return None };
            Some(batch.columns[0].as_primitive::<TimestampNanosecondType>().values().to_vec())
        };
        for before in 0..8 {
            let (mut seen, mut positions) = (Vec::new(), Vec::new());
            for task in 0..2 {
                let mut source = source(&schema, 421, task, 2);
                for _ in 0..before {
                    seen.extend(times(&source.next().await.unwrap()).into_iter().flatten());
                }
                positions.push(source.position().unwrap());
            }
            for parallelism in 1..4 {
                let mut all = seen.clone();
                for task in 0..parallelism {
                    let mut source = restored(&schema, 421, (task, parallelism), Some(positions.clone()));
                    let mut last = 0;
                    while let Some(times) = times(&source.next().await.unwrap()) {
                        assert!(times.is_sorted() && times[0] > last, "event time went back");
                        last = times[times.len() - 1];
                        all.extend(times);
                    }
                }
                all.sort_unstable();
                let expected: Vec<i64> = (0..421).map(|n| START + n * 1_000_000).collect();
                assert_eq!(all, expected, "{before} batches, then {parallelism} tasks");
            }
        }
    }
}
