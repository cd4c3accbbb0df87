//! Hints for syntax errors: words that are likely misspelt keywords, and what is likely missing or too much.
//!
//! The parser says what it expected where it could not go on. The fault is often a word before: in `SELECT a FORM t` it
//! takes `FORM` for the name of `a` and trips over `t`. So the words around the place are looked at.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::diagnostic::{Diagnostic, Position, code};

/// Keywords that begin a clause, which is where a misspelt one is taken for a name.
const CLAUSES: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "UNION",
    "INSERT",
    "INTO",
    "CREATE",
    "TABLE",
    "VIEW",
    "WITH",
    "WATERMARK",
    "GENERATED",
    "METADATA",
    "INTERVAL",
];

/// Parts of messages, and the hint. The first that fits counts.
const HINTS: &[(&str, &str)] = &[
    ("nterminated string literal", "close the text with ', and write a quote inside it twice: 'it''s'"),
    ("close delimiter '\"'", "close the name with \""),
    ("multi-line comment", "close the comment with */"),
    ("is never closed", "close it, or leave it out"),
    ("expected ),", "a comma, an operator or a parenthesis before it is missing"),
    ("expected ],", "a comma, an operator or a bracket before it is missing"),
    ("but the text ends", "the statement is not complete"),
    ("expected an expression, found )", "a parenthesis is too many, or an expression is missing before it"),
    ("expected end of statement, found )", "a parenthesis is too many"),
    ("expected end of statement", "a comma, an operator or a semicolon before it is missing"),
    ("expected an expression", "an expression is missing here"),
    ("expected an SQL statement", "a statement begins with CREATE, INSERT, SELECT or SET"),
    ("a table name without a schema", "all tables of a script are in one schema: use the bare name"),
];

/// Gives every syntax error a hint.
pub(crate) fn explain(sql: &str, mut errors: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap_or_default();
    let tokens: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
    for error in errors.iter_mut().filter(|error| error.code == code::SYNTAX && error.hint.is_none()) {
        error.hint = Some(hint(error, &tokens));
    }
    errors
}

fn hint(error: &Diagnostic, tokens: &[TokenWithSpan]) -> String {
    // The tokens before the place; at the end of the text, all.
    let start = error.span.map(|span| span.start);
    let place = start.and_then(|start| tokens.iter().position(|token| Position::from(token.span.start) == start));
    let before = &tokens[..place.unwrap_or(tokens.len())];
    let mut around = before.last().into_iter().chain(place.and_then(|place| tokens.get(place)));
    if let Some((word, keyword)) = around.find_map(|token| misspelt(token, &error.message)) {
        return format!("Did you mean \"{keyword}\" in place of \"{word}\"?");
    }
    let is_comma = |token: &TokenWithSpan| token.token == Token::Comma;
    if let [.., comma, from] = before
        && is_comma(comma)
        && keyword(from) == Some(Keyword::FROM)
    {
        return "leave out the comma before FROM".to_owned();
    }
    let ends_list = |token: &TokenWithSpan| {
        matches!(token.token, Token::RParen | Token::RBracket | Token::SemiColon)
            || keyword(token).is_some_and(|keyword| keyword != Keyword::NoKeyword)
    };
    if before.last().is_some_and(is_comma) && place.and_then(|place| tokens.get(place)).is_none_or(ends_list) {
        return "leave out the comma before it".to_owned();
    }
    let known = HINTS.iter().find(|(part, _)| error.message.contains(part));
    known.map_or("docs/sql.md shows the statements", |(_, hint)| *hint).to_owned()
}

/// A word and the keyword that it is likely to be: one that begins a clause, or one that was expected there.
fn misspelt(token: &TokenWithSpan, message: &str) -> Option<(String, String)> {
    let Token::Word(word) = &token.token else { return None };
    let upper = word.value.to_uppercase();
    let is_name = word.quote_style.is_none() && word.keyword == Keyword::NoKeyword;
    if !is_name || upper.chars().count() < 4 || CLAUSES.contains(&upper.as_str()) {
        return None;
    }
    let expected = message.split_once("expected ").map_or("", |(_, rest)| rest);
    let expected = expected.rsplit_once(", found ").map_or(expected, |(expected, _)| expected);
    let expected = expected.split_whitespace().filter(|word| word.chars().all(|c| c.is_ascii_uppercase()));
    let limit = if upper.chars().count() == 4 { 1 } else { 2 };
    let near = |keyword: &&str| keyword.len() >= 4 && strsim::damerau_levenshtein(&upper, keyword) <= limit;
    let keyword = expected.chain(CLAUSES.iter().copied()).find(near)?;
    Some((word.value.clone(), keyword.to_owned()))
}

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn hint(sql: &str) -> String {
        let errors = parse(sql).unwrap_err();
        errors[0].hint.clone().unwrap()
    }

    #[test]
    fn misspelt_keywords_are_found_before_the_place_and_at_it() {
        for (sql, expected) in [
            ("SELECT id FORM orders", "Did you mean \"FROM\" in place of \"FORM\"?"),
            ("SELECT id FROM orders wehre id > 3", "Did you mean \"WHERE\" in place of \"wehre\"?"),
            ("SELECT id FROM orders GRUOP BY id", "Did you mean \"GROUP\" in place of \"GRUOP\"?"),
            ("SELEC id FROM orders", "Did you mean \"SELECT\" in place of \"SELEC\"?"),
        ] {
            assert_eq!(hint(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        for (sql, expected) in [
            ("SELECT id, FROM orders", "leave out the comma before FROM"),
            ("SELECT id FROM orders WHERE id IN (1 2)", "a comma, an operator or a parenthesis before it is missing"),
            ("SELECT id FROM orders WHERE", "the statement is not complete"),
            ("SELECT 'abc", "close the text with ', and write a quote inside it twice: 'it''s'"),
        ] {
            assert_eq!(hint(sql), expected, "{sql}");
        }
    }
}
