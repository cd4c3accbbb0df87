//! What the tokens of a statement show before it is parsed: brackets, and how much there is of it.
//!
//! The parser answers an open bracket at the place where it gives up, which may be far behind the bracket; and a
//! parenthesis in FROM it reads as a sub-select first and as a join then, at each level of nesting anew. Both are
//! simple to see here.
//!
//! Invariant: of a statement that passes, types are nested at most [`MAX_ANGLES`] deep, and no sub-select is parsed
//! more than [`MAX_READINGS`] times for the sake of the parentheses around it.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span as SqlSpan, Token, TokenWithSpan, Word};

use crate::diagnostic::{Diagnostic, Position, code, span_of};

/// Longest statement. An operator makes a level of the syntax tree, which is dropped by recursion.
pub(crate) const MAX_TOKENS: usize = 200_000;

/// Longest name, in bytes: those that are unknown are compared with those that are not, letter by letter.
const MAX_NAME: usize = 1_000;

/// Deepest nesting of `STRUCT<...>` and `ARRAY<...>`, which the parser does not bound; far more than a type may have.
const MAX_ANGLES: usize = 100;

/// A mistake inside of `FROM ((SELECT ... FROM ((SELECT ...` is met twice as often with each such pair.
const MAX_READINGS: usize = 1 << 10;

/// A statement's brackets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brackets {
    /// How many tokens the statement has.
    pub(crate) tokens: usize,
    /// The last bracket that is not closed before the statement ends.
    pub(crate) open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    bracket: char,
    span: SqlSpan,
    /// How many around it are not closed either.
    around: usize,
}

impl Open {
    pub(crate) fn start(&self) -> Position {
        self.span.start.into()
    }

    pub(crate) fn diagnostic(&self) -> Diagnostic {
        let message = format!("syntax error: \"{}\" is never closed", self.bracket);
        let diagnostic = Diagnostic::error(code::SYNTAX, span_of(self.span), message);
        match self.around {
            0 => diagnostic,
            1 => diagnostic.with_detail("one more is open around it"),
            n => diagnostic.with_detail(format!("{n} more are open around it")),
        }
    }
}

/// An open bracket on the way through the tokens.
struct Level {
    bracket: char,
    span: SqlSpan,
    /// Parentheses in a row, this one included.
    run: usize,
    /// How many times the parser may read what is inside.
    readings: usize,
}

/// Looks at the statement with which `tokens` begin, up to its semicolon.
///
/// # Errors
/// A statement that would take the parser too long or too deep.
pub(crate) fn survey(tokens: &[TokenWithSpan]) -> Result<Brackets, Box<Diagnostic>> {
    let mut levels: Vec<Level> = Vec::new();
    let mut crossed = false;
    let mut angles = 0_usize;
    let mut count = 0;
    let mut before = &Token::SemiColon;
    for TokenWithSpan { token, span } in tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))) {
        match token {
            Token::SemiColon | Token::EOF => break,
            Token::Word(word) if word.value.len() > MAX_NAME => {
                let hint = format!("a name has at most {MAX_NAME} bytes");
                return Err(too_deep(*span, "the name is too long").with_hint(hint).into());
            }
            Token::LParen | Token::LBracket | Token::LBrace => {
                let outer = levels.last();
                let in_a_row = matches!((token, before), (Token::LParen, Token::LParen));
                let run = if in_a_row { outer.map_or(1, |outer| outer.run + 1) } else { 1 };
                let readings = outer.map_or(1, |outer| outer.readings);
                levels.push(Level { bracket: bracket(token), span: *span, run, readings });
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                // A bracket that closes another one is where the parser stops.
                crossed |= levels.pop().is_none_or(|level| closing(level.bracket) != *token);
            }
            Token::Word(word) if *before == Token::LParen && begins_query(word) => {
                if let Some(level) = levels.last_mut() {
                    level.readings = level.readings.saturating_mul(level.run);
                    if level.readings > MAX_READINGS {
                        return Err(too_deep(*span, "sub-selects in double parentheses are nested too deep")
                            .with_hint("one pair of parentheses around each is enough")
                            .into());
                    }
                }
            }
            Token::Lt if is_angled(before) => {
                angles += 1;
                if angles > MAX_ANGLES {
                    let hint = "use JSON for what is nested deeper";
                    return Err(too_deep(*span, "the type is nested too deep").with_hint(hint).into());
                }
            }
            Token::Gt => angles = angles.saturating_sub(1),
            Token::ShiftRight => angles = angles.saturating_sub(2),
            _ => {}
        }
        count += 1;
        if count > MAX_TOKENS {
            return Err(too_deep(*span, "the statement is too long").with_hint("split it with views").into());
        }
        before = token;
    }
    let open = match levels.last() {
        Some(level) if !crossed => Some(Open { bracket: level.bracket, span: level.span, around: levels.len() - 1 }),
        _ => None,
    };
    Ok(Brackets { tokens: count, open })
}

fn too_deep(span: SqlSpan, message: &str) -> Diagnostic {
    Diagnostic::error(code::TOO_DEEP, span_of(span), message)
}

fn bracket(token: &Token) -> char {
    match token {
        Token::LBracket => '[',
        Token::LBrace => '{',
        _ => '(',
    }
}

fn closing(bracket: char) -> Token {
    match bracket {
        '[' => Token::RBracket,
        '{' => Token::RBrace,
        _ => Token::RParen,
    }
}

/// What the parser takes for the begin of a query behind a parenthesis.
fn begins_query(word: &Word) -> bool {
    matches!(
        word.keyword,
        Keyword::SELECT
            | Keyword::WITH
            | Keyword::VALUES
            | Keyword::VALUE
            | Keyword::INSERT
            | Keyword::UPDATE
            | Keyword::DELETE
            | Keyword::MERGE
    )
}

/// Whether `<` opens the members of a type.
fn is_angled(before: &Token) -> bool {
    matches!(before, Token::Word(Word { keyword: Keyword::STRUCT | Keyword::ARRAY, quote_style: None, .. }))
}
