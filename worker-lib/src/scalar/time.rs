//! Parts of dates and timestamps, in the proleptic Gregorian calendar, UTC.
//!
//! A timestamp is split into a day number and nanoseconds of the day by floor division, so times before 1970 are right
//! without special cases. Day numbers become years and months by the arithmetic of 400-year cycles that begin on the
//! first of March: leap days are then the last of their year. Results beyond `i64` saturate.

use crate::column::TimeUnit;

const DAY: i64 = 86_400_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
}

/// Days in a cycle of 400 years.
const CYCLE: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

fn civil(days: i64) -> Civil {
    let days = days.saturating_add(EPOCH);
    let (cycle, day_of_cycle) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
    // Leap days come every 4 years, but for every 100, but for every 400.
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // Months from March have 31 30 31 30 31 days, twice and a bit: 153 days in five of them.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    Civil { year: cycle * 400 + year_of_cycle + i64::from(month <= 2), month, day }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (cycle, year_of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * CYCLE + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year - EPOCH
}

/// Ticks in a day.
fn day_ticks(unit: TimeUnit) -> i64 {
    DAY / unit.nanos()
}

fn days_of(ticks: i64, unit: TimeUnit) -> i64 {
    ticks.div_euclid(day_ticks(unit))
}

fn nanos_of_day(ticks: i64, unit: TimeUnit) -> i64 {
    ticks.rem_euclid(day_ticks(unit)) * unit.nanos()
}

fn year_start(days: i64) -> i64 {
    days_from_civil(civil(days).year, 1, 1)
}

fn quarter_start(days: i64) -> i64 {
    let Civil { year, month, .. } = civil(days);
    days_from_civil(year, (month - 1) / 3 * 3 + 1, 1)
}

fn month_start(days: i64) -> i64 {
    days - (civil(days).day - 1)
}

/// The Monday of the week. Day 0 was a Thursday.
fn week_start(days: i64) -> i64 {
    days - (days + 3).rem_euclid(7)
}

/// 0 is Sunday.
fn day_of_week(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

fn day_of_year(days: i64) -> i64 {
    days - year_start(days) + 1
}

/// ISO 8601: the week belongs to the year that holds its Thursday.
fn week(days: i64) -> i64 {
    (day_of_year(week_start(days) + 3) - 1) / 7 + 1
}

fn quarter(days: i64) -> i64 {
    (civil(days).month - 1) / 3 + 1
}

fn month(days: i64) -> i64 {
    civil(days).month
}

fn year(days: i64) -> i64 {
    civil(days).year
}

fn day(days: i64) -> i64 {
    civil(days).day
}

macro_rules! parts_of_days {
    ($($timestamp:ident, $date:ident = $part:ident;)*) => {$(
        pub fn $timestamp(ticks: i64, unit: TimeUnit) -> i32 {
            $part(days_of(ticks, unit)) as i32
        }
        pub fn $date(days: i32) -> i32 {
            $part(i64::from(days)) as i32
        }
    )*};
}

parts_of_days! {
    date_part_year, date_part_days_year = year;
    date_part_quarter, date_part_days_quarter = quarter;
    date_part_month, date_part_days_month = month;
    date_part_week, date_part_days_week = week;
    date_part_day, date_part_days_day = day;
    date_part_dow, date_part_days_dow = day_of_week;
    date_part_doy, date_part_days_doy = day_of_year;
}

pub fn date_part_hour(ticks: i64, unit: TimeUnit) -> i32 {
    (nanos_of_day(ticks, unit) / 3_600_000_000_000) as i32
}

pub fn date_part_minute(ticks: i64, unit: TimeUnit) -> i32 {
    (nanos_of_day(ticks, unit) / 60_000_000_000 % 60) as i32
}

pub fn date_part_second(ticks: i64, unit: TimeUnit) -> i32 {
    (nanos_of_day(ticks, unit) / 1_000_000_000 % 60) as i32
}

/// Seconds of the minute with their fraction, in milliseconds.
pub fn date_part_millisecond(ticks: i64, unit: TimeUnit) -> i32 {
    (nanos_of_day(ticks, unit) / 1_000_000 % 60_000) as i32
}

/// Seconds of the minute with their fraction, in microseconds.
pub fn date_part_microsecond(ticks: i64, unit: TimeUnit) -> i32 {
    (nanos_of_day(ticks, unit) / 1_000 % 60_000_000) as i32
}

/// Seconds of the minute with their fraction, in nanoseconds.
pub fn date_part_nanosecond(ticks: i64, unit: TimeUnit) -> i64 {
    nanos_of_day(ticks, unit) % 60_000_000_000
}

/// Seconds since the Unix epoch.
pub fn date_part_epoch(ticks: i64, unit: TimeUnit) -> f64 {
    ticks as f64 / (1_000_000_000 / unit.nanos()) as f64
}

/// Seconds since the Unix epoch.
pub fn date_part_days_epoch(days: i32) -> f64 {
    f64::from(days) * 86_400.0
}

macro_rules! truncations_to_days {
    ($($timestamp:ident, $date:ident = $start:ident;)*) => {$(
        pub fn $timestamp(ticks: i64, unit: TimeUnit) -> i64 {
            $start(days_of(ticks, unit)).saturating_mul(day_ticks(unit))
        }
        pub fn $date(days: i32) -> i32 {
            $start(i64::from(days)).max(i64::from(i32::MIN)) as i32
        }
    )*};
}

truncations_to_days! {
    date_trunc_year, date_trunc_days_year = year_start;
    date_trunc_quarter, date_trunc_days_quarter = quarter_start;
    date_trunc_month, date_trunc_days_month = month_start;
    date_trunc_week, date_trunc_days_week = week_start;
}

/// Down to a multiple of `nanos`; a unit that is no finer stays as it is.
fn truncate(ticks: i64, unit: TimeUnit, nanos: i64) -> i64 {
    let step = (nanos / unit.nanos()).max(1);
    ticks.saturating_sub(ticks.rem_euclid(step))
}

macro_rules! truncations {
    ($($name:ident = $nanos:expr;)*) => {$(
        #[inline]
        pub fn $name(ticks: i64, unit: TimeUnit) -> i64 {
            truncate(ticks, unit, $nanos)
        }
    )*};
}

truncations! {
    date_trunc_day = DAY;
    date_trunc_hour = 3_600_000_000_000;
    date_trunc_minute = 60_000_000_000;
    date_trunc_second = 1_000_000_000;
    date_trunc_millisecond = 1_000_000;
    date_trunc_microsecond = 1_000;
}

/// Plus a fixed span of time, rounded down to the unit.
#[inline]
pub fn add_nanos(ticks: i64, unit: TimeUnit, nanos: i64) -> i64 {
    // The whole ticks of the span; a tick is whole already, so rounding the span down rounds the sum down.
    ticks.saturating_add(nanos.div_euclid(unit.nanos()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{ArrayRef, AsArray, Date32Array, TimestampMillisecondArray};
    use arrow::compute::{DatePart, date_part};
    use arrow::datatypes::Int32Type;
    use proptest::prelude::*;

    fn arrow_part(array: &ArrayRef, part: DatePart) -> i32 {
        date_part(array, part).unwrap().as_primitive::<Int32Type>().value(0)
    }

    proptest! {
        #[test]
        fn parts_agree_with_arrow(days in -4_000_000i32..4_000_000, millis in 0i64..86_400_000) {
            let dates: ArrayRef = Arc::new(Date32Array::from(vec![days]));
            prop_assert_eq!(date_part_days_year(days), arrow_part(&dates, DatePart::Year));
            prop_assert_eq!(date_part_days_quarter(days), arrow_part(&dates, DatePart::Quarter));
            prop_assert_eq!(date_part_days_month(days), arrow_part(&dates, DatePart::Month));
            prop_assert_eq!(date_part_days_week(days), arrow_part(&dates, DatePart::Week));
            prop_assert_eq!(date_part_days_day(days), arrow_part(&dates, DatePart::Day));
            prop_assert_eq!(date_part_days_dow(days), arrow_part(&dates, DatePart::DayOfWeekSunday0));
            prop_assert_eq!(date_part_days_doy(days), arrow_part(&dates, DatePart::DayOfYear));

            let ticks = i64::from(days) * 86_400_000 + millis;
            let unit = TimeUnit::Millisecond;
            let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![ticks]));
            prop_assert_eq!(date_part_year(ticks, unit), arrow_part(&times, DatePart::Year));
            prop_assert_eq!(date_part_doy(ticks, unit), arrow_part(&times, DatePart::DayOfYear));
            prop_assert_eq!(date_part_hour(ticks, unit), arrow_part(&times, DatePart::Hour));
            prop_assert_eq!(date_part_minute(ticks, unit), arrow_part(&times, DatePart::Minute));
            prop_assert_eq!(date_part_second(ticks, unit), arrow_part(&times, DatePart::Second));
            let second = i64::from(arrow_part(&times, DatePart::Second));
            prop_assert_eq!(i64::from(date_part_millisecond(ticks, unit)), second * 1_000 + millis % 1_000);
            prop_assert_eq!(date_part_nanosecond(ticks, unit), (second * 1_000 + millis % 1_000) * 1_000_000);
        }

        #[test]
        fn truncation_is_the_start_of_the_unit(days in -400_000i32..400_000) {
            let parts = |days: i32| (date_part_days_year(days), date_part_days_month(days), date_part_days_day(days));
            let (year, month, _) = parts(days);
            prop_assert_eq!(parts(date_trunc_days_year(days)), (year, 1, 1));
            prop_assert_eq!(parts(date_trunc_days_quarter(days)), (year, (month - 1) / 3 * 3 + 1, 1));
            prop_assert_eq!(parts(date_trunc_days_month(days)), (year, month, 1));
            let monday = date_trunc_days_week(days);
            prop_assert!(monday <= days && days < monday + 7 && date_part_days_dow(monday) == 1);
        }
    }

    #[test]
    fn known_days() {
        // Day number, year, month, day, day of year, ISO week, day of week.
        let known = [
            (0, 1970, 1, 1, 1, 1, 4),
            (-1, 1969, 12, 31, 365, 1, 3),
            (11_016, 2000, 2, 29, 60, 9, 2),
            (18_262, 2020, 1, 1, 1, 1, 3),
            (18_628, 2021, 1, 1, 1, 53, 5),
            (-719_528, 0, 1, 1, 1, 52, 6),
        ];
        for (days, year, month, day, doy, week, dow) in known {
            assert_eq!((date_part_days_year(days), date_part_days_month(days)), (year, month), "{days}");
            assert_eq!((date_part_days_day(days), date_part_days_doy(days)), (day, doy), "{days}");
            assert_eq!((date_part_days_week(days), date_part_days_dow(days)), (week, dow), "{days}");
        }
    }

    #[test]
    fn fine_truncation_floors() {
        use TimeUnit::*;
        assert_eq!(date_trunc_minute(-1, Nanosecond), -60_000_000_000);
        assert_eq!(date_trunc_hour(7_199, Second), 3_600);
        assert_eq!(date_trunc_millisecond(7, Second), 7);
        assert_eq!(date_trunc_microsecond(1_999, Nanosecond), 1_000);
        assert_eq!(date_trunc_day(-1, Second), -86_400);
        assert_eq!(date_trunc_week(0, Second), -3 * 86_400);
    }

    #[test]
    fn spans_round_down_to_the_unit() {
        use TimeUnit::*;
        assert_eq!(add_nanos(10, Second, -1), 9);
        assert_eq!(add_nanos(10, Second, 1_999_999_999), 11);
        assert_eq!(add_nanos(i64::MAX, Nanosecond, 1), i64::MAX);
        assert_eq!(date_part_epoch(1_500, Millisecond), 1.5);
    }

    #[test]
    fn nothing_overflows_at_the_limits() {
        for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            for ticks in [i64::MIN, i64::MAX] {
                date_trunc_year(ticks, unit);
                date_trunc_week(ticks, unit);
                date_trunc_day(ticks, unit);
                date_part_week(ticks, unit);
                date_part_microsecond(ticks, unit);
                add_nanos(ticks, unit, i64::MIN);
            }
        }
        date_trunc_days_year(i32::MIN);
    }
}
