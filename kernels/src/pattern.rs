//! Text matched by a pattern: `LIKE`, `ILIKE`, `SIMILAR TO`, `~` and its kin; and `||`.
//!
//! All are null where an argument is. `LIKE` takes an escape character, a backslash if none is given. `SIMILAR TO` is
//! SQL's: the whole text must match, `%` and `_` are wildcards, and `| * + ? { } ( ) [ ]` mean what they do in regular
//! expressions. `~` finds a regular expression anywhere in the text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, StringArray, new_null_array};
use arrow::compute::kernels::comparison;
use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::compute::{not, regexp_is_match, regexp_is_match_scalar};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use schema::ScalarType;

use crate::call::{Block, Value};
use crate::param::Param;
use crate::represent::{arrow_message, represent};

type Bound = Result<Block, String>;
type Matcher = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

pub(crate) fn like(params: &[Param], _: &ScalarType) -> Bound {
    bind_like(params, comparison::like)
}

pub(crate) fn not_like(params: &[Param], _: &ScalarType) -> Bound {
    bind_like(params, comparison::nlike)
}

pub(crate) fn ilike(params: &[Param], _: &ScalarType) -> Bound {
    bind_like(params, comparison::ilike)
}

pub(crate) fn not_ilike(params: &[Param], _: &ScalarType) -> Bound {
    bind_like(params, comparison::nilike)
}

fn bind_like(params: &[Param], matches: Matcher) -> Bound {
    let escape = escape(params)?;
    Ok(Box::new(move |args, _| {
        let text = args[0].map(&as_text)?;
        let mut pattern = args[1].map(&as_text)?;
        if escape != Some('\\') {
            pattern = pattern.map(&|patterns| rewrite(patterns, &|text| with_backslash(text, escape)))?;
        }
        matches(text.datum(), pattern.datum()).map(|array| Arc::new(array) as ArrayRef).map_err(arrow_message)
    }))
}

/// The escape character of `(text, pattern)` or `(text, pattern, escape)`; an empty one turns escapes off.
fn escape(params: &[Param]) -> Result<Option<char>, String> {
    let given = match params {
        [_, _] => return Ok(Some('\\')),
        [_, _, given] => given,
        _ => return Err(format!("a pattern match takes 2 or 3 arguments, not {}", params.len())),
    };
    let Some(Ok(value)) = &given.constant else {
        return Err("the escape character must be a constant".to_owned());
    };
    let value = as_text(value)?;
    let mut letters = match value.is_null(0) {
        true => return Ok(Some('\\')),
        false => value.as_string::<i32>().value(0).chars(),
    };
    match (letters.next(), letters.next()) {
        (first, None) => Ok(first),
        _ => Err("the escape must be one character".to_owned()),
    }
}

fn as_text(array: &ArrayRef) -> Result<ArrayRef, String> {
    represent(array, &DataType::Utf8)
}

/// Each pattern through `change`; nulls stay.
fn rewrite(patterns: &ArrayRef, change: &dyn Fn(&str) -> String) -> Result<ArrayRef, String> {
    let patterns: StringArray = patterns.as_string::<i32>().iter().map(|pattern| pattern.map(change)).collect();
    Ok(Arc::new(patterns))
}

/// A `LIKE` pattern with its escape character replaced by a backslash.
fn with_backslash(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if Some(letter) == escape {
            match letters.next() {
                Some(next) => out.extend(['\\', next]),
                None => push_literal(&mut out, letter),
            }
        } else {
            push_literal(&mut out, letter);
        }
    }
    out
}

fn push_literal(out: &mut String, letter: char) {
    if letter == '\\' {
        out.push('\\');
    }
    out.push(letter);
}

pub(crate) fn similar_to(params: &[Param], _: &ScalarType) -> Bound {
    bind_similar(params, false)
}

pub(crate) fn not_similar_to(params: &[Param], _: &ScalarType) -> Bound {
    bind_similar(params, true)
}

fn bind_similar(params: &[Param], negated: bool) -> Bound {
    let escape = escape(params)?;
    Ok(Box::new(move |args, rows| {
        let patterns = args[1].map(&as_text)?;
        let patterns = patterns.map(&|array| rewrite(array, &|text| similar_regex(text, escape)))?;
        find(&args[0].map(&as_text)?, &patterns, None, negated, rows)
    }))
}

/// The regular expression for a `SIMILAR TO` pattern.
fn similar_regex(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::with_capacity(pattern.len() + 10);
    out.push_str("(?s)^(?:");
    let mut letters = pattern.chars();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            letter if Some(letter) == escape => {
                let literal = letters.next().unwrap_or(letter);
                push_regex_literal(&mut out, literal);
            }
            // A bracket in a class, but for its end, would start a nested one.
            '[' if in_class => out.push_str("\\["),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '[' => {
                in_class = true;
                out.push('[');
            }
            letter if in_class => match letter {
                '\\' | '&' | '~' => out.extend(['\\', letter]),
                letter => out.push(letter),
            },
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' | ']' => out.push(letter),
            letter => push_regex_literal(&mut out, letter),
        }
    }
    out.push_str(")$");
    out
}

fn push_regex_literal(out: &mut String, letter: char) {
    if letter.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(letter);
}

pub(crate) fn regex_match(params: &[Param], _: &ScalarType) -> Bound {
    bind_regex(params, None, false)
}

pub(crate) fn regex_imatch(params: &[Param], _: &ScalarType) -> Bound {
    bind_regex(params, Some("i"), false)
}

pub(crate) fn regex_not_match(params: &[Param], _: &ScalarType) -> Bound {
    bind_regex(params, None, true)
}

pub(crate) fn regex_not_imatch(params: &[Param], _: &ScalarType) -> Bound {
    bind_regex(params, Some("i"), true)
}

fn bind_regex(params: &[Param], flags: Option<&'static str>, negated: bool) -> Bound {
    if params.len() != 2 {
        return Err(format!("a regular expression match takes 2 arguments, not {}", params.len()));
    }
    Ok(Box::new(move |args, rows| find(&args[0].map(&as_text)?, &args[1].map(&as_text)?, flags, negated, rows)))
}

/// Whether each text holds a match of its regular expression.
fn find(text: &Value, patterns: &Value, flags: Option<&str>, negated: bool, rows: usize) -> Result<ArrayRef, String> {
    let text = text.array(rows)?;
    let text = text.as_string::<i32>();
    let found = match patterns {
        Value::Constant(pattern) => {
            let pattern = pattern.clone().into_inner();
            if pattern.is_null(0) {
                return Ok(new_null_array(&DataType::Boolean, rows));
            }
            regexp_is_match_scalar(text, pattern.as_string::<i32>().value(0), flags)
        }
        Value::Column(patterns) => {
            let flags = flags.map(|flags| StringArray::from(vec![flags; rows]));
            regexp_is_match(text, patterns.as_string::<i32>(), flags.as_ref())
        }
    };
    let found = found.map_err(arrow_message)?;
    let found = if negated { not(&found).map_err(arrow_message)? } else { found };
    Ok(Arc::new(found))
}

/// `a || b` of two texts, or of two binary values.
pub(crate) fn string_concat(params: &[Param], ret: &ScalarType) -> Bound {
    if params.len() != 2 {
        return Err(format!("|| takes 2 arguments, not {}", params.len()));
    }
    let ty = ret.to_arrow();
    if !matches!(ty, DataType::Utf8 | DataType::Binary) {
        return Err(format!("|| of type {ret} is not supported"));
    }
    Ok(Box::new(move |args, rows| {
        let (left, right) = (represent(&args[0].array(rows)?, &ty)?, represent(&args[1].array(rows)?, &ty)?);
        concat_elements_dyn(&left, &right).map_err(arrow_message)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Function, Kernel, function};

    fn matches(function: fn() -> Function, text: &str, rest: &[&str]) -> bool {
        let params: Vec<_> = rest.iter().map(|text| Param::utf8(text)).collect();
        let with_constant = [&[Param::column(ScalarType::Utf8, true)], &params[..]].concat();
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some(text), None]));
        let kernel = Kernel::new(function, &with_constant, &ScalarType::Bool).unwrap();
        let got = kernel.call(std::slice::from_ref(&column), 2).unwrap();
        assert!(got.is_null(1));
        // A column of the same pattern says the same.
        let mut with_column = with_constant;
        with_column[1] = Param::column(ScalarType::Utf8, true);
        let patterns: ArrayRef = Arc::new(StringArray::from(vec![rest[0]; 2]));
        let again = Kernel::new(function, &with_column, &ScalarType::Bool).unwrap().call(&[column, patterns], 2);
        assert_eq!(&got, &again.unwrap());
        got.as_boolean().value(0)
    }

    #[test]
    fn like_and_its_escapes() {
        assert!(matches(function::like, "50% off", &["50\\% %"]));
        assert!(!matches(function::like, "500 off", &["50\\% %"]));
        assert!(matches(function::like, "50% off", &["50!% %", "!"]));
        assert!(!matches(function::like, "500 off", &["50!% %", "!"]));
        assert!(matches(function::like, "a\\b", &["a\\_", "!"]) == matches(function::like, "a\\b", &["a\\_", ""]));
        assert!(matches(function::ilike, "ÄB", &["ä_"]));
        assert!(matches(function::not_like, "abc", &["ab"]));
        assert!(!matches(function::not_ilike, "ABC", &["ab_"]));
    }

    #[test]
    fn similar_to_is_anchored_and_has_wildcards() {
        assert!(matches(function::similar_to, "abc", &["%(b|d)%"]));
        assert!(matches(function::similar_to, "abc", &["_b_"]));
        assert!(!matches(function::similar_to, "abc", &["b"]));
        assert!(matches(function::similar_to, "a.c", &["a.c"]));
        assert!(!matches(function::similar_to, "abc", &["a.c"]));
        assert!(matches(function::similar_to, "50%", &["[0-9]+#%", "#"]));
        assert!(matches(function::similar_to, "a\nb", &["a%"]));
        assert!(matches(function::not_similar_to, "abc", &["b"]));
    }

    #[test]
    fn regular_expressions() {
        assert!(matches(function::regex_match, "abc", &["b+"]));
        assert!(!matches(function::regex_match, "ABC", &["b+"]));
        assert!(matches(function::regex_imatch, "ABC", &["b+"]));
        assert!(matches(function::regex_not_match, "ABC", &["b+"]));
        assert!(!matches(function::regex_not_imatch, "ABC", &["b+"]));
        let params = [Param::column(ScalarType::Utf8, true), Param::utf8("(")];
        let kernel = Kernel::new(function::regex_match, &params, &ScalarType::Bool).unwrap();
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        assert!(!kernel.call(&[column], 1).unwrap_err().contains("error:\n"));
    }

    #[test]
    fn concatenation_is_null_when_a_side_is() {
        let params = [Param::column(ScalarType::Utf8, true), Param::utf8("-")];
        let kernel = Kernel::new(function::string_concat, &params, &ScalarType::Utf8).unwrap();
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let got = kernel.call(&[column], 2).unwrap();
        assert_eq!(got.as_string::<i32>(), &StringArray::from(vec![Some("a-"), None]));
    }
}
