//! The yardstick: what one would write by hand for the same query over the same batches, with the standard library's
//! hash map (which is hashbrown) and fast hashers: FxHash's multiplication for integers, folded products (as foldhash) for
//! text.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use worker_lib::Batch;

use crate::data::WINDOW;

#[derive(Default)]
pub(crate) struct FastHasher(u64);

impl FastHasher {
    #[inline]
    fn mix(&mut self, a: u64, b: u64) {
        let product = u128::from(self.0 ^ a ^ 0x243F_6A88_85A3_08D3) * u128::from(b ^ 0x1319_8A2E_0370_7344);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for FastHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let word = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        match bytes.len() {
            len @ 8..=16 => self.mix(word(0), word(len - 8)),
            len @ 17.. => {
                (0..len - 16).step_by(16).for_each(|at| self.mix(word(at), word(at + 8)));
                self.mix(word(len - 16), word(len - 8));
            }
            _ => {
                let mut last = [0; 8];
                last[..bytes.len()].copy_from_slice(bytes);
                self.mix(u64::from_le_bytes(last), bytes.len() as u64);
            }
        }
    }
    #[inline]
    fn write_u8(&mut self, byte: u8) {
        // The end mark of a string.
        self.0 ^= u64::from(byte);
    }
    #[inline]
    fn write_i64(&mut self, word: i64) {
        self.0 = (word as u64).wrapping_mul(0x517C_C1B7_2722_0A95).rotate_left(26);
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

type Map<K> = HashMap<K, (i64, i64), BuildHasherDefault<FastHasher>>;

pub(crate) fn project(batch: &Batch) -> Batch {
    let auction = batch.columns[0].as_primitive::<Int64Type>().values();
    let price = batch.columns[1].as_primitive::<Int64Type>().values();
    let bidder = batch.columns[4].as_primitive::<Int64Type>().values();
    let capacity = batch.rows;
    let mut auctions = Vec::with_capacity(capacity);
    let mut bidders = Vec::with_capacity(capacity);
    let mut doubled = Vec::with_capacity(capacity);
    let mut euros = Vec::with_capacity(capacity);
    let mut sums = Vec::with_capacity(capacity);
    let mut matches = Vec::with_capacity(capacity);
    for row in 0..batch.rows {
        if price[row] > 4_000 {
            auctions.push(auction[row]);
            bidders.push(bidder[row]);
            doubled.push(price[row].wrapping_mul(2));
            euros.push(price[row] as f64 * 0.908);
            sums.push(price[row].wrapping_add(bidder[row]));
            matches.push(auction[row] % 100 == 7);
        }
    }
    let rows = auctions.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(auctions)),
        Arc::new(Int64Array::from(bidders)),
        Arc::new(Int64Array::from(doubled)),
        Arc::new(Float64Array::from(euros)),
        Arc::new(Int64Array::from(sums)),
        Arc::new(BooleanArray::from(matches)),
    ];
    Batch::new(columns, rows)
}

/// Totals by an integer key.
#[derive(Default)]
pub(crate) struct ByAuction {
    windows: BTreeMap<i64, Map<i64>>,
}

/// Totals by a text key.
#[derive(Default)]
pub(crate) struct ByChannel {
    windows: BTreeMap<i64, Map<String>>,
}

/// Calls `update(window, rows)` for each run of rows of one window.
fn runs(batch: &Batch, mut update: impl FnMut(i64, std::ops::Range<usize>)) {
    let times = batch.columns[3].as_primitive::<TimestampNanosecondType>().values();
    let mut from = 0;
    let mut window = times[0].div_euclid(WINDOW) * WINDOW;
    for (row, &time) in times.iter().enumerate() {
        if time < window || time >= window + WINDOW {
            update(window, from..row);
            (from, window) = (row, time.div_euclid(WINDOW) * WINDOW);
        }
    }
    update(window, from..batch.rows);
}

impl ByAuction {
    pub(crate) fn on_batch(&mut self, batch: &Batch) {
        let keys = batch.columns[0].as_primitive::<Int64Type>().values();
        let prices = batch.columns[1].as_primitive::<Int64Type>().values();
        runs(batch, |window, rows| {
            let map = self.windows.entry(window).or_default();
            for row in rows {
                let state = map.entry(keys[row]).or_default();
                state.0 += 1;
                state.1 = state.1.wrapping_add(prices[row]);
            }
        });
    }

    pub(crate) fn on_watermark(&mut self, watermark: i64, emit: &mut dyn FnMut(Batch)) {
        while let Some(entry) = self.windows.first_entry().filter(|entry| entry.key() + WINDOW <= watermark) {
            let (start, map) = entry.remove_entry();
            let keys = Arc::new(Int64Array::from_iter_values(map.keys().copied()));
            emit(totals(start, keys, map.values()));
        }
    }
}

impl ByChannel {
    pub(crate) fn on_batch(&mut self, batch: &Batch) {
        let keys = batch.columns[2].as_string::<i32>();
        let prices = batch.columns[1].as_primitive::<Int64Type>().values();
        runs(batch, |window, rows| {
            let map = self.windows.entry(window).or_default();
            for row in rows {
                let key = keys.value(row);
                let state = match map.get_mut(key) {
                    Some(state) => state,
                    None => map.entry(key.to_owned()).or_default(),
                };
                state.0 += 1;
                state.1 = state.1.wrapping_add(prices[row]);
            }
        });
    }

    pub(crate) fn on_watermark(&mut self, watermark: i64, emit: &mut dyn FnMut(Batch)) {
        while let Some(entry) = self.windows.first_entry().filter(|entry| entry.key() + WINDOW <= watermark) {
            let (start, map) = entry.remove_entry();
            let keys = Arc::new(StringArray::from_iter_values(map.keys()));
            emit(totals(start, keys, map.values()));
        }
    }
}

fn totals<'a>(start: i64, keys: ArrayRef, states: impl Iterator<Item = &'a (i64, i64)> + Clone) -> Batch {
    let rows = keys.len();
    let counts = Arc::new(Int64Array::from_iter_values(states.clone().map(|state| state.0)));
    let sums = Arc::new(Int64Array::from_iter_values(states.map(|state| state.1)));
    Batch::new(vec![keys, worker_lib::column::window(start, start + WINDOW, rows), counts, sums], rows)
}
