//! Numbers from text and to text.
//!
//! Integers and common floats are read without the standard library's general parser: JSON lines are mostly
//! numbers. A float whose digits and power of ten are exactly representable is one multiplication or division, which
//! IEEE 754 rounds correctly (Clinger 1990); any other goes to `str::parse`, so every result is the nearest float.

/// A sign and digits, no more, as `i128`. `None`: it is something else, or too large for 64 bits by far.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 38 {
        return None;
    }
    let mut value = 0i128;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i128::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

const TENS_F64: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// `mantissa * 10^exponent`, where that is exact up to the one rounding.
#[inline]
pub(crate) fn exact_f64(negative: bool, mantissa: u64, exponent: i32) -> Option<f64> {
    if mantissa > 1 << 53 || !(-22..=22).contains(&exponent) {
        return None;
    }
    let magnitude = if exponent < 0 {
        mantissa as f64 / TENS_F64[-exponent as usize]
    } else {
        mantissa as f64 * TENS_F64[exponent as usize]
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Why a text is no value of a decimal type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalFault {
    NotANumber,
    /// Digits after the scale that are not zero: reading never rounds.
    TooPrecise,
    TooLarge,
}

/// The exact value scaled by `10^scale`: `12.5` with scale 2 is 1250.
pub(crate) fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Result<i128, DecimalFault> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let end = rest.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(rest.len());
    let exponent = match rest.get(end + 1..) {
        Some(exponent) => parse_integer(exponent).ok_or(DecimalFault::NotANumber)?,
        None => 0,
    };
    let digits = &rest[..end];
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &digits[..0]),
    };
    if whole.is_empty() && fraction.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(DecimalFault::NotANumber);
    }
    // The value is `mantissa * 10^power`, with zeros at the mantissa's end moved into the power.
    let significant =
        whole.len() + fraction.len() - whole.iter().chain(fraction).rev().take_while(|d| **d == b'0').count();
    let mut mantissa = 0i128;
    for digit in whole.iter().chain(fraction).take(significant) {
        mantissa = mantissa
            .checked_mul(10)
            .and_then(|value| value.checked_add(i128::from(digit - b'0')))
            .ok_or(DecimalFault::TooLarge)?;
    }
    if mantissa == 0 {
        return Ok(0);
    }
    let power = exponent.saturating_add(whole.len() as i128 - significant as i128).saturating_add(i128::from(scale));
    if power < 0 {
        return Err(DecimalFault::TooPrecise);
    }
    let value = u32::try_from(power)
        .ok()
        .and_then(|power| 10i128.checked_pow(power))
        .and_then(|factor| mantissa.checked_mul(factor))
        .filter(|value| 10i128.checked_pow(u32::from(precision)).is_none_or(|limit| *value < limit))
        .ok_or(DecimalFault::TooLarge)?;
    Ok(if negative { -value } else { value })
}

/// Appends `value / 10^scale` in plain digits: `12.50`.
pub(crate) fn write_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let digits = value.unsigned_abs().to_string();
    let digits = digits.as_bytes();
    if scale <= 0 {
        out.extend_from_slice(digits);
        if value != 0 {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return;
    }
    let scale = usize::from(scale.unsigned_abs());
    if digits.len() <= scale {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits);
    } else {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

const PAIRS: [u8; 200] = {
    let mut pairs = [0u8; 200];
    let mut i = 0;
    while i < 100 {
        pairs[2 * i] = b'0' + (i / 10) as u8;
        pairs[2 * i + 1] = b'0' + (i % 10) as u8;
        i += 1;
    }
    pairs
};

/// Appends the decimal digits of `value`.
pub(crate) fn write_u64(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    while value >= 100 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if value >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[value as usize * 2..value as usize * 2 + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

pub(crate) fn write_i64(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_u64(value.unsigned_abs(), out);
}

/// Appends `value`, which is below `10^width`, with leading zeros.
pub(crate) fn write_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    write_u64(value, out);
    let digits = out.len() - start;
    if digits < width {
        out.resize(start + width, b'0');
        out[start..].rotate_right(width - digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        let parse = |text: &str| parse_decimal(text.as_bytes(), 6, 2);
        assert_eq!(parse("12.5"), Ok(1250));
        assert_eq!(parse("-0.05"), Ok(-5));
        assert_eq!(parse("1e3"), Ok(100_000));
        assert_eq!(parse("1234500e-3"), Ok(123_450));
        assert_eq!(parse("9999.99000"), Ok(999_999));
        assert_eq!(parse("0e999999999999"), Ok(0));
        assert_eq!(parse("10000"), Err(DecimalFault::TooLarge));
        assert_eq!(parse("1e40"), Err(DecimalFault::TooLarge));
        assert_eq!(parse("0.005"), Err(DecimalFault::TooPrecise));
        for text in ["", ".", "-", "1.2.3", "e5", "0x1", "1e"] {
            assert_eq!(parse(text), Err(DecimalFault::NotANumber), "{text}");
        }
    }

    #[test]
    fn decimals_are_written_with_their_scale() {
        let write = |value, scale| {
            let mut out = Vec::new();
            write_decimal(value, scale, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(1250, 2), "12.50");
        assert_eq!(write(-5, 2), "-0.05");
        assert_eq!(write(0, 3), "0.000");
        assert_eq!(write(12, -3), "12000");
        assert_eq!(write(i128::MIN, 0), i128::MIN.to_string());
    }

    #[test]
    fn integers_are_written_as_the_standard_library_does() {
        for value in [0, 1, 9, 10, 99, 100, 101, 12_345, i64::MAX, i64::MIN, -7] {
            let mut out = Vec::new();
            write_i64(value, &mut out);
            assert_eq!(out, value.to_string().as_bytes());
        }
        let mut out = b"x".to_vec();
        write_padded(7, 3, &mut out);
        assert_eq!(out, b"x007");
    }
}
