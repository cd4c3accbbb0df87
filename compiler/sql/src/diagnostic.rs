//! What the front end says about a script that it cannot accept.
//!
//! A user's mistake is data: every pass returns all the diagnostics that it can find, each with the place in the
//! text. Wording follows PostgreSQL: lower case, no full stop, names the thing; the hint says the remedy.
//!
//! | codes | pass | said of |
//! |---|---|---|
//! | `E0001` | any | a bug of the compiler itself |
//! | `E0100` | parse | text that is not SQL |
//! | `E0101` | parse | an expression or query nested too deep |
//! | `E0102` | bind | a script that computes nothing |
//! | `E0200` | bind | a construct that is not supported |
//! | `E0301` | bind | an unknown table |
//! | `E0302` | bind | an unknown or ambiguous column |
//! | `E0303` | bind | an unknown function |
//! | `E0304` | bind | a name defined twice |
//! | `E0305` | bind | a table used against its direction, or before it is filled |
//! | `E0401` | bind, lower | wrong types or arguments |
//! | `E0402` | bind | an `INSERT` that does not fit its table |
//! | `E0403` | bind | grouping rules, misplaced aggregates |
//! | `E0404` | bind | a misused time window |
//! | `E0501` | bind | a wrong or unknown connector option |
//! | `E0502` | bind | a wrong column, watermark or metadata clause |
//! | `E0503` | bind | an unsupported type |
//! | `E0601` | lower | a construct that has no place in a pipeline |
//! | `W0100` | bind | (warning) an option or clause that has a newer form |
//! | `W0200` | bind | (warning) an option, clause or definition without effect |
//!
//! Not here: rendering with source lines and carets (the driver's).

use std::fmt;

use sqlparser::tokenizer::{Location, Span as SqlSpan};

use crate::hints;

/// A place in the text: 1-based; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: u64,
    pub column: u64,
}

/// From the first character to just after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: Position,
    pub end: Position,
}

impl Span {
    /// From the beginning of the first to the end of the last.
    pub(crate) fn union(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    Error,
    Warning,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable; the list is in this module's documentation.
    pub code: &'static str,
    pub severity: Severity,
    pub span: Option<Span>,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// The codes, by what they are said of.
pub mod code {
    pub const INTERNAL: &str = "E0001";
    pub const SYNTAX: &str = "E0100";
    pub const TOO_DEEP: &str = "E0101";
    pub const NO_QUERY: &str = "E0102";
    pub const UNSUPPORTED: &str = "E0200";
    pub const UNKNOWN_TABLE: &str = "E0301";
    pub const UNKNOWN_COLUMN: &str = "E0302";
    pub const UNKNOWN_FUNCTION: &str = "E0303";
    pub const DUPLICATE: &str = "E0304";
    pub const DIRECTION: &str = "E0305";
    pub const TYPES: &str = "E0401";
    pub const INSERT: &str = "E0402";
    pub const GROUPING: &str = "E0403";
    pub const WINDOW: &str = "E0404";
    pub const OPTION: &str = "E0501";
    pub const COLUMN: &str = "E0502";
    pub const TYPE: &str = "E0503";
    pub const NO_PLACE: &str = "E0601";
    pub const DEPRECATED: &str = "W0100";
    pub const NO_EFFECT: &str = "W0200";
}

impl Diagnostic {
    pub fn error(code: &'static str, span: Option<Span>, message: impl Into<String>) -> Self {
        Diagnostic { code, severity: Severity::Error, span, message: message.into(), detail: None, hint: None }
    }

    /// The script means something without it.
    pub fn warning(code: &'static str, span: Option<Span>, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn with_hint_opt(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// `X is not supported yet`, with what to do instead where [`hints`] knows that.
    pub(crate) fn unsupported(span: Option<Span>, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        let hint = hints::instead_of(&what).map(str::to_owned);
        Diagnostic::error(code::UNSUPPORTED, span, format!("{what} is not supported yet")).with_hint_opt(hint)
    }
}

/// `line:column: message`, for logs and tests.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(span) = self.span {
            write!(f, " {}:{}", span.start.line, span.start.column)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Position { line: location.line, column: location.column }
    }
}

/// The parser's span, unless it is the empty one that stands for "unknown".
pub(crate) fn span_of(span: SqlSpan) -> Option<Span> {
    if span.start.line == 0 || span == SqlSpan::empty() {
        return None;
    }
    Some(Span { start: span.start.into(), end: span.end.into() })
}

/// `Did you mean "x"?` for the candidate that is most like `name`, if one is near.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("Did you mean \"{candidate}\"?"))
}

/// The candidate that is most like `name`, if one is near.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let limit = match name.chars().count() {
        0..=3 => 1,
        4..=8 => 2,
        _ => 3,
    };
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = strsim::damerau_levenshtein(&name, &candidate.to_lowercase());
        // What has no letter in common is not alike.
        let limit = limit.min(candidate.chars().count().saturating_sub(1));
        if distance <= limit && best.is_none_or(|(least, word)| (distance, candidate) < (least, word)) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `a, b, c`: names for a hint, not more than a line of them.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 12;
    let mut names = names.into_iter();
    let mut list: Vec<&str> = names.by_ref().take(MOST).collect();
    if names.next().is_some() {
        list.push("...");
    }
    list.join(", ")
}
