//! `nexmark`: the generator of the NEXMark benchmark, an auction site's persons, auctions and bids.

use schema::{Field, ScalarType, Schema};
use serde::{Deserialize, Serialize};

use crate::impulse::{take_rate, take_start_time};
use crate::options::{OptionError, Options};
use crate::{Connector, EVENT_TIME_ONLY, Validated};

pub struct Nexmark;

/// Rate and count are those of the whole table, whatever the parallelism.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NexmarkSource {
    /// Events per second of event time, and by the clock when `paced`.
    pub event_rate: f64,
    /// Events before the source ends; `None`: it never does.
    pub events: Option<u64>,
    /// Event time of the first event; `None`: the time when the job starts.
    pub start_time_nanos: Option<i64>,
    /// Whether an event comes when the clock says that it is due, or as soon as it is wanted.
    pub paced: bool,
}

impl Connector for Nexmark {
    fn name(&self) -> &'static str {
        "nexmark"
    }

    fn schema(&self) -> Option<Schema> {
        Some(schema())
    }

    fn metadata(&self) -> &'static [(&'static str, ScalarType)] {
        EVENT_TIME_ONLY
    }

    fn source(&self, options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        Some(source(options).and_then(|source| Validated::new(&source, None)))
    }
}

/// Exactly one of the three columns is not null in each row.
pub fn schema() -> Schema {
    use ScalarType::{Int64, Utf8};
    const TIMESTAMP_NS: ScalarType = ScalarType::TIMESTAMP_NS;
    let column = |name: &str, members: &[(&str, ScalarType)]| {
        let members = members.iter().map(|(name, ty)| Field::new(*name, ty.clone(), false)).collect();
        Field::new(name, ScalarType::Struct(members), true)
    };
    Schema::new(vec![
        column(
            "person",
            &[
                ("id", Int64),
                ("name", Utf8),
                ("email_address", Utf8),
                ("credit_card", Utf8),
                ("city", Utf8),
                ("state", Utf8),
                ("datetime", TIMESTAMP_NS),
                ("extra", Utf8),
            ],
        ),
        column(
            "auction",
            &[
                ("id", Int64),
                ("description", Utf8),
                ("item_name", Utf8),
                ("initial_bid", Int64),
                ("reserve", Int64),
                ("datetime", TIMESTAMP_NS),
                ("expires", TIMESTAMP_NS),
                ("seller", Int64),
                ("category", Int64),
                ("extra", Utf8),
            ],
        ),
        column(
            "bid",
            &[
                ("auction", Int64),
                ("bidder", Int64),
                ("price", Int64),
                ("channel", Utf8),
                ("url", Utf8),
                ("datetime", TIMESTAMP_NS),
                ("extra", Utf8),
            ],
        ),
    ])
}

fn source(options: &mut Options) -> Result<NexmarkSource, OptionError> {
    let Some(event_rate) = take_rate(options)? else {
        return Err(OptionError::new("event_rate", "option \"event_rate\" is required")
            .with_hint("it is the number of events per second; with pacing = 'none' it only spaces event times"));
    };
    let runtime: Option<f64> = options.take_parsed("runtime", "a number of seconds")?;
    if runtime.is_some_and(|seconds| seconds.is_nan() || seconds < 0.0) {
        return Err(OptionError::new("runtime", "option \"runtime\" must be a number of seconds, not less than 0"));
    }
    let of_runtime = runtime.map(|seconds| (seconds * event_rate).round() as u64);
    let message_count: Option<u64> = options.take_parsed("message_count", "a whole number")?;
    let events = match (of_runtime, message_count) {
        (Some(of_runtime), Some(message_count)) => Some(of_runtime.min(message_count)),
        (events, None) | (None, events) => events,
    };
    let paced = options.take_choice("pacing", &[("wall_clock", true), ("none", false)])?.unwrap_or(true);
    Ok(NexmarkSource { event_rate, events, start_time_nanos: take_start_time(options)?, paced })
}
