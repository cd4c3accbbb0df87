//! A scanner that walks JSON text and hands out slices of it.
//!
//! It checks the grammar of what it passes over, to a nesting of [`MAX_DEPTH`]; everything it rejects is `None`, which
//! its callers turn into null. Text after the value that was asked for is not looked at.

use std::borrow::Cow;

use memchr::memchr2;

/// Deeper text is not JSON to us: the scanner recurses.
const MAX_DEPTH: usize = 512;

/// One step from a value into it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step<'a> {
    Name(Cow<'a, str>),
    /// Negative: from the end.
    Index(i64),
}

/// The text of the value that the steps lead to.
pub(crate) fn find<'a>(json: &'a str, steps: &[Step<'_>]) -> Option<&'a str> {
    let mut scanner = Scanner::new(json);
    for step in steps {
        match (step, scanner.peek()?) {
            (Step::Name(name), b'{') => scanner.enter_member(name)?,
            (Step::Name(name), b'[') => scanner.enter_element(name.parse().ok()?)?,
            (Step::Index(index), b'[') => scanner.enter_element(*index)?,
            _ => return None,
        }
    }
    scanner.value(0)
}

/// Calls `visit` with the name, still quoted, and the value of each member of an object.
pub(crate) fn members<'a>(json: &'a str, visit: &mut dyn FnMut(&'a str, &'a str)) -> Option<()> {
    Scanner::new(json).members(0, &mut |name, value| visit(name, value))
}

/// Calls `visit` with each element of an array.
pub(crate) fn elements<'a>(json: &'a str, visit: &mut dyn FnMut(&'a str)) -> Option<()> {
    Scanner::new(json).elements(0, &mut |value| visit(value))
}

/// What a quoted string says.
pub(crate) fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(quoted).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Whether a quoted string says `text`.
pub(crate) fn says(quoted: &str, text: &str) -> bool {
    let inner = quoted.as_bytes().get(1..quoted.len() - 1).unwrap_or_default();
    // An escape only makes a string longer than what it says.
    if inner == text.as_bytes() {
        return !text.contains('\\');
    }
    inner.len() > text.len() && inner.contains(&b'\\') && unquote(quoted).is_some_and(|said| said == text)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Scanner { text, at: 0 }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Past a value, whose text is returned.
    fn value(&mut self, depth: usize) -> Option<&'a str> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'{' => self.members(depth, &mut |_, _| ())?,
            b'[' => self.elements(depth, &mut |_| ())?,
            b'"' => self.string()?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        self.text.get(start..self.at)
    }

    fn members(&mut self, depth: usize, visit: &mut dyn FnMut(&'a str, &'a str)) -> Option<()> {
        self.expect(b'{')?;
        if depth == MAX_DEPTH {
            return None;
        }
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = self.name()?;
            let value = self.value(depth + 1)?;
            visit(name, value);
            if !self.continues(b'}')? {
                return Some(());
            }
        }
    }

    fn elements(&mut self, depth: usize, visit: &mut dyn FnMut(&'a str)) -> Option<()> {
        self.expect(b'[')?;
        if depth == MAX_DEPTH {
            return None;
        }
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            visit(self.value(depth + 1)?);
            if !self.continues(b']')? {
                return Some(());
            }
        }
    }

    /// Past a comma or the end of an object or array; whether there is more.
    fn continues(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            byte if byte == end => Some(false),
            _ => None,
        }
    }

    /// Past a member's name and colon; the name, quoted.
    fn name(&mut self) -> Option<&'a str> {
        self.peek()?;
        let start = self.at;
        self.string()?;
        let name = self.text.get(start..self.at)?;
        self.expect(b':')?;
        Some(name)
    }

    /// To the value of the first member of that name.
    fn enter_member(&mut self, wanted: &str) -> Option<()> {
        self.expect(b'{')?;
        loop {
            if says(self.name()?, wanted) {
                return Some(());
            }
            self.value(0)?;
            self.expect(b',')?;
        }
    }

    fn enter_element(&mut self, index: i64) -> Option<()> {
        let index = match usize::try_from(index) {
            Ok(index) => index,
            // Count first: the text is read once more, but only as far as the array goes.
            Err(_) => {
                let mut ahead = Scanner { text: self.text, at: self.at };
                let mut count = 0_i64;
                ahead.elements(0, &mut |_| count += 1)?;
                usize::try_from(count + index).ok()?
            }
        };
        self.expect(b'[')?;
        if self.peek()? == b']' {
            return None;
        }
        for _ in 0..index {
            self.value(0)?;
            self.expect(b',')?;
        }
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        loop {
            self.at += memchr2(b'"', b'\\', bytes.get(self.at..)?)?;
            match bytes[self.at] {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 2,
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        if self.text.as_bytes().get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let start = self.at;
        let digits = self.digits()?;
        // No leading zeros.
        if digits > 1 && self.text.as_bytes()[start] == b'0' {
            return None;
        }
        if self.text.as_bytes().get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.text.as_bytes().get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.as_bytes().get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Past at least one digit; how many.
    fn digits(&mut self) -> Option<usize> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn name(text: &str) -> Step<'_> {
        Step::Name(Cow::Borrowed(text))
    }

    #[test]
    fn steps() {
        let json = r#" {"a": {"b\"c": [1, {"d": null}, -2.5e3]}, "a": 2, "e": "x\ny"} "#;
        let at = |steps: &[Step]| find(json, steps);
        assert_eq!(at(&[name("a"), name("b\"c"), Step::Index(0)]), Some("1"));
        assert_eq!(at(&[name("a"), name("b\"c"), Step::Index(-1)]), Some("-2.5e3"));
        assert_eq!(at(&[name("a"), name("b\"c"), name("1"), name("d")]), Some("null"));
        assert_eq!(at(&[name("a"), name("b\"c"), Step::Index(3)]), None);
        assert_eq!(at(&[name("a"), name("b\"c"), Step::Index(-4)]), None);
        assert_eq!(at(&[name("e")]).and_then(unquote).as_deref(), Some("x\ny"));
        assert_eq!(at(&[name("zz")]), None);
        assert_eq!(at(&[name("e"), name("zz")]), None);
    }

    #[test]
    fn what_is_not_json_is_nothing() {
        let deep = "[".repeat(100_000);
        for json in ["", "{", "{\"a\"", "{\"a\":", "[1 2]", "01", "1.", "-", "tru", "\"", "\"\\", "[,]", "{,}", &deep] {
            assert_eq!(find(json, &[]), None, "{json}");
        }
        assert_eq!(find("[]", &[Step::Index(0)]), None);
        assert_eq!(find("{}", &[name("a")]), None);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // Such fractions are the same in binary and decimal, so that the parser cannot round them.
            any::<i32>().prop_map(|n| Value::from(f64::from(n) / 64.0)),
            "[a\"\\\\é\n]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[ab\"\\\\]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Every member and element that a parser finds, the scanner finds with the same text.
        #[test]
        fn agrees_with_a_parser(value in any_json(), pretty: bool) {
            let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let json = json.unwrap();
            prop_assert_eq!(find(&json, &[]), Some(json.as_str()));
            let check = |step: Step, expected: &Value| {
                let found = find(&json, &[step]).and_then(|text| serde_json::from_str::<Value>(text).ok());
                found.as_ref() == Some(expected)
            };
            match &value {
                Value::Object(object) => {
                    for (key, member) in object {
                        prop_assert!(check(name(key), member));
                    }
                    let mut names = vec![];
                    members(&json, &mut |quoted, _| names.push(unquote(quoted).unwrap().into_owned()));
                    prop_assert_eq!(names, object.keys().cloned().collect::<Vec<_>>());
                }
                Value::Array(items) => {
                    for (i, item) in items.iter().enumerate() {
                        prop_assert!(check(Step::Index(i as i64), item));
                        prop_assert!(check(Step::Index(i as i64 - items.len() as i64), item));
                    }
                }
                _ => {}
            }
        }

        /// Any text at all is read without a panic, and taken for JSON only when a parser takes it too.
        #[test]
        fn survives_any_text(text in "[\\[\\]{}\",:\\\\a0-9.eE+ntrufls -]{0,24}") {
            if let Some(found) = find(&text, &[]) {
                prop_assert!(serde_json::from_str::<Value>(found).is_ok() || found.contains(['\\', 'e', 'E']));
            }
        }
    }
}
