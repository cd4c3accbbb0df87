//! Dates, times, timestamps and durations from text and to text (RFC 3339, ISO 8601).
//!
//! Civil dates follow the proleptic Gregorian calendar; the arithmetic on days is Howard Hinnant's ("chrono-compatible
//! low-level date algorithms", 2013). Leap seconds do not exist here.

use arrow::datatypes::IntervalMonthDayNano;
use schema::TimeUnit;

use crate::number::{parse_integer, write_padded, write_u64};

const DAY_SECONDS: i64 = 86_400;

/// Days since the Unix epoch. `month` and `day` count from 1.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day since the Unix epoch.
pub(crate) fn civil_from_days(days: i64) -> (i64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u64, day as u64)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

fn two_digits(text: &[u8]) -> Option<i64> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] => Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0')),
        _ => None,
    }
}

/// A date at the start of `text`, as days, and what follows it. Years outside 0..=9999 have a sign.
fn date_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, signed, rest) = match text {
        [b'-', rest @ ..] => (true, true, rest),
        [b'+', rest @ ..] => (false, true, rest),
        rest => (false, false, rest),
    };
    let width = if signed { rest.iter().take_while(|byte| byte.is_ascii_digit()).count() } else { 4 };
    if !(4..=12).contains(&width) || rest.len() < width + 6 {
        return None;
    }
    let (year, rest) = rest.split_at(width);
    let mut number = 0i64;
    for digit in year {
        number = number * 10 + i64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    let year = if negative { -number } else { number };
    if rest[0] != b'-' || rest[3] != b'-' {
        return None;
    }
    let (month, day) = (two_digits(&rest[1..])?, two_digits(&rest[4..])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    Some((days_from_civil(year, month, day), &rest[6..]))
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction` at the start of `text`, as seconds and nanoseconds, and what follows.
/// Digits of the fraction after the ninth are dropped.
fn time_prefix(text: &[u8]) -> Option<(i64, i64, &[u8])> {
    let (hour, minute) = (two_digits(text)?, two_digits(text.get(3..)?)?);
    if text[2] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let mut rest = &text[5..];
    let mut second = 0;
    let mut nanos = 0;
    if let [b':', after @ ..] = rest {
        second = two_digits(after)?;
        rest = &after[2..];
        if second > 59 {
            return None;
        }
        if let [b'.', fraction @ ..] = rest {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            let written = fraction[..digits].iter().map(|digit| i64::from(digit - b'0'));
            nanos = written.chain(std::iter::repeat(0)).take(9).fold(0, |nanos, digit| nanos * 10 + digit);
            rest = &fraction[digits..];
        }
    }
    Some((hour * 3600 + minute * 60 + second, nanos, rest))
}

/// The offset from UTC in seconds: `Z`, `+02:00`, `-0330`, `+01`, ` UTC`.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        b"Z" | b"z" | b" UTC" | b" Z" => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (two_digits(digits)?, 0),
        4 => (two_digits(digits)?, two_digits(&digits[2..])?),
        5 if digits[2] == b':' => (two_digits(digits)?, two_digits(&digits[3..])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since the Unix epoch.
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    match date_prefix(text)? {
        (days, []) => i32::try_from(days).ok(),
        _ => None,
    }
}

/// Nanoseconds since midnight.
pub(crate) fn parse_time(text: &[u8]) -> Option<i64> {
    match time_prefix(text)? {
        (seconds, nanos, []) => Some(seconds * 1_000_000_000 + nanos),
        _ => None,
    }
}

/// An instant in seconds and nanoseconds since the Unix epoch; a text without an offset is taken as UTC.
pub(crate) struct Instant {
    pub(crate) seconds: i64,
    pub(crate) nanos: i64,
    /// The text had an offset.
    pub(crate) zoned: bool,
}

/// A date, alone or followed by `T` or a space, a time and an optional offset from UTC.
pub(crate) fn parse_timestamp(text: &[u8]) -> Option<Instant> {
    let (days, rest) = date_prefix(text)?;
    let midnight = days * DAY_SECONDS;
    match rest {
        [] => Some(Instant { seconds: midnight, nanos: 0, zoned: false }),
        [b'T' | b't' | b' ', time @ ..] => {
            let (seconds, nanos, rest) = time_prefix(time)?;
            let offset = if rest.is_empty() { 0 } else { zone(rest)? };
            Some(Instant { seconds: midnight + seconds - offset, nanos, zoned: !rest.is_empty() })
        }
        _ => None,
    }
}

/// The number of ticks, rounded towards the past. `None`: out of range.
pub(crate) fn ticks(instant: &Instant, unit: TimeUnit) -> Option<i64> {
    let per_second = 1_000_000_000 / unit.nanos();
    let sub = instant.nanos / unit.nanos();
    if instant.seconds < 0 {
        // The first representable instants lie in a second whose start does not fit.
        (instant.seconds + 1).checked_mul(per_second)?.checked_add(sub - per_second)
    } else {
        instant.seconds.checked_mul(per_second)?.checked_add(sub)
    }
}

/// Milliseconds since the Unix epoch as ticks. `None`: out of range.
pub(crate) fn millis_to_ticks(millis: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => Some(millis.div_euclid(1_000)),
        TimeUnit::Millisecond => Some(millis),
        TimeUnit::Microsecond => millis.checked_mul(1_000),
        TimeUnit::Nanosecond => millis.checked_mul(1_000_000),
    }
}

/// Ticks as milliseconds since the Unix epoch, rounded towards the past; saturates where seconds go beyond.
pub(crate) fn ticks_to_millis(ticks: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => ticks.saturating_mul(1_000),
        TimeUnit::Millisecond => ticks,
        TimeUnit::Microsecond => ticks.div_euclid(1_000),
        TimeUnit::Nanosecond => ticks.div_euclid(1_000_000),
    }
}

pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    if !(0..=9999).contains(&year) {
        out.push(if year < 0 { b'-' } else { b'+' });
    }
    write_padded(year.unsigned_abs(), 4, out);
    out.push(b'-');
    write_padded(month, 2, out);
    out.push(b'-');
    write_padded(day, 2, out);
}

/// A fraction of a second with 3, 6 or 9 digits; nothing when it is 0.
fn write_fraction(nanos: u64, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    if nanos.is_multiple_of(1_000_000) {
        write_padded(nanos / 1_000_000, 3, out);
    } else if nanos.is_multiple_of(1_000) {
        write_padded(nanos / 1_000, 6, out);
    } else {
        write_padded(nanos, 9, out);
    }
}

/// `nanos` of a day as `HH:MM:SS` and a fraction.
pub(crate) fn write_time(nanos: i64, out: &mut Vec<u8>) {
    let nanos = nanos.unsigned_abs();
    let seconds = nanos / 1_000_000_000;
    write_padded(seconds / 3600, 2, out);
    out.push(b':');
    write_padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    write_padded(seconds % 60, 2, out);
    write_fraction(nanos % 1_000_000_000, out);
}

/// `2013-01-01T10:15:00` and a fraction, in UTC, without an offset.
pub(crate) fn write_timestamp(ticks: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let per_second = 1_000_000_000 / unit.nanos();
    let seconds = ticks.div_euclid(per_second);
    let nanos = ticks.rem_euclid(per_second) * unit.nanos();
    write_date(seconds.div_euclid(DAY_SECONDS), out);
    out.push(b'T');
    write_time(seconds.rem_euclid(DAY_SECONDS) * 1_000_000_000 + nanos, out);
}

/// ISO 8601: `P14M3DT1.5S`; parts that are 0 are left out, nothing at all is `PT0S`.
pub(crate) fn write_interval(interval: IntervalMonthDayNano, out: &mut Vec<u8>) {
    out.push(b'P');
    for (number, unit) in [(interval.months, b'M'), (interval.days, b'D')] {
        if number != 0 {
            crate::number::write_i64(i64::from(number), out);
            out.push(unit);
        }
    }
    if interval.nanoseconds != 0 || (interval.months == 0 && interval.days == 0) {
        out.push(b'T');
        if interval.nanoseconds < 0 {
            out.push(b'-');
        }
        let nanos = interval.nanoseconds.unsigned_abs();
        write_u64(nanos / 1_000_000_000, out);
        write_fraction(nanos % 1_000_000_000, out);
        out.push(b'S');
    }
}

/// ISO 8601 durations: years, months, weeks, days, then after `T` hours, minutes and seconds with a fraction.
pub(crate) fn parse_interval(text: &[u8]) -> Option<IntervalMonthDayNano> {
    let [b'P', rest @ ..] = text else { return None };
    let (mut months, mut days, mut nanos) = (0i128, 0i128, 0i128);
    let mut rest = rest;
    let mut time = false;
    let mut parts = 0;
    while !rest.is_empty() {
        if let [b'T', after @ ..] = rest {
            if time || after.is_empty() {
                return None;
            }
            time = true;
            rest = after;
            continue;
        }
        let end = rest.iter().position(u8::is_ascii_alphabetic)?;
        let (number, unit) = (&rest[..end], rest[end]);
        rest = &rest[end + 1..];
        parts += 1;
        if time && unit == b'S' {
            nanos += i128::from(parse_seconds(number)?);
            continue;
        }
        let number = parse_integer(number).filter(|number| number.abs() < 1 << 64)?;
        match (time, unit) {
            (false, b'Y') => months += number * 12,
            (false, b'M') => months += number,
            (false, b'W') => days += number * 7,
            (false, b'D') => days += number,
            (true, b'H') => nanos += number * 3_600_000_000_000,
            (true, b'M') => nanos += number * 60_000_000_000,
            _ => return None,
        }
    }
    (parts > 0).then_some(())?;
    Some(IntervalMonthDayNano::new(months.try_into().ok()?, days.try_into().ok()?, nanos.try_into().ok()?))
}

/// Seconds with an optional fraction of at most nine digits, in nanoseconds.
fn parse_seconds(text: &[u8]) -> Option<i64> {
    crate::number::parse_decimal(text, 38, 9).ok().and_then(|nanos| i64::try_from(nanos).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> Option<i64> {
        parse_timestamp(text.as_bytes()).and_then(|instant| ticks(&instant, TimeUnit::Nanosecond))
    }

    #[test]
    fn timestamps_in_every_accepted_form() {
        let expected = Some(1_357_035_300_000_000_000);
        for text in [
            "2013-01-01T10:15:00",
            "2013-01-01T10:15",
            "2013-01-01 10:15:00.000",
            "2013-01-01T10:15:00Z",
            "2013-01-01t10:15:00z",
            "2013-01-01 10:15:00 UTC",
            "2013-01-01T12:15:00+02:00",
            "2013-01-01T06:45:00-0330",
            "2013-01-01T11:15:00+01",
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
        assert_eq!(nanos("2013-01-01"), Some(1_356_998_400_000_000_000));
        assert_eq!(nanos("1969-12-31T23:59:59.5"), Some(-500_000_000));
        assert_eq!(nanos("2000-02-29T00:00:00.1234567891"), Some(951_782_400_123_456_789));
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for text in [
            "",
            "2013",
            "2013-02-29",
            "2013-13-01",
            "2013-01-00",
            "2013-01-01T24:00:00",
            "2013-01-01T10:60",
            "2013-01-01T10:15:60",
            "2013-01-01T10:15:00.",
            "2013-01-01T10:15:00+",
            "2013-01-01T10:15:00+2:00",
            "2013-01-01T",
            "2013-01-01x",
            "13-01-01",
            "9999-01-01",
        ] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }

    #[test]
    fn every_tick_survives_text() {
        let ends = [i64::MIN, i64::MIN + 1, -1, 0, 1, 999, 1_000_000_007, i64::MAX];
        for unit in [TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            for value in ends {
                let mut text = Vec::new();
                write_timestamp(value, unit, &mut text);
                let back = parse_timestamp(&text).and_then(|instant| ticks(&instant, unit));
                assert_eq!(back, Some(value), "{}", String::from_utf8_lossy(&text));
            }
        }
    }

    #[test]
    fn dates_and_times_survive_text() {
        for days in [i32::MIN, -719_529, -1, 0, 59, 11_016, i32::MAX] {
            let mut text = Vec::new();
            write_date(i64::from(days), &mut text);
            assert_eq!(parse_date(&text), Some(days), "{}", String::from_utf8_lossy(&text));
        }
        for value in [0, 1, 1_000, 86_399_999_999_999] {
            let mut text = Vec::new();
            write_time(value, &mut text);
            assert_eq!(parse_time(&text), Some(value));
        }
    }

    #[test]
    fn intervals_survive_text() {
        for (months, days, nanos) in [(0, 0, 0), (14, -3, 1_500_000_000), (0, 0, i64::MIN), (i32::MIN, i32::MAX, -1)] {
            let interval = IntervalMonthDayNano::new(months, days, nanos);
            let mut text = Vec::new();
            write_interval(interval, &mut text);
            assert_eq!(parse_interval(&text), Some(interval), "{}", String::from_utf8_lossy(&text));
        }
        assert_eq!(parse_interval(b"P1Y2M3W4DT5H6M7.5S"), Some(IntervalMonthDayNano::new(14, 25, 18_367_500_000_000)));
        for text in [&b""[..], b"P", b"PT", b"P1", b"P1S", b"PT1D", b"1D", b"P1DT1.S5"] {
            assert_eq!(parse_interval(text), None);
        }
    }
}
