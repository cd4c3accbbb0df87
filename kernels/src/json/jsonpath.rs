//! JSONPath, the part of it that selects by name and position.
//!
//! | path | selects |
//! |---|---|
//! | `$` | the document |
//! | `.name`, `['name']`, `["name"]` | a member |
//! | `[n]` | an element; from the end when negative |
//! | `.*`, `[*]` | every member or element |
//! | `..name`, `..['name']`, `..[n]`, `..*` | the same, of the value and everything below it, in document order |
//!
//! A value is selected once, in however many ways a path leads to it: `$..a..a` has no more values than the document.
//!
//! Slices, unions, filters and functions are not supported, and said so when the path is parsed.

use std::borrow::Cow;
use std::cmp::Reverse;

use crate::json::scan::{Step, elements, find, members, says};

#[derive(Debug, PartialEq)]
pub(crate) struct JsonPath {
    segments: Vec<Segment>,
}

#[derive(Debug, PartialEq)]
struct Segment {
    /// Also of every value below.
    descend: bool,
    select: Select,
}

#[derive(Debug, PartialEq)]
enum Select {
    Name(String),
    Index(i64),
    All,
}

impl JsonPath {
    /// # Errors
    /// What is wrong with the path, or not supported.
    pub(crate) fn parse(text: &str) -> Result<JsonPath, String> {
        let wrong = |what: &str| format!("JSON path \"{text}\": {what}");
        let mut rest = text.trim().strip_prefix('$').ok_or_else(|| wrong("must begin with $"))?;
        let mut segments = vec![];
        while !rest.is_empty() {
            let (descend, after) = match rest.strip_prefix("..") {
                Some(after) => (true, after),
                None => (false, rest),
            };
            let (select, after) = if after.starts_with('[') {
                bracket(after).map_err(|what| wrong(&what))?
            } else {
                let after = if descend { Some(after) } else { after.strip_prefix('.') };
                let after = after.ok_or_else(|| wrong("expected . or [ after a step"))?;
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (name, after) = after.split_at(end);
                match name {
                    "" => return Err(wrong("a name is missing")),
                    "*" => (Select::All, after),
                    name if name.contains([']', '(', ')', '?', '\'', '"', ' ']) => {
                        return Err(wrong(&format!("\"{name}\" is not supported, write ['...'] for such a name")));
                    }
                    name => (Select::Name(name.to_owned()), after),
                }
            };
            segments.push(Segment { descend, select });
            rest = after;
        }
        Ok(JsonPath { segments })
    }

    /// The texts of the values that the path selects, in document order.
    pub(crate) fn select<'a>(&self, json: &'a str) -> Vec<&'a str> {
        let mut found: Vec<&str> = find(json, &[]).into_iter().collect();
        for segment in &self.segments {
            if segment.descend {
                found = outermost(found);
            }
            let mut next = vec![];
            for value in found {
                segment.apply(value, &mut next);
            }
            found = next;
        }
        found
    }
}

/// Without the values that are inside others of them: what is below those is below these.
fn outermost(mut values: Vec<&str>) -> Vec<&str> {
    let place = |value: &str| value.as_ptr().addr();
    values.sort_by_key(|value| (place(value), Reverse(value.len())));
    let mut end = 0;
    values.retain(|value| {
        let is_outside = place(value) >= end;
        end = end.max(place(value) + value.len());
        is_outside
    });
    values
}

impl Segment {
    fn apply<'a>(&self, value: &'a str, out: &mut Vec<&'a str>) {
        match &self.select {
            Select::Name(name) if !self.descend => {
                out.extend(find(value, &[Step::Name(Cow::Borrowed(name))]).filter(|_| value.starts_with('{')))
            }
            Select::Index(index) => out.extend(find(value, &[Step::Index(*index)])),
            _ => {}
        }
        if matches!(self.select, Select::Index(_)) && !self.descend {
            return;
        }
        let mut below = |name: Option<&'a str>, child: &'a str| {
            match &self.select {
                Select::All => out.push(child),
                Select::Name(wanted) if self.descend && name.is_some_and(|name| says(name, wanted)) => out.push(child),
                _ => {}
            }
            if self.descend {
                self.apply(child, out);
            }
        };
        if self.descend || self.select == Select::All {
            // The value has been scanned as a whole, so neither of these can stop half-way.
            if value.starts_with('{') {
                members(value, &mut |name, child| below(Some(name), child));
            } else if value.starts_with('[') {
                elements(value, &mut |child| below(None, child));
            }
        }
    }
}

/// `[n]`, `['name']`, `["name"]` or `[*]`, and what follows.
fn bracket(text: &str) -> Result<(Select, &str), String> {
    let inner = text[1..].trim_start();
    if let Some(quote) = inner.chars().next().filter(|first| matches!(first, '\'' | '"')) {
        let mut name = String::new();
        let mut letters = inner[1..].char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => name.extend(letters.next().map(|(_, escaped)| escaped)),
                letter if letter == quote => {
                    let after = inner[1 + at + 1..].trim_start();
                    let after = after.strip_prefix(']').ok_or("expected ] after a quoted name")?;
                    return Ok((Select::Name(name), after));
                }
                letter => name.push(letter),
            }
        }
        return Err("a quoted name does not end".to_owned());
    }
    let end = inner.find(']').ok_or("a bracket does not end")?;
    let (inside, after) = (inner[..end].trim(), &inner[end + 1..]);
    match inside {
        "*" => Ok((Select::All, after)),
        inside => match inside.parse() {
            Ok(index) => Ok((Select::Index(index), after)),
            Err(_) => Err(format!("[{inside}] is not supported, only a name, an index or *")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = r#"{"store": {"book": [{"title": "A", "price": 1}, {"title": "B", "price": 2, "in": {"title": "C"}}],
        "odd name": true}, "title": "top"}"#;

    fn select(path: &str) -> Vec<&'static str> {
        JsonPath::parse(path).unwrap().select(STORE)
    }

    #[test]
    fn paths() {
        assert_eq!(select("$.title"), ["\"top\""]);
        assert_eq!(select("$.store.book[0].title"), ["\"A\""]);
        assert_eq!(select("$.store.book[-1]['price']"), ["2"]);
        assert_eq!(select("$.store.book[*].title"), ["\"A\"", "\"B\""]);
        assert_eq!(select("$..title"), ["\"A\"", "\"B\"", "\"C\"", "\"top\""]);
        assert_eq!(select("$.store.book..title"), ["\"A\"", "\"B\"", "\"C\""]);
        assert_eq!(select("$..[1].price"), ["2"]);
        assert_eq!(select("$.store['odd name']"), ["true"]);
        assert_eq!(select("$.store.book[0].*"), ["\"A\"", "1"]);
        assert_eq!(select("$.store.book[0]..*"), ["\"A\"", "1"]);
        assert_eq!(select("$"), [STORE]);
        assert!(select("$.none.title").is_empty() && select("$.title[0]").is_empty());
        assert!(JsonPath::parse("$").unwrap().select("{broken").is_empty());
    }

    #[test]
    fn a_value_is_selected_once() {
        let json = r#"{"a": {"a": {"b": 1, "a": {"b": 2}}, "b": 3}, "c": {"a": {"b": 4}}}"#;
        let select = |path: &str| JsonPath::parse(path).unwrap().select(json);
        assert_eq!(select("$..a..b"), ["1", "2", "3", "4"]);
        assert_eq!(select("$..a..a..b"), ["1", "2"]);
        assert_eq!(select("$..*..a"), [r#"{"b": 1, "a": {"b": 2}}"#, r#"{"b": 2}"#, r#"{"b": 4}"#]);
        let deep = format!("{}1{}", r#"{"a":"#.repeat(400), "}".repeat(400));
        let path = format!("${}", "..a".repeat(20));
        assert_eq!(JsonPath::parse(&path).unwrap().select(&deep).len(), 381);
    }

    #[test]
    fn what_is_not_a_path_is_named() {
        for (path, expected) in [
            ("store", "must begin with $"),
            ("$store", "expected . or ["),
            ("$.a[?(@.b)]", "not supported"),
            ("$.a[1:2]", "not supported"),
            ("$.a[", "does not end"),
            ("$['a", "does not end"),
            ("$.", "a name is missing"),
            ("$..", "a name is missing"),
            ("$.length()", "not supported"),
        ] {
            let error = JsonPath::parse(path).unwrap_err();
            assert!(error.contains(expected) && error.contains(path), "{error}");
        }
    }
}
