//! The strings of a `WITH (...)` clause, taken out one by one.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Options not taken yet. What is left when a table has been validated, nobody knows: an error.
#[derive(Clone, Debug, Default)]
pub struct Options {
    left: BTreeMap<String, String>,
}

/// An option that is missing or wrong.
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
        Options { left: options.into_iter().collect() }
    }

    /// Takes the option's text, if it is given.
    pub fn take(&mut self, key: &str) -> Option<String> {
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

    /// Keys that nobody took.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.left.keys().map(String::as_str)
    }
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
