//! `impulse`: a source of numbered events at a steady rate.

use schema::{Field, ScalarType, Schema};
use serde::{Deserialize, Serialize};

use crate::options::{OptionError, Options, parse_duration};
use crate::{Connector, EVENT_TIME_ONLY, Validated};

pub struct Impulse;

/// Rate and count are those of the whole table, whatever the parallelism.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImpulseSource {
    /// Events per second; `None`: as fast as they are taken.
    pub event_rate: Option<f64>,
    /// Event time between two events; `None`: as the rate says, or the clock.
    pub event_time_interval_nanos: Option<u64>,
    /// Events before the source ends; `None`: it never does.
    pub message_count: Option<u64>,
    /// Event time of the first event; `None`: the time when the job starts.
    pub start_time_nanos: Option<i64>,
}

impl Connector for Impulse {
    fn name(&self) -> &'static str {
        "impulse"
    }

    fn schema(&self) -> Option<Schema> {
        Some(Schema::new(vec![
            Field::new("counter", ScalarType::UInt64, false),
            Field::new("subtask_index", ScalarType::UInt64, false),
        ]))
    }

    fn metadata(&self) -> &'static [(&'static str, ScalarType)] {
        EVENT_TIME_ONLY
    }

    fn source(&self, options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        Some(source(options).and_then(|source| Validated::new(&source, None)))
    }
}

fn source(options: &mut Options) -> Result<ImpulseSource, OptionError> {
    Ok(ImpulseSource {
        event_rate: take_rate(options)?,
        event_time_interval_nanos: take_interval(options)?,
        message_count: options.take_parsed("message_count", "a whole number")?,
        start_time_nanos: take_start_time(options)?,
    })
}

/// Takes `event_rate`, in events per second.
pub(crate) fn take_rate(options: &mut Options) -> Result<Option<f64>, OptionError> {
    let Some(text) = options.take("event_rate") else { return Ok(None) };
    match text.trim().parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Some(rate)),
        _ => {
            Err(OptionError::new("event_rate", format!("option \"event_rate\" must be a number above 0, not '{text}'"))
                .with_hint("it is the number of events per second"))
        }
    }
}

/// Takes `event_time_interval`: a whole number of nanoseconds, or a duration.
fn take_interval(options: &mut Options) -> Result<Option<u64>, OptionError> {
    let key = "event_time_interval";
    let Some(text) = options.take(key) else { return Ok(None) };
    let nanos = match text.trim().parse::<u64>() {
        Ok(nanos) => Some(nanos),
        Err(_) => parse_duration(&text).and_then(|duration| u64::try_from(duration.as_nanos()).ok()),
    };
    match nanos {
        Some(nanos) => Ok(Some(nanos)),
        None => Err(OptionError::new(
            key,
            format!("option \"{key}\" must be a duration or a whole number of nanoseconds, not '{text}'"),
        )),
    }
}

/// Takes `start_time`: RFC 3339 text, or milliseconds since the Unix epoch.
pub(crate) fn take_start_time(options: &mut Options) -> Result<Option<i64>, OptionError> {
    let key = "start_time";
    let Some(text) = options.take(key) else { return Ok(None) };
    let nanos = match text.trim().parse::<i64>() {
        Ok(millis) => millis.checked_mul(1_000_000),
        Err(_) => arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(&text).ok(),
    };
    match nanos {
        Some(nanos) => Ok(Some(nanos)),
        None => Err(OptionError::new(key, format!("option \"{key}\" must be a timestamp, not '{text}'"))
            .with_hint("timestamps are written as '2024-01-01T00:00:00Z', or as milliseconds since 1970")),
    }
}
