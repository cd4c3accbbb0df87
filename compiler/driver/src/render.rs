//! Diagnostics for people: the line, a caret, the remedy; and for programs: JSON.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use compiler_sql::{Diagnostic, Position, Severity, Span};
use serde_json::{Value, json};

/// Text wider than this is cut around the caret.
const WIDTH: usize = 140;

/// Shows diagnostics against the text that they are about. Ends with a newline.
///
/// ```text
/// error[E0302]: column "auciton" does not exist
///  --> query.sql:3:8
///   |
/// 3 | SELECT auciton FROM bids
///   |        ^^^^^^^
///   |
///   = help: Did you mean "auction"?
/// ```
pub fn render(diagnostics: &[Diagnostic], file_name: &str, sql: &str, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(WIDTH);
    let shown: Vec<_> = diagnostics.iter().map(|diagnostic| show(diagnostic, file_name, sql, &renderer)).collect();
    shown.join("\n\n") + "\n"
}

fn show(diagnostic: &Diagnostic, file_name: &str, sql: &str, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut elements: Vec<Element<'_>> = Vec::new();
    match diagnostic.span {
        Some(span) => {
            let annotation = AnnotationKind::Primary.span(byte_range(sql, span));
            elements.push(Snippet::source(sql).path(file_name).annotation(annotation).into());
        }
        None => elements.push(Origin::path(file_name).into()),
    }
    elements.extend(diagnostic.detail.as_deref().map(|text| Level::NOTE.message(text).into()));
    elements.extend(diagnostic.hint.as_deref().map(|text| Level::HELP.message(text).into()));
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let report: [Group<'_>; 1] = [title.elements(elements)];
    renderer.render(&report)
}

/// Bytes that a span covers, at least one character unless it is at the end of the text. Spans come from the parser,
/// which need not be right: what lies outside of the text is moved into it.
fn byte_range(sql: &str, span: Span) -> Range<usize> {
    let start = byte_offset(sql, span.start);
    let end = byte_offset(sql, span.end).max(start);
    if end > start {
        return start..end;
    }
    let next = sql[start..].chars().next().filter(|c| *c != '\n');
    start..start + next.map_or(0, char::len_utf8)
}

/// Byte where a position is: of the end of its line if the line is shorter, of the text if it has fewer lines.
fn byte_offset(sql: &str, position: Position) -> usize {
    let mut start = 0;
    for _ in 1..position.line {
        match sql[start..].find('\n') {
            Some(length) => start += length + 1,
            None => return sql.len(),
        }
    }
    let line = sql[start..].split('\n').next().unwrap_or_default();
    let column = usize::try_from(position.column.saturating_sub(1)).unwrap_or(usize::MAX);
    start + line.char_indices().nth(column).map_or(line.len(), |(offset, _)| offset)
}

/// Diagnostics as an array of objects: `code`, `severity`, `message`, and `detail`, `hint`, `line`, `column`,
/// `end_line`, `end_column` where they are known.
pub fn to_json(diagnostics: &[Diagnostic]) -> Value {
    diagnostics.iter().map(diagnostic_json).collect()
}

fn diagnostic_json(diagnostic: &Diagnostic) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut object = json!({ "code": diagnostic.code, "severity": severity, "message": diagnostic.message });
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            object[key] = value;
        }
    };
    set("detail", diagnostic.detail.as_deref().map(Value::from));
    set("hint", diagnostic.hint.as_deref().map(Value::from));
    set("line", diagnostic.span.map(|span| span.start.line.into()));
    set("column", diagnostic.span.map(|span| span.start.column.into()));
    set("end_line", diagnostic.span.map(|span| span.end.line.into()));
    set("end_column", diagnostic.span.map(|span| span.end.column.into()));
    object
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(line: u64, column: u64, end_line: u64, end_column: u64) -> Span {
        Span { start: Position { line, column }, end: Position { line: end_line, column: end_column } }
    }

    fn unknown(span: Option<Span>) -> Diagnostic {
        Diagnostic::error("E0302", span, "column \"auciton\" does not exist")
            .with_hint("Did you mean \"auction\"?")
            .with_detail("table \"bids\" has no such column")
    }

    #[test]
    fn shows_code_place_line_caret_and_remedy() {
        let sql = "-- täglich\nSELECT\n  'ü', auciton\nFROM bids";
        let text = render(&[unknown(Some(at(3, 8, 3, 15)))], "query.sql", sql, false);
        let expected = "\
error[E0302]: column \"auciton\" does not exist
 --> query.sql:3:8
  |
3 |   'ü', auciton
  |        ^^^^^^^
  |
  = note: table \"bids\" has no such column
  = help: Did you mean \"auction\"?
";
        assert_eq!(text, expected);
        assert!(render(&[unknown(None)], "query.sql", sql, true).contains("\u{1b}["));
    }

    #[test]
    fn shows_all_and_what_has_no_place() {
        let both = [unknown(None), unknown(Some(at(1, 1, 1, 2)))];
        let text = render(&both, "query.sql", "SELECT", false);
        assert_eq!(text.matches("error[E0302]").count(), 2);
        assert!(text.contains("--> query.sql\n"), "{text}");
        assert!(text.contains(" --> query.sql:1:1\n"), "{text}");
    }

    #[test]
    fn json_has_what_is_known() {
        let value = to_json(&[unknown(Some(at(3, 8, 3, 15))), Diagnostic::error("E0102", None, "nothing")]);
        assert_eq!(value[0]["line"], 3);
        assert_eq!(value[0]["end_column"], 15);
        assert_eq!(value[1], json!({ "code": "E0102", "severity": "error", "message": "nothing" }));
    }

    proptest! {
        /// Any span on any text: the renderer is the last one who may fail.
        #[test]
        fn renders_anything(sql in "(?s).{0,60}", a in 0u64..6, b in 0u64..80, c in 0u64..6, d in 0u64..80) {
            let range = byte_range(&sql, at(a, b, c, d));
            prop_assert!(sql.is_char_boundary(range.start) && sql.is_char_boundary(range.end));
            prop_assert!(range.start <= range.end);
            prop_assert!(render(&[unknown(Some(at(a, b, c, d)))], "q", &sql, false).contains("E0302"));
        }
    }
}
