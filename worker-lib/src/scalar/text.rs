//! Functions of text. Lengths and positions count characters from 1; results are slices of their arguments, so none
//! of these allocates.

use super::Errors;

/// Byte offset of the character with number `n` (from 0); the length when there are no more.
#[inline]
fn offset(text: &str, n: usize) -> usize {
    if text.is_ascii() { n.min(text.len()) } else { text.char_indices().nth(n).map_or(text.len(), |(at, _)| at) }
}

/// Characters.
#[inline]
pub fn char_length(text: &str) -> i32 {
    text.chars().count() as i32
}

/// Bytes.
#[inline]
pub fn octet_length(text: &str) -> i32 {
    text.len() as i32
}

#[inline]
pub fn starts_with(text: &str, prefix: &str) -> bool {
    text.as_bytes().starts_with(prefix.as_bytes())
}

#[inline]
pub fn ends_with(text: &str, suffix: &str) -> bool {
    text.as_bytes().ends_with(suffix.as_bytes())
}

pub fn contains(text: &str, part: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some()
}

/// Position of the first occurrence, from 1; 0 when there is none.
pub fn strpos(text: &str, part: &str) -> i32 {
    memchr::memmem::find(text.as_bytes(), part.as_bytes()).map_or(0, |at| char_length(&text[..at]) + 1)
}

/// From position `start` (1 is the first) to the end.
pub fn substr(text: &str, start: i64) -> &str {
    let start = usize::try_from(start.saturating_sub(1)).unwrap_or(0);
    &text[offset(text, start)..]
}

/// `length` characters from position `start`; positions before the first count, and hold nothing. A negative length
/// is an error.
pub fn substr_len<'a>(text: &'a str, start: i64, length: i64, errors: &Errors) -> &'a str {
    if length < 0 {
        errors.user(&format!("negative substring length not allowed: {length}"));
        return "";
    }
    let start = start.saturating_sub(1);
    let end = usize::try_from(start.saturating_add(length)).unwrap_or(0);
    let start = usize::try_from(start).unwrap_or(0);
    let text = &text[..offset(text, end)];
    &text[offset(text, start)..]
}

/// The first `n` characters; for a negative `n` all but the last `-n`.
pub fn left(text: &str, n: i64) -> &str {
    &text[..split_point(text, n)]
}

/// The last `n` characters; for a negative `n` all but the first `-n`.
pub fn right(text: &str, n: i64) -> &str {
    match n {
        // Has no negation; as DataFusion, which takes off all characters.
        0 | i64::MIN => "",
        _ => &text[split_point(text, -n)..],
    }
}

/// Byte offset after `n` characters, or before the last `-n`.
fn split_point(text: &str, n: i64) -> usize {
    let count = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    if n >= 0 {
        offset(text, count)
    } else if text.is_ascii() {
        text.len().saturating_sub(count)
    } else {
        text.char_indices().nth_back(count - 1).map_or(0, |(at, _)| at)
    }
}

/// Without spaces at both ends.
#[inline]
pub fn trim(text: &str) -> &str {
    text.trim_matches(' ')
}

/// Without spaces at the start.
#[inline]
pub fn trim_start(text: &str) -> &str {
    text.trim_start_matches(' ')
}

/// Without spaces at the end.
#[inline]
pub fn trim_end(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// The field with number `n` (from 1; from the end for a negative `n`), or nothing. An empty separator does not
/// separate. `n` = 0 is an error.
pub fn split_part<'a>(text: &'a str, separator: &str, n: i64, errors: &Errors) -> &'a str {
    let Ok(skip) = usize::try_from(n.unsigned_abs().wrapping_sub(1)) else { return "" };
    match (n, separator.as_bytes()) {
        (0, _) => {
            errors.user("field position must not be zero");
            ""
        }
        (1 | -1, []) => text,
        (_, []) => "",
        (1.., [byte]) => text.split(char::from(*byte)).nth(skip).unwrap_or(""),
        (_, [byte]) => text.rsplit(char::from(*byte)).nth(skip).unwrap_or(""),
        (1.., _) => text.split(separator).nth(skip).unwrap_or(""),
        _ => text.rsplit(separator).nth(skip).unwrap_or(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    /// The characters whose positions (from 1) are in the range.
    fn positions(text: &str, from: i128, to: i128) -> String {
        let numbered = (1i128..).zip(text.chars());
        numbered.filter(|(at, _)| (from..to).contains(at)).map(|(_, c)| c).collect()
    }

    proptest! {
        #[test]
        fn slices_are_by_position(text in "[a-cé日🙂 ]{0,8}", start in -10i64..12, length in 0i64..12) {
            let errors = Errors::new();
            let (from, to) = (i128::from(start), i128::from(start + length));
            prop_assert_eq!(substr(&text, start), positions(&text, from, i128::MAX));
            prop_assert_eq!(substr_len(&text, start, length, &errors), positions(&text, from, to));
            prop_assert_eq!(errors.check(), Ok(()));

            let count = i128::from(char_length(&text));
            let n = i128::from(start);
            let head = if n >= 0 { n } else { count + n };
            prop_assert_eq!(left(&text, start), positions(&text, 1, head + 1));
            let tail = if n >= 0 { count - n } else { -n };
            prop_assert_eq!(right(&text, start), positions(&text, tail + 1, i128::MAX));
        }

        #[test]
        fn positions_are_found(text in "[abé]{0,10}", part in "[abé]{0,3}") {
            let (text_chars, part_chars) = (chars(&text), chars(&part));
            let found = (0..=text_chars.len()).find(|&at| text_chars[at..].starts_with(&part_chars));
            prop_assert_eq!(strpos(&text, &part), found.map_or(0, |at| at as i32 + 1));
            prop_assert_eq!(contains(&text, &part), found.is_some());
            prop_assert_eq!(starts_with(&text, &part), text_chars.starts_with(&part_chars));
            prop_assert_eq!(ends_with(&text, &part), text_chars.ends_with(&part_chars));
        }

        #[test]
        fn nothing_panics_at_the_limits(text in "[aé🙂]{0,4}", n in prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX])) {
            let errors = Errors::new();
            left(&text, n);
            right(&text, n);
            substr(&text, n);
            substr_len(&text, n, i64::MAX, &errors);
            substr_len(&text, n, n, &errors);
            split_part(&text, "a", n, &errors);
            split_part(&text, "", n, &errors);
        }
    }

    #[test]
    fn the_limits_of_left_and_right() {
        assert_eq!((left("abcde", i64::MIN), right("abcde", i64::MIN)), ("", ""));
        assert_eq!((left("abcde", i64::MAX), right("abcde", i64::MAX)), ("abcde", "abcde"));
        assert_eq!(substr_len("alphabet", -1, 4, &Errors::new()), "al");
        assert_eq!(substr_len("alphabet", 3, i64::MAX, &Errors::new()), "phabet");
    }

    #[test]
    fn fields_are_counted_from_both_ends() {
        let errors = Errors::new();
        let cases = [
            ("abc~@~def~@~ghi", "~@~", 2, "def"),
            ("abc~@~def~@~ghi", "~@~", -1, "ghi"),
            ("a,b,c", ",", 1, "a"),
            ("a,b,c", ",", 3, "c"),
            ("a,b,c", ",", 4, ""),
            ("a,b,c", ",", -3, "a"),
            ("a,b,c", ",", -4, ""),
            ("a,b,c", ",", i64::MIN, ""),
            ("", ",", 1, ""),
            ("a,b", "", 1, "a,b"),
            ("a,b", "", -1, "a,b"),
            ("a,b", "", 2, ""),
        ];
        for (text, separator, n, expected) in cases {
            assert_eq!(split_part(text, separator, n, &errors), expected, "{text:?} {separator:?} {n}");
        }
        assert_eq!(errors.check(), Ok(()));
        split_part("a", ",", 0, &errors);
        assert_eq!(errors.check().unwrap_err().message, "field position must not be zero");
        substr_len("a", 1, -1, &errors);
        assert_eq!(errors.check().unwrap_err().message, "negative substring length not allowed: -1");
    }

    #[test]
    fn only_spaces_are_trimmed() {
        assert_eq!(trim("  a\t "), "a\t");
        assert_eq!(trim_start("  a "), "a ");
        assert_eq!(trim_end("  a "), "  a");
        assert_eq!((char_length("é🙂"), octet_length("é🙂")), (2, 6));
    }
}
