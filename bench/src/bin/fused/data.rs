//! The input: bids in event-time order with some disorder, always the same.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;

/// Rows of ten seconds of event time.
pub(crate) const ROWS_PER_WINDOW: usize = 1 << 20;
pub(crate) const WINDOW: i64 = 10_000_000_000;
/// How far a row may come after a later one.
pub(crate) const DISORDER: i64 = WINDOW / 100;

/// `(auction, price, channel, dt, bidder)`
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("auction", DataType::Int64, false),
        Field::new("price", DataType::Int64, false),
        Field::new("channel", DataType::Utf8, false),
        Field::new("dt", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
        Field::new("bidder", DataType::Int64, false),
    ]))
}

/// A small generator (SplitMix64): the data must not change with a library's version.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> i64 {
        ((u128::from(self.word()) * u128::from(limit)) >> 64) as i64
    }
}

/// `rows` rows in batches of `batch_rows`, with `keys` distinct auctions and as many channels.
pub(crate) fn bids(rows: usize, batch_rows: usize, keys: u64) -> Vec<RecordBatch> {
    let mut random = Random(42);
    let step = WINDOW / ROWS_PER_WINDOW as i64;
    let mut batches = Vec::new();
    for start in (0..rows).step_by(batch_rows) {
        let count = batch_rows.min(rows - start);
        // Spread over the number range, as ids of a real system are.
        let auctions = (0..count).map(|_| 1_000 + random.below(keys) * 7).collect::<Vec<_>>();
        let prices = (0..count).map(|_| random.below(10_000)).collect::<Vec<_>>();
        let dts = (start..start + count).map(|row| row as i64 * step - random.below(DISORDER as u64) + WINDOW / 2);
        let dts = dts.collect::<Vec<_>>();
        let bidders = (0..count).map(|_| random.below(1 << 40)).collect::<Vec<_>>();
        let channels = auctions.iter().map(|auction| format!("channel-{}", auction / 7));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(auctions.clone())),
            Arc::new(Int64Array::from(prices)),
            Arc::new(StringArray::from_iter_values(channels)),
            Arc::new(TimestampNanosecondArray::from(dts)),
            Arc::new(Int64Array::from(bidders)),
        ];
        batches.push(RecordBatch::try_new(schema(), columns).expect("the columns have the schema's types"));
    }
    batches
}
