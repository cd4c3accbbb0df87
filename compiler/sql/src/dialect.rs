//! The SQL dialect: PostgreSQL's lexical rules and operators, with the types and clauses of streaming DDL.
//!
//! It delegates to the parser's PostgreSQL dialect and turns on what that lacks (`STRUCT<...>`), so that no fork
//! of the parser is needed. Clauses that the parser does not know at all (`WATERMARK FOR`, `METADATA FROM`) are
//! parsed by [`crate::parse`], which handles `CREATE TABLE` itself.
//!
//! It also bounds the parser's work. Where a word may begin several things the parser tries them one after the other
//! (`cast(...)` is a cast, else a function), and does so anew at each level of nesting: a mistake inside 30 casts is
//! met 2^30 times. All expressions pass [`Effort`], which remembers where none begins, and counts.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};

#[derive(Debug)]
pub(crate) struct StreamingDialect {
    effort: Effort,
}

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

impl StreamingDialect {
    /// `depth`: how deep expressions may be nested.
    pub(crate) fn new(depth: usize) -> Self {
        StreamingDialect { effort: Effort { deepest: depth, ..Effort::default() } }
    }

    /// A statement of so many tokens begins.
    pub(crate) fn begin(&self, tokens: usize) {
        self.effort.begin(tokens);
    }

    /// Why the statement was given up, if it was.
    pub(crate) fn given_up(&self) -> Option<GivenUp> {
        let because = self.effort.given_up.get()?;
        Some(GivenUp { because, token: self.effort.farthest.get() })
    }
}

/// Where the parser was stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUp {
    pub(crate) because: Because,
    /// The index of a token: no expression was tried behind it.
    pub(crate) token: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Because {
    /// Expressions are nested too deep.
    Depth,
    /// The text was tried in too many ways.
    Tries,
}

/// Tries that every statement has, and those for each token. Without backtracking a token takes at most one.
const TRIES: usize = 20_000;
const TRIES_PER_TOKEN: usize = 20;

/// What parsing the expressions of a statement has taken.
///
/// Invariant: once given up, every expression fails, so that the parser comes to its end soon.
#[derive(Debug, Default)]
struct Effort {
    deepest: usize,
    left: Cell<usize>,
    depth: Cell<usize>,
    farthest: Cell<usize>,
    given_up: Cell<Option<Because>>,
    /// Whether the call that comes next is made here, from inside the first.
    own: Cell<bool>,
    /// By index of the token before them: places where no expression begins.
    failed: RefCell<HashMap<usize, ParserError>>,
}

impl Effort {
    fn begin(&self, tokens: usize) {
        self.left.set(TRIES.saturating_add(tokens.saturating_mul(TRIES_PER_TOKEN)));
        self.depth.set(0);
        self.farthest.set(0);
        self.given_up.set(None);
        self.own.set(false);
        self.failed.borrow_mut().clear();
    }

    /// What the parser would do by itself.
    fn prefix(&self, parser: &mut Parser) -> Result<Expr, ParserError> {
        let place = parser.get_current_index();
        let failed = self.failed.borrow().get(&place).cloned();
        if let Some(error) = failed {
            return Err(error);
        }
        let because = match (self.left.get(), self.depth.get() >= self.deepest) {
            (0, _) => Some(Because::Tries),
            (_, true) => Some(Because::Depth),
            _ => None,
        };
        if self.given_up.get().is_none() {
            self.given_up.set(because);
        }
        if self.given_up.get().is_some() {
            return Err(ParserError::RecursionLimitExceeded);
        }
        self.left.set(self.left.get() - 1);
        self.farthest.set(self.farthest.get().max(place));
        self.depth.set(self.depth.get() + 1);
        self.own.set(true);
        let parsed = parser.parse_prefix();
        self.depth.set(self.depth.get() - 1);
        match &parsed {
            Ok(_) => {}
            // The parser has a count of its own, of everything that is nested.
            Err(ParserError::RecursionLimitExceeded) => {
                if self.given_up.get().is_none() {
                    self.given_up.set(Some(Because::Depth));
                }
            }
            Err(error) => {
                self.failed.borrow_mut().insert(place, error.clone());
            }
        }
        parsed
    }
}

impl Dialect for StreamingDialect {
    // The parser asks for the concrete type where a rule has no method of its own.
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if self.effort.own.replace(false) {
            return None;
        }
        Some(self.effort.prefix(parser))
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRES.is_custom_operator_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        POSTGRES.prec_value(prec)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(keyword)
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    // The tokenizer makes the JSON operator `?` only for dialects with geometric types.
    fn supports_geometric_types(&self) -> bool {
        true
    }

    fn supports_notnull_operator(&self) -> bool {
        true
    }

    fn supports_interval_options(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    fn supports_explain_with_utility_options(&self) -> bool {
        true
    }
}
