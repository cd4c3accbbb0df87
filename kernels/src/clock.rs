//! `now`, `current_date`, `current_time`: the worker's clock, read once per block.
//!
//! DataFusion's functions of these names are replaced by a constant when a query is planned. A pipeline is planned
//! once and runs for months, so ours are volatile and read the clock when they are called. All are in UTC.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// `TIMESTAMP` in nanoseconds, as `current_timestamp` too.
pub(crate) fn now() -> Arc<ScalarUDF> {
    clock("now", &["current_timestamp"], DataType::Timestamp(TimeUnit::Nanosecond, None), |at| {
        ScalarValue::TimestampNanosecond(at.timestamp_nanos_opt(), None)
    })
}

pub(crate) fn current_date() -> Arc<ScalarUDF> {
    clock("current_date", &["today"], DataType::Date32, |at| {
        let days = at.date_naive().signed_duration_since(NaiveDate::default()).num_days();
        ScalarValue::Date32(i32::try_from(days).ok())
    })
}

pub(crate) fn current_time() -> Arc<ScalarUDF> {
    clock("current_time", &[], DataType::Time64(TimeUnit::Nanosecond), |at| {
        let since_midnight = at.time().signed_duration_since(NaiveTime::MIN);
        ScalarValue::Time64Nanosecond(since_midnight.num_nanoseconds())
    })
}

fn clock(name: &'static str, aliases: &[&str], ty: DataType, read: fn(DateTime<Utc>) -> ScalarValue) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Clock {
        name,
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        ty,
        read,
        signature: Signature::nullary(Volatility::Volatile),
    }))
}

#[derive(Debug)]
struct Clock {
    name: &'static str,
    aliases: Vec<String>,
    ty: DataType,
    read: fn(DateTime<Utc>) -> ScalarValue,
    signature: Signature,
}

impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Clock {}

impl std::hash::Hash for Clock {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Clock {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.ty.clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar((self.read)(Utc::now())))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Kernel, ScalarType, function};
    use arrow::array::AsArray;
    use arrow::datatypes::{Date32Type, Time64NanosecondType, TimestampNanosecondType};

    #[test]
    fn the_clock_is_read_when_called_and_once_for_a_block() {
        let now = Kernel::new(function::now, &[], &ScalarType::TIMESTAMP_NS).unwrap();
        let read = || now.call(&[], 2).unwrap().as_primitive::<TimestampNanosecondType>().values().to_vec();
        let (first, second) = (read(), read());
        assert_eq!(first[0], first[1]);
        assert!(first[0] <= second[0] && first[0] > 1_700_000_000_000_000_000);

        let date = Kernel::new(function::today, &[], &ScalarType::Date).unwrap().call(&[], 1).unwrap();
        let day = i64::from(date.as_primitive::<Date32Type>().value(0));
        assert!((day - second[0] / 86_400_000_000_000).abs() <= 1);
        let time = Kernel::new(function::current_time, &[], &ScalarType::Time).unwrap().call(&[], 1).unwrap();
        assert!((0..86_400_000_000_000).contains(&time.as_primitive::<Time64NanosecondType>().value(0)));
    }
}
