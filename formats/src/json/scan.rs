//! Reading JSON (RFC 8259) from left to right, one line's document at a time.
//!
//! The scanner accepts exactly the JSON grammar, in what it skips as in what it reads; only the end of a line is no
//! white space, for a document is one line. Strings are searched eight bytes at a time for the bytes that mean
//! something in them. That the input is UTF-8 is not checked here: outside strings only ASCII is accepted, and the
//! decoder checks whole blocks at once.

use crate::column::shorten;
use crate::number::exact_f64;

/// Objects and lists within each other.
const DEPTH: u32 = 128;

/// Where and why a document cannot be read.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Byte of the input.
    pub(crate) at: usize,
    /// Names of the members that lead there, innermost first.
    pub(crate) path: Vec<String>,
    pub(crate) reason: String,
}

pub(crate) type Scan<T> = Result<T, Box<Fault>>;

/// A run of string content between quotes.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) escaped: bool,
}

/// A number in pieces: `(-1)^negative * mantissa * 10^exponent`, if `exact`.
pub(crate) struct Number {
    pub(crate) start: usize,
    pub(crate) negative: bool,
    pub(crate) mantissa: u64,
    pub(crate) exponent: i32,
    /// The mantissa has all digits.
    pub(crate) exact: bool,
    /// It has neither fraction nor exponent.
    pub(crate) integer: bool,
}

pub(crate) struct Scanner<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) at: usize,
    pub(crate) depth: u32,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte that is a quote, a backslash or a control character. Bytes after the first such one may
/// be marked wrongly.
#[inline]
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero(quote) | zero(backslash) | control) & HIGHS
}

/// The first byte at or after `at` that cannot stand in a string unescaped, or the end.
#[inline]
pub(crate) fn find_special(input: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = input.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let mask = special(u64::from_le_bytes(*chunk));
        if mask != 0 {
            return at + (mask.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = input.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        at += 1;
    }
    at
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Scanner { input, at: 0, depth: 0 }
    }

    /// The byte at hand; 0, which no document has outside strings, at the end.
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.input.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    /// At the end of the line or of the input.
    #[inline]
    pub(crate) fn at_line_end(&self) -> bool {
        matches!(self.input.get(self.at), None | Some(b'\n'))
    }

    #[cold]
    pub(crate) fn fault(&self, at: usize, reason: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { at, path: Vec::new(), reason: reason.into() })
    }

    /// A fault that says what stands here instead.
    #[cold]
    pub(crate) fn expected(&self, what: &str) -> Box<Fault> {
        let found = match self.input.get(self.at) {
            None | Some(b'\n') => "the end of the line".to_owned(),
            Some(b'"') => "a string".to_owned(),
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "a list".to_owned(),
            Some(b'-' | b'0'..=b'9') => {
                let rest = &self.input[self.at..];
                let end = rest.iter().position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'0'..=b'9' | b'e' | b'E'));
                format!("number {}", shorten(&rest[..end.unwrap_or(rest.len())]))
            }
            Some(_) if self.input[self.at..].starts_with(b"true") => "true".to_owned(),
            Some(_) if self.input[self.at..].starts_with(b"false") => "false".to_owned(),
            Some(_) if self.input[self.at..].starts_with(b"null") => "null".to_owned(),
            Some(byte) if byte.is_ascii_graphic() => format!("'{}'", *byte as char),
            Some(byte) => format!("byte 0x{byte:02x}"),
        };
        self.fault(self.at, format!("{what} expected, found {found}"))
    }

    /// Reads `true`, `false` or `null`.
    #[inline]
    pub(crate) fn literal(&mut self, word: &'static str) -> Scan<()> {
        if self.input[self.at.min(self.input.len())..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.expected("a JSON value"))
        }
    }

    /// Reads a string; its opening quote is at hand.
    #[inline]
    pub(crate) fn string(&mut self) -> Scan<Text> {
        let start = self.at + 1;
        let end = find_special(self.input, start);
        if self.input.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Text { start, end, escaped: false });
        }
        self.escaped_string(start, end)
    }

    fn escaped_string(&mut self, start: usize, mut at: usize) -> Scan<Text> {
        loop {
            match self.input.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text { start, end: at, escaped: true });
                }
                Some(b'\\') => match self.input.get(at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                    Some(b'u') if self.hex(at + 2).is_some() => at += 6,
                    Some(b'u') => return Err(self.fault(at, "four hexadecimal digits expected after \\u")),
                    _ => return Err(self.fault(at, "unknown escape in a string")),
                },
                None | Some(b'\n') => return Err(self.fault(start - 1, "a string is not closed")),
                Some(_) => return Err(self.fault(at, "control character in a string")),
            }
            at = find_special(self.input, at);
        }
    }

    /// The number that four hexadecimal digits stand for.
    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.input.get(at..at + 4)?;
        digits.iter().try_fold(0, |value, digit| Some(value * 16 + (*digit as char).to_digit(16)?))
    }

    /// Appends the characters that `text` stands for.
    ///
    /// # Errors
    /// When half of a surrogate pair stands alone: it is no character.
    pub(crate) fn unescape(&self, text: Text, out: &mut Vec<u8>) -> Scan<()> {
        let mut at = text.start;
        while at < text.end {
            let rest = &self.input[at..text.end];
            let Some(run) = memchr::memchr(b'\\', rest) else {
                out.extend_from_slice(rest);
                break;
            };
            out.extend_from_slice(&rest[..run]);
            at += run;
            let plain = match self.input[at + 1] {
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'u' => {
                    let (character, width) = self.escaped_char(at)?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    at += width;
                    continue;
                }
                byte => byte,
            };
            out.push(plain);
            at += 2;
        }
        Ok(())
    }

    /// The character of `\uXXXX`, or of a surrogate pair of two, and the width of its escape.
    fn escaped_char(&self, at: usize) -> Scan<(char, usize)> {
        let lone = || self.fault(at, "half of a surrogate pair in a string");
        let high = self.hex(at + 2).ok_or_else(lone)?;
        if let Some(character) = char::from_u32(high) {
            return Ok((character, 6));
        }
        if !(0xd800..0xdc00).contains(&high) || !self.input[at + 6..].starts_with(b"\\u") {
            return Err(lone());
        }
        let low = self.hex(at + 8).filter(|low| (0xdc00..0xe000).contains(low)).ok_or_else(lone)?;
        let character = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or_else(lone)?;
        Ok((character, 12))
    }

    #[inline]
    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    /// Steps over a number.
    #[inline]
    fn skip_number(&mut self) -> Scan<()> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else if self.skip_digits() == 0 {
            return Err(self.expected("a digit"));
        }
        if self.peek() == b'.' {
            self.at += 1;
            if self.skip_digits() == 0 {
                return Err(self.expected("a digit"));
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if self.skip_digits() == 0 {
                return Err(self.expected("a digit"));
            }
        }
        Ok(())
    }

    /// Reads a number; `-` or a digit is at hand.
    #[inline]
    pub(crate) fn number(&mut self) -> Scan<Number> {
        let start = self.at;
        let negative = self.peek() == b'-';
        if negative {
            self.at += 1;
        }
        let first = self.at;
        let mut mantissa = 0u64;
        while let digit @ b'0'..=b'9' = self.peek() {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 {
            return Err(self.expected("a digit"));
        }
        if digits > 1 && self.input[first] == b'0' {
            return Err(self.fault(start, "a number with leading zeros"));
        }
        let mut number = Number { start, negative, mantissa, exponent: 0, exact: digits <= 19, integer: true };
        if matches!(self.peek(), b'.' | b'e' | b'E') {
            self.fraction(&mut number, digits)?;
        }
        Ok(number)
    }

    fn fraction(&mut self, number: &mut Number, whole: usize) -> Scan<()> {
        number.integer = false;
        let mut exponent = 0i64;
        if self.peek() == b'.' {
            self.at += 1;
            let first = self.at;
            while let digit @ b'0'..=b'9' = self.peek() {
                number.mantissa = number.mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                self.at += 1;
            }
            let digits = self.at - first;
            if digits == 0 {
                return Err(self.expected("a digit"));
            }
            exponent -= digits as i64;
            number.exact = whole + digits <= 19;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            let negative = self.peek() == b'-';
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            let first = self.at;
            let mut written = 0i64;
            while let digit @ b'0'..=b'9' = self.peek() {
                written = written.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
                self.at += 1;
            }
            if self.at == first {
                return Err(self.expected("a digit"));
            }
            exponent = exponent.saturating_add(if negative { -written } else { written });
        }
        number.exponent = exponent.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        Ok(())
    }

    /// The nearest float. `None`: beyond the largest.
    #[inline]
    pub(crate) fn to_f64(&self, number: &Number) -> Option<f64> {
        if number.exact
            && let Some(value) = exact_f64(number.negative, number.mantissa, number.exponent)
        {
            return Some(value);
        }
        self.parse(number).filter(|value: &f64| value.is_finite())
    }

    pub(crate) fn to_f32(&self, number: &Number) -> Option<f32> {
        self.parse(number).filter(|value: &f32| value.is_finite())
    }

    fn parse<T: std::str::FromStr>(&self, number: &Number) -> Option<T> {
        std::str::from_utf8(self.written(number)).ok()?.parse().ok()
    }

    /// The number's own text; it must be the last thing that was read.
    pub(crate) fn written(&self, number: &Number) -> &'a [u8] {
        &self.input[number.start..self.at]
    }

    /// Steps over any value.
    #[inline]
    pub(crate) fn skip_value(&mut self) -> Scan<()> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.skip_number(),
            b'{' | b'[' => self.skip_nested(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(self.expected("a JSON value")),
        }
    }

    /// Steps over a key and its colon.
    fn skip_key(&mut self) -> Scan<()> {
        if self.peek() != b'"' {
            return Err(self.expected("a key in quotes"));
        }
        self.string()?;
        self.colon()
    }

    pub(crate) fn colon(&mut self) -> Scan<()> {
        self.skip_space();
        if self.peek() != b':' {
            return Err(self.expected("':'"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Enters an object or list that ends in `close`: whether anything is in it. An empty one is left.
    #[inline]
    pub(crate) fn enter(&mut self, close: u8) -> Scan<bool> {
        self.descend()?;
        self.at += 1;
        self.skip_space();
        let more = self.peek() != close;
        if !more {
            self.leave();
        }
        Ok(more)
    }

    /// Behind a value in an object or list that ends in `close`: whether another one follows. Else it is left.
    #[inline]
    pub(crate) fn another(&mut self, close: u8) -> Scan<bool> {
        self.skip_space();
        match self.peek() {
            b',' => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            found if found == close => {
                self.leave();
                Ok(false)
            }
            _ => Err(self.expected(if close == b'}' { "',' or '}'" } else { "',' or ']'" })),
        }
    }

    /// Behind the last character of an object or list.
    #[inline]
    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// One level down.
    fn descend(&mut self) -> Scan<()> {
        if self.depth >= DEPTH {
            return Err(self.fault(self.at, "more than 128 objects and lists within each other"));
        }
        self.depth += 1;
        Ok(())
    }

    /// Steps over an object or list, without recursion: one bit for each open one says which it is.
    fn skip_nested(&mut self) -> Scan<()> {
        let outside = self.depth;
        let mut objects = 0u128;
        loop {
            let open = self.peek();
            if open == b'{' || open == b'[' {
                self.descend()?;
                self.at += 1;
                self.skip_space();
                objects = objects << 1 | u128::from(open == b'{');
                if !matches!((open, self.peek()), (b'{', b'}') | (b'[', b']')) {
                    if open == b'{' {
                        self.skip_key()?;
                    }
                    continue;
                }
            } else {
                self.skip_value()?;
            }
            // A value has ended, or an empty object or list is about to.
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                self.skip_space();
                match (self.peek(), objects & 1 == 1) {
                    (b'}', true) | (b']', false) => {
                        self.leave();
                        objects >>= 1;
                    }
                    (b',', object) => {
                        self.at += 1;
                        self.skip_space();
                        if object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    (_, true) => return Err(self.expected("',' or '}'")),
                    (_, false) => return Err(self.expected("',' or ']'")),
                }
            }
        }
    }
}
