//! From events to columns: a struct for each kind of event, with the members that are wanted.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, StructArray, TimestampNanosecondArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Fields;
use schema::{EVENT_TIME, ScalarType, Schema};

use crate::Clock;
use crate::model::{self, Events, Kind};

pub(crate) enum Column {
    EventTime,
    Struct { kind: Kind, members: Vec<Member>, fields: Fields },
}

/// A member's values; only called for events of its kind.
pub(crate) enum Member {
    Int(fn(u64) -> i64),
    Text(fn(u64, &mut Vec<u8>)),
    Time,
    Expires,
}

impl Column {
    pub(crate) fn new(name: &str, ty: &ScalarType) -> Option<Column> {
        if name == EVENT_TIME {
            return (*ty == ScalarType::TIMESTAMP_NS).then_some(Column::EventTime);
        }
        let kind = match name {
            "person" => Kind::Person,
            "auction" => Kind::Auction,
            "bid" => Kind::Bid,
            _ => return None,
        };
        let ScalarType::Struct(fields) = ty else { return None };
        let members = fields.iter().map(|field| Member::new(kind, &field.name)).collect::<Option<_>>()?;
        let fields = Schema::new(fields.clone()).to_arrow().fields().clone();
        Some(Column::Struct { kind, members, fields })
    }

    pub(crate) fn make(&self, events: &Events, clock: &Clock) -> ArrayRef {
        match self {
            Column::EventTime => times(events.iter().map(|event| clock.time(event)).collect()),
            Column::Struct { kind, members, fields } => {
                let nulls = NullBuffer::from_iter(events.iter().map(|event| model::kind(event) == *kind));
                if members.is_empty() {
                    return Arc::new(StructArray::new_empty_fields(events.count, Some(nulls)));
                }
                let columns = members.iter().map(|member| member.make(*kind, events, clock)).collect();
                Arc::new(StructArray::new(fields.clone(), columns, Some(nulls)))
            }
        }
    }
}

impl Member {
    fn new(kind: Kind, name: &str) -> Option<Member> {
        use Member::{Expires, Int, Text, Time};
        Some(match (kind, name) {
            (_, "datetime") => Time,
            (_, "extra") => Text(model::extra),
            (Kind::Person, "id") => Int(model::person_id),
            (Kind::Person, "name") => Text(model::name),
            (Kind::Person, "email_address") => Text(model::email_address),
            (Kind::Person, "credit_card") => Text(model::credit_card),
            (Kind::Person, "city") => Text(model::city),
            (Kind::Person, "state") => Text(model::state),
            (Kind::Auction, "id") => Int(model::auction_id),
            (Kind::Auction, "description") => Text(model::description),
            (Kind::Auction, "item_name") => Text(model::item_name),
            (Kind::Auction, "initial_bid") => Int(model::initial_bid),
            (Kind::Auction, "reserve") => Int(model::reserve),
            (Kind::Auction, "expires") => Expires,
            (Kind::Auction, "seller") => Int(model::seller),
            (Kind::Auction, "category") => Int(model::category),
            (Kind::Bid, "auction") => Int(model::bid_auction),
            (Kind::Bid, "bidder") => Int(model::bidder),
            (Kind::Bid, "price") => Int(|event| model::price(event, 35)),
            (Kind::Bid, "channel") => Text(model::channel),
            (Kind::Bid, "url") => Text(model::url),
            _ => return None,
        })
    }

    /// Values for events of the kind, zeros and empty text for the others, which are null in the struct.
    fn make(&self, kind: Kind, events: &Events, clock: &Clock) -> ArrayRef {
        let numbers = |value: &dyn Fn(u64) -> i64| -> Vec<i64> {
            events.iter().map(|event| if model::kind(event) == kind { value(event) } else { 0 }).collect()
        };
        match self {
            Member::Int(value) => Arc::new(Int64Array::new(numbers(value).into(), None)),
            Member::Time => times(numbers(&|event| clock.time(event))),
            Member::Expires => {
                times(numbers(&|event| clock.time(event) + model::duration(event, clock.nanos_per_event)))
            }
            Member::Text(write) => {
                let mut bytes = Vec::with_capacity(events.count * 16);
                let mut offsets = Vec::with_capacity(events.count + 1);
                offsets.push(0);
                for event in events.iter() {
                    if model::kind(event) == kind {
                        write(event, &mut bytes);
                    }
                    offsets.push(bytes.len() as i32);
                }
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                // The text is ASCII by construction; the check is a fast pass over a few kilobytes.
                Arc::new(StringArray::new(offsets, bytes.into(), None))
            }
        }
    }
}

fn times(nanos: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::new(nanos.into(), None))
}
