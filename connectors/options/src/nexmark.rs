//! Options of `nexmark`, the generator of the NEXMark benchmark: people, auctions and bids on an auction site.

use schema::{EVENT_TIME, Field, ScalarType, Schema};
use serde::{Deserialize, Serialize};

use crate::options::{OptionError, Options};
use crate::{Connector, Validated};

/// A stream of events at a given rate. Event `n` happens `n / event_rate` seconds after the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NexmarkSource {
    /// `event_rate`, required: events per second of event time, over all tasks; more than 0.
    pub event_rate: f64,
    /// `message_count`, or `event_rate * runtime` (`runtime` in seconds, as Arroyo's); without either it never ends.
    pub message_count: Option<u64>,
    /// `start_time`: nanoseconds since the epoch; RFC 3339 or milliseconds in SQL. Default: now. With it, the same
    /// events come in every run.
    pub start_time_nanos: Option<i64>,
    /// `pacing`: whether events come when they are due by the clock, or as fast as they are taken.
    pub pacing: Pacing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pacing {
    #[default]
    WallClock,
    None,
}

pub struct Nexmark;

impl Connector for Nexmark {
    fn name(&self) -> &'static str {
        "nexmark"
    }

    fn schema(&self) -> Option<Schema> {
        use ScalarType::{Int64, Utf8};
        let time = ScalarType::TIMESTAMP_NS;
        let members = |members: &[(&str, ScalarType)]| {
            ScalarType::Struct(members.iter().map(|(name, ty)| Field::new(*name, ty.clone(), false)).collect())
        };
        let person = members(&[
            ("id", Int64),
            ("name", Utf8),
            ("email_address", Utf8),
            ("credit_card", Utf8),
            ("city", Utf8),
            ("state", Utf8),
            ("datetime", time.clone()),
            ("extra", Utf8),
        ]);
        let auction = members(&[
            ("id", Int64),
            ("description", Utf8),
            ("item_name", Utf8),
            ("initial_bid", Int64),
            ("reserve", Int64),
            ("datetime", time.clone()),
            ("expires", time.clone()),
            ("seller", Int64),
            ("category", Int64),
            ("extra", Utf8),
        ]);
        let bid = members(&[
            ("auction", Int64),
            ("bidder", Int64),
            ("price", Int64),
            ("channel", Utf8),
            ("url", Utf8),
            ("datetime", time),
            ("extra", Utf8),
        ]);
        Some(Schema::new(vec![
            Field::new("person", person, true),
            Field::new("auction", auction, true),
            Field::new("bid", bid, true),
        ]))
    }

    fn metadata(&self) -> &'static [(&'static str, ScalarType)] {
        &[(EVENT_TIME, ScalarType::TIMESTAMP_NS)]
    }

    fn source(&self, options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        Some(source(options))
    }
}

fn source(options: &mut Options) -> Result<Validated, OptionError> {
    let event_rate = match options.take_parsed::<f64>("event_rate", "a number of events per second")? {
        Some(rate) if rate > 0.0 && rate.is_finite() => rate,
        Some(_) => return Err(OptionError::new("event_rate", "option \"event_rate\" must be more than 0")),
        None => return Err(OptionError::new("event_rate", "option \"event_rate\" is required")),
    };
    let runtime = options.take_parsed::<f64>("runtime", "a number of seconds")?;
    let message_count = options.take_parsed::<u64>("message_count", "a whole number")?;
    let source = NexmarkSource {
        event_rate,
        message_count: message_count.or(runtime.map(|seconds| (seconds.max(0.0) * event_rate) as u64)),
        start_time_nanos: options.take_time("start_time")?,
        pacing: options
            .take_choice("pacing", &[("wall_clock", Pacing::WallClock), ("none", Pacing::None)])?
            .unwrap_or_default(),
    };
    Validated::new(&source)
}
