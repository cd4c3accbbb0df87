//! The strings of a `WITH (...)` clause, taken out one by one.
//!
//! Sizes are bytes, or a number with a unit; lists are written with or without brackets. What is taken but means
//! nothing in its place is worth a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Options not taken yet. What is left when a table has been validated, nobody knows: an error.
#[derive(Clone, Debug, Default)]
pub struct Options {
    left: BTreeMap<String, String>,
    warnings: Vec<OptionError>,
    asked: BTreeSet<String>,
}

/// An option that is missing or wrong, or of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// The option, where the fault is one option's.
    pub key: Option<String>,
    /// As a diagnostic says it: lower case, no full stop.
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OptionError {}

impl OptionError {
    pub fn new(key: &str, message: impl Into<String>) -> Self {
        OptionError { key: Some(key.to_owned()), message: message.into(), hint: None }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Options {
    pub fn new(options: impl IntoIterator<Item = (String, String)>) -> Self {
        Options { left: options.into_iter().collect(), warnings: Vec::new(), asked: BTreeSet::new() }
    }

    /// The option's text, which stays to be taken.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.left.get(key).map(String::as_str)
    }

    /// Takes the option's text, if it is given.
    pub fn take(&mut self, key: &str) -> Option<String> {
        self.asked.insert(key.to_owned());
        self.left.remove(key)
    }

    /// # Errors
    /// When the option is not given.
    pub fn require(&mut self, key: &str) -> Result<String, OptionError> {
        self.take(key).ok_or_else(|| OptionError::new(key, format!("option \"{key}\" is required")))
    }

    /// Takes a number, boolean or other parsable value. `what` names the kind: `a whole number`.
    ///
    /// # Errors
    /// When its text is not of that kind.
    pub fn take_parsed<T: FromStr>(&mut self, key: &str, what: &str) -> Result<Option<T>, OptionError> {
        let Some(text) = self.take(key) else { return Ok(None) };
        match text.trim().parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(OptionError::new(key, format!("option \"{key}\" must be {what}, not '{text}'"))),
        }
    }

    /// Takes one of a few words.
    ///
    /// # Errors
    /// When it is another word; the message lists the allowed ones.
    pub fn take_choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, OptionError> {
        let Some(text) = self.take(key) else { return Ok(None) };
        if let Some((_, value)) = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)) {
            return Ok(Some(*value));
        }
        let allowed = choices.iter().map(|(word, _)| format!("'{word}'")).collect::<Vec<_>>().join(", ");
        Err(OptionError::new(key, format!("option \"{key}\" must be one of {allowed}, not '{text}'")))
    }

    /// Takes a duration: `10s`, `100ms`, `5 minutes`, `1 hour 30 minutes`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn take_duration(&mut self, key: &str) -> Result<Option<Duration>, OptionError> {
        let Some(text) = self.take(key) else { return Ok(None) };
        match parse_duration(&text) {
            Some(duration) => Ok(Some(duration)),
            None => Err(OptionError::new(key, format!("option \"{key}\" must be a duration, not '{text}'"))
                .with_hint("durations are written as '10s', '500ms' or '1 hour 30 minutes'")),
        }
    }

    /// Takes a size in bytes: `1048576`, `1MiB`, `64 KB`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn take_bytes(&mut self, key: &str) -> Result<Option<u64>, OptionError> {
        let Some(text) = self.take(key) else { return Ok(None) };
        match parse_bytes(&text) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(OptionError::new(key, format!("option \"{key}\" must be a size in bytes, not '{text}'"))
                .with_hint("sizes are written as '1048576', '64KiB' (1024 bytes each) or '128MB' (1000 KB each)")),
        }
    }

    /// Takes names: `a, b` or `[a, b]`, each of which may stand in quotes.
    pub fn take_list(&mut self, key: &str) -> Option<Vec<String>> {
        let text = self.take(key)?;
        let text = text.trim();
        let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let names = inside.split(',').map(|name| name.trim().trim_matches(['"', '\'']));
        Some(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Takes all options whose names begin so.
    pub fn take_all(&mut self, prefix: &str) {
        self.left.retain(|key, _| !key.starts_with(prefix));
    }

    /// Notes that an option which was taken has no effect; `why` ends the sentence `option "x" has no effect ...`.
    pub fn without_effect(&mut self, key: &str, why: &str) {
        self.warnings.push(OptionError::new(key, format!("option \"{key}\" has no effect {why}")));
    }

    /// What was noted.
    pub fn warnings(&self) -> &[OptionError] {
        &self.warnings
    }

    /// Keys that were asked for, given or not: those that are known here.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().map(String::as_str)
    }

    /// Keys that nobody took.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.left.keys().map(String::as_str)
    }
}

/// A whole number of bytes, with a unit or without: `kB` and so on are powers of 1000, `KiB` and so on of 1024; in any
/// case.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Pairs of a whole number and a unit (ns, us, ms, s, m, h, d or the English words), added up.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let word = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let nanos: u64 = match &rest[..word] {
            "ns" | "nanosecond" | "nanoseconds" => 1,
            "us" | "µs" | "microsecond" | "microseconds" => 1_000,
            "ms" | "millisecond" | "milliseconds" => 1_000_000,
            "s" | "sec" | "second" | "seconds" => 1_000_000_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000_000,
            "h" | "hour" | "hours" => 3_600_000_000_000,
            "d" | "day" | "days" => 86_400_000_000_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_nanos(number.checked_mul(nanos)?))?;
        rest = rest[word..].trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        let cases = [
            ("1048576", 1 << 20),
            ("128MB", 128_000_000),
            ("64 KiB", 64 << 10),
            (" 2gib ", 2 << 30),
            ("7 bytes", 7),
            ("0", 0),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "MB", "1.5GB", "-1", "1 MB 2 KB", "10 parsec", "99999999999TiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn lists_may_have_brackets_and_quotes() {
        for text in ["a,userId", "[a, userId]", " [ 'a' , \"userId\" ] ", "[a,userId,]"] {
            let mut options = Options::new([("x".to_owned(), text.to_owned())]);
            assert_eq!(options.take_list("x"), Some(vec!["a".to_owned(), "userId".to_owned()]), "{text}");
        }
        let mut options = Options::new([("x".to_owned(), "[]".to_owned())]);
        assert_eq!((options.take_list("x"), options.take_list("y")), (Some(vec![]), None));
    }
}
