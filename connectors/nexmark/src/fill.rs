//! Columns of events: only the members that are asked for are made.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, StructArray, TimestampNanosecondArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Fields};
use schema::{EVENT_TIME, ScalarType, Schema};
use worker_lib::Batch;

use crate::event::{self, Kind, Prices, Times, Use};

/// Average sizes in bytes that the filler `extra` brings events to.
const PERSON_BYTES: usize = 200;
const AUCTION_BYTES: usize = 500;
const BID_BYTES: usize = 100;

pub(crate) struct Columns {
    columns: Vec<Column>,
    times: Times,
    prices: Prices,
    /// Of the batch in the making: the events, and the rows of each kind.
    numbers: Vec<u64>,
    rows: [Vec<u32>; 3],
}

enum Column {
    Events { kind: Kind, fields: Fields, members: Vec<Member> },
    EventTime,
}

/// How one member's values are made from the event's number.
enum Member {
    Int64(fn(u64) -> i64),
    Price(Use),
    /// The initial bid and as much again as another price.
    Reserve,
    Datetime,
    Expires,
    Text {
        write: fn(u64, &mut Vec<u8>),
        bytes: usize,
    },
}

fn person_extra(n: u64, out: &mut Vec<u8>) {
    // Two numbers, and about what the texts are long.
    event::extra(n, 16 + 12 + 19 + 19 + 8 + 2, PERSON_BYTES, out);
}

fn auction_extra(n: u64, out: &mut Vec<u8>) {
    event::extra(n, 8 * 7 + 12 + 52, AUCTION_BYTES, out);
}

fn bid_extra(n: u64, out: &mut Vec<u8>) {
    event::extra(n, 32, BID_BYTES, out);
}

fn member(kind: Kind, name: &str) -> Option<(Member, ScalarType)> {
    let text = |write, bytes| Some((Member::Text { write, bytes }, ScalarType::Utf8));
    let number = |number| Some((Member::Int64(number), ScalarType::Int64));
    match (kind, name) {
        (_, "datetime") => Some((Member::Datetime, ScalarType::TIMESTAMP_NS)),
        (Kind::Person, "id") => number(event::person_id),
        (Kind::Person, "name") => text(event::name, 16),
        (Kind::Person, "email_address") => text(event::email, 20),
        (Kind::Person, "credit_card") => text(event::credit_card, 20),
        (Kind::Person, "city") => text(event::city, 16),
        (Kind::Person, "state") => text(event::state, 2),
        (Kind::Person, "extra") => text(person_extra, PERSON_BYTES),
        (Kind::Auction, "id") => number(event::auction_id),
        (Kind::Auction, "description") => text(event::description, 100),
        (Kind::Auction, "item_name") => text(event::item_name, 20),
        (Kind::Auction, "initial_bid") => Some((Member::Price(Use::InitialBid), ScalarType::Int64)),
        (Kind::Auction, "reserve") => Some((Member::Reserve, ScalarType::Int64)),
        (Kind::Auction, "expires") => Some((Member::Expires, ScalarType::TIMESTAMP_NS)),
        (Kind::Auction, "seller") => number(event::seller),
        (Kind::Auction, "category") => number(event::category),
        (Kind::Auction, "extra") => text(auction_extra, AUCTION_BYTES),
        (Kind::Bid, "auction") => number(event::bid_auction),
        (Kind::Bid, "bidder") => number(event::bidder),
        (Kind::Bid, "price") => Some((Member::Price(Use::Price), ScalarType::Int64)),
        (Kind::Bid, "channel") => text(event::channel, 16),
        (Kind::Bid, "url") => text(event::url, 80),
        (Kind::Bid, "extra") => text(bid_extra, BID_BYTES),
        _ => None,
    }
}

impl Columns {
    pub(crate) fn new(schema: &Schema, metadata: &[Option<String>], times: Times) -> Result<Self, String> {
        let column = |(field, key): (&schema::Field, &Option<String>)| {
            let unknown = || format!("connector \"nexmark\" has no column \"{}\" of type {}", field.name, field.ty);
            match key.as_deref() {
                Some(EVENT_TIME) => return Ok(Column::EventTime),
                Some(key) => return Err(format!("connector \"nexmark\" has no metadata '{key}'")),
                None => {}
            }
            let kind = match field.name.as_str() {
                "person" => Kind::Person,
                "auction" => Kind::Auction,
                "bid" => Kind::Bid,
                _ => return Err(unknown()),
            };
            let (ScalarType::Struct(wanted), DataType::Struct(fields)) = (&field.ty, field.ty.to_arrow()) else {
                return Err(unknown());
            };
            let members = wanted.iter().map(|wanted| match member(kind, &wanted.name) {
                Some((member, ty)) if ty == wanted.ty => Ok(member),
                _ => Err(format!(
                    "connector \"nexmark\" has no member \"{}.{}\" of type {}",
                    field.name, wanted.name, wanted.ty
                )),
            });
            Ok(Column::Events { kind, fields, members: members.collect::<Result<_, _>>()? })
        };
        Ok(Columns {
            columns: schema.fields.iter().zip(metadata).map(column).collect::<Result<_, _>>()?,
            times,
            prices: Prices::new(),
            numbers: Vec::new(),
            rows: Default::default(),
        })
    }

    /// One row for each event.
    pub(crate) fn make(&mut self, numbers: Vec<u64>) -> Result<Batch, String> {
        self.numbers = numbers;
        self.rows.iter_mut().for_each(Vec::clear);
        if self.columns.iter().any(|column| matches!(column, Column::Events { .. })) {
            for (row, n) in self.numbers.iter().enumerate() {
                self.rows[event::kind(*n) as usize].push(row as u32);
            }
        }
        let columns = self.columns.iter().map(|column| self.column(column)).collect::<Result<_, _>>()?;
        Ok(Batch::new(columns, self.numbers.len()))
    }

    fn column(&self, column: &Column) -> Result<ArrayRef, String> {
        match column {
            Column::EventTime => {
                let times = self.numbers.iter().map(|n| self.times.at(*n));
                Ok(Arc::new(TimestampNanosecondArray::from_iter_values(times)))
            }
            Column::Events { kind, fields, members } => {
                let len = self.numbers.len();
                let nulls = BooleanBuffer::collect_bool(len, |row| event::kind(self.numbers[row]) == *kind);
                let rows = &self.rows[*kind as usize];
                let arrays = members.iter().map(|member| self.member(member, rows)).collect::<Result<_, _>>()?;
                let array = StructArray::try_new_with_length(fields.clone(), arrays, Some(NullBuffer::new(nulls)), len);
                Ok(Arc::new(array.map_err(|error| error.to_string())?))
            }
        }
    }

    fn member(&self, member: &Member, rows: &[u32]) -> Result<ArrayRef, String> {
        match member {
            Member::Int64(number) => Ok(self.numbers_of(rows, number)),
            Member::Price(usage) => Ok(self.numbers_of(rows, |n| self.prices.price(event::random(n, *usage)))),
            Member::Reserve => Ok(self.numbers_of(rows, |n| {
                let price = |usage| self.prices.price(event::random(n, usage));
                price(Use::InitialBid) + price(Use::Reserve)
            })),
            Member::Datetime => Ok(self.times_of(rows, |n| self.times.at(n))),
            Member::Expires => Ok(self.times_of(rows, |n| self.times.expires(n))),
            Member::Text { write, bytes } => self.texts_of(rows, *write, *bytes),
        }
    }

    /// Values of the rows of the kind, 0 in the others.
    #[inline]
    fn values(&self, rows: &[u32], value: impl Fn(u64) -> i64) -> ScalarBuffer<i64> {
        let mut values = vec![0; self.numbers.len()];
        for row in rows {
            values[*row as usize] = value(self.numbers[*row as usize]);
        }
        ScalarBuffer::from(values)
    }

    fn numbers_of(&self, rows: &[u32], value: impl Fn(u64) -> i64) -> ArrayRef {
        Arc::new(Int64Array::new(self.values(rows, value), None))
    }

    fn times_of(&self, rows: &[u32], value: impl Fn(u64) -> i64) -> ArrayRef {
        Arc::new(TimestampNanosecondArray::new(self.values(rows, value), None))
    }

    /// Texts of the rows of the kind, empty ones in the others.
    fn texts_of(&self, rows: &[u32], write: fn(u64, &mut Vec<u8>), bytes: usize) -> Result<ArrayRef, String> {
        let mut offsets: Vec<i32> = Vec::with_capacity(self.numbers.len() + 1);
        let mut texts = Vec::with_capacity(rows.len() * bytes);
        for row in rows {
            // Up to and with this row, everything ends where the texts before it do.
            offsets.resize(*row as usize + 1, texts.len() as i32);
            write(self.numbers[*row as usize], &mut texts);
        }
        offsets.resize(self.numbers.len() + 1, i32::try_from(texts.len()).map_err(|error| error.to_string())?);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let array = StringArray::try_new(offsets, Buffer::from_vec(texts), None);
        Ok(Arc::new(array.map_err(|error| error.to_string())?))
    }
}
