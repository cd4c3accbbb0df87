//! Text to statements.
//!
//! The text is split into tokens once. Statements that the parser knows are its own; `CREATE TABLE` is parsed here,
//! because its streaming clauses exist in no dialect. After an error parsing goes on behind the next semicolon, so
//! that all statements' errors are told at once.
//!
//! Invariant: expressions and queries of a [`Script`] are nested at most [`MAX_DEPTH`] deep, so that the passes
//! behind may recurse over them, and no statement takes longer to plan than [`crate::cost`] allows.

use std::fmt;
use std::ops::ControlFlow;

use sqlparser::ast::{
    ArrayElemTypeDef, CreateTableOptions, DataType, Expr, Ident, ObjectName, Query, Set, SetExpr, Spanned,
    Statement as SqlStatement, TableObject, TypedString, Visit, Visitor,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span as SqlSpan, Token, TokenWithSpan, Tokenizer, Word};

use crate::brackets::{Brackets, survey};
use crate::cost::Costs;
use crate::diagnostic::{Diagnostic, Span, code, span_of};
use crate::dialect::{Because, GivenUp, StreamingDialect};
use crate::stack::on_big_stack;
use crate::{hints, syntax};

/// Deepest nesting of expressions, and longest chain of `UNION ALL` or of one operator.
pub const MAX_DEPTH: usize = 400;

/// Deepest nesting of lists and structs in a type.
const MAX_TYPE_DEPTH: usize = 30;

/// Nobody reads more.
const MAX_ERRORS: usize = 100;

/// The parser counts its own descents: one for each expression, sub-select and FROM inside another.
const PARSER_DEPTH: usize = 200;

/// The statements of a query file.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    CreateTable(CreateTable),
    CreateView {
        name: Ident,
        if_not_exists: bool,
        columns: Vec<Ident>,
        query: Box<Query>,
    },
    Insert {
        table: Ident,
        columns: Vec<Ident>,
        query: Box<Query>,
        span: Option<Span>,
    },
    Select {
        query: Box<Query>,
        span: Option<Span>,
    },
    Set {
        name: String,
        values: Vec<Expr>,
        span: Option<Span>,
    },
    /// Understood, but not ours to do.
    Unsupported {
        diagnostic: Diagnostic,
        text: String,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: Ident,
    pub(crate) if_not_exists: bool,
    pub(crate) temporary: bool,
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) watermarks: Vec<WatermarkClause>,
    pub(crate) options: Vec<OptionDef>,
    /// `AS SELECT ...`
    pub(crate) query: Option<Box<Query>>,
    /// `PARTITIONED BY`
    pub(crate) partitioned: Option<Span>,
}

#[derive(Clone, Debug)]
pub(crate) struct ColumnDef {
    pub(crate) name: Ident,
    pub(crate) ty: DataType,
    pub(crate) ty_span: Option<Span>,
    pub(crate) not_null: bool,
    pub(crate) primary_key: bool,
    pub(crate) generated: Option<Expr>,
    /// The key, and where it stands.
    pub(crate) metadata: Option<(String, Option<Span>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct WatermarkClause {
    pub(crate) column: Ident,
    pub(crate) expr: Option<Expr>,
    pub(crate) span: Option<Span>,
}

#[derive(Clone, Debug)]
pub(crate) struct OptionDef {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) key_span: Option<Span>,
    pub(crate) value_span: Option<Span>,
}

/// Unquoted identifiers are lower case.
pub(crate) fn normalize(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Splits a script into statements.
///
/// # Errors
/// Every statement's syntax error.
pub fn parse(sql: &str) -> Result<Script, Vec<Diagnostic>> {
    on_big_stack(|| parse_here(sql)).map_err(|errors| hints::complete(syntax::explain(sql, errors)))
}

fn parse_here(sql: &str) -> Result<Script, Vec<Diagnostic>> {
    let dialect = StreamingDialect::new(PARSER_DEPTH);
    let tokens = match Tokenizer::new(&dialect, sql).tokenize_with_location() {
        Ok(tokens) => tokens,
        Err(error) => {
            let span = SqlSpan::new(error.location, error.location);
            return Err(vec![syntax_error(span_of(span), &error.message)]);
        }
    };
    let parser = Parser::new(&dialect).with_recursion_limit(PARSER_DEPTH).with_tokens_with_locations(tokens.clone());
    let mut reader = Reader { parser, tokens, dialect: &dialect };
    let mut costs = Costs::default();
    let mut statements = Vec::new();
    let mut errors = Vec::new();
    loop {
        while reader.parser.consume_token(&Token::SemiColon) {}
        if reader.parser.peek_token_ref().token == Token::EOF || errors.len() >= MAX_ERRORS {
            break;
        }
        let begin = reader.parser.get_current_index();
        match reader.statement(begin) {
            Ok(statement) => match costs.statement(&statement) {
                None => statements.push(statement),
                Some(diagnostic) => errors.push(diagnostic),
            },
            Err(diagnostic) => {
                errors.push(*diagnostic);
                reader.skip_statement(begin);
                continue;
            }
        }
        if !matches!(reader.parser.peek_token_ref().token, Token::SemiColon | Token::EOF) {
            let found = reader.parser.peek_token();
            errors.push(syntax_error(span_of(found.span), &format!("Expected: end of statement, found: {found}")));
            reader.skip_statement(begin);
        }
    }
    if errors.is_empty() { Ok(Script { statements }) } else { Err(errors) }
}

struct Reader<'a> {
    parser: Parser<'a>,
    tokens: Vec<TokenWithSpan>,
    dialect: &'a StreamingDialect,
}

impl Reader<'_> {
    /// To the end of a statement. `begin`: the current token before it, which may be the semicolon of the one before.
    fn skip_statement(&mut self, begin: usize) {
        // The token that was one too many may have been the semicolon.
        let moved = self.parser.get_current_index() > begin;
        if moved && self.parser.get_current_token().token == Token::SemiColon {
            return;
        }
        while !matches!(self.parser.peek_token_ref().token, Token::SemiColon | Token::EOF) {
            self.parser.advance_token();
        }
    }

    fn statement(&mut self, begin: usize) -> Result<Statement, Box<Diagnostic>> {
        let start = self.parser.peek_token_ref().span;
        let rest = self.tokens.get(begin..).unwrap_or_default();
        let brackets = survey(match rest.split_first() {
            Some((first, behind)) if first.token == Token::SemiColon => behind,
            _ => rest,
        })?;
        self.dialect.begin(brackets.tokens);
        if let Some(skip) = self.at_create_table() {
            let table = self.create_table(skip).map_err(|error| Box::new(self.explain(&error, &brackets)))?;
            return match too_deep_in_table(&table) {
                None => Ok(Statement::CreateTable(table)),
                Some(diagnostic) => Err(Box::new(placed(diagnostic, start))),
            };
        }
        let leader = self.parser.peek_token().to_string().to_uppercase();
        let parsed = self.parser.parse_statement().map_err(|error| Box::new(self.explain(&error, &brackets)))?;
        // Before anything is printed, which goes by recursion.
        if let Some(diagnostic) = too_deep(&parsed) {
            return Err(Box::new(placed(diagnostic, start)));
        }
        let end = self.parser.get_current_token().span;
        convert(parsed, span_of(start.union(&end)), span_of(start), &leader)
    }

    /// At `CREATE [TEMPORARY] TABLE`: how many words that is, and whether it is temporary.
    fn at_create_table(&self) -> Option<(usize, bool)> {
        let keyword = |n: usize| match &self.parser.peek_nth_token_ref(n).token {
            Token::Word(Word { keyword, .. }) => *keyword,
            _ => Keyword::NoKeyword,
        };
        match (keyword(0), keyword(1), keyword(2)) {
            (Keyword::CREATE, Keyword::TABLE, _) => Some((2, false)),
            (Keyword::CREATE, Keyword::TEMPORARY | Keyword::TEMP, Keyword::TABLE) => Some((3, true)),
            _ => None,
        }
    }

    fn create_table(&mut self, (skip, temporary): (usize, bool)) -> Result<CreateTable, ParserError> {
        for _ in 0..skip {
            self.parser.advance_token();
        }
        let if_not_exists = self.parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let name = self.parser.parse_object_name(false)?;
        let mut table = CreateTable {
            name: single(&name).ok_or_else(|| self.error_here("Expected: a table name without a schema"))?,
            if_not_exists,
            temporary,
            columns: vec![],
            watermarks: vec![],
            options: vec![],
            query: None,
            partitioned: None,
        };
        if self.parser.consume_token(&Token::LParen) && !self.parser.consume_token(&Token::RParen) {
            self.table_elements(&mut table)?;
        }
        if self.word("PARTITIONED") {
            self.parser.expect_keyword(Keyword::BY)?;
            table.partitioned = span_of(self.parser.get_current_token().span);
            self.parser.expect_token(&Token::LParen)?;
            self.parser.parse_comma_separated(Parser::parse_expr)?;
            self.parser.expect_token(&Token::RParen)?;
        }
        if self.parser.parse_keyword(Keyword::WITH) {
            self.parser.expect_token(&Token::LParen)?;
            loop {
                table.options.push(self.option()?);
                if !self.parser.consume_token(&Token::Comma) || self.parser.peek_token_ref().token == Token::RParen {
                    break;
                }
            }
            self.parser.expect_token(&Token::RParen)?;
        }
        if self.parser.parse_keyword(Keyword::AS) {
            table.query = Some(self.parser.parse_query()?);
        }
        Ok(table)
    }

    /// Columns and constraints, up to and with the closing parenthesis.
    fn table_elements(&mut self, table: &mut CreateTable) -> Result<(), ParserError> {
        loop {
            if self.at_words(&["WATERMARK", "FOR"]) {
                let start = self.parser.next_token().span;
                self.parser.advance_token();
                let column = self.parser.parse_identifier()?;
                let expr = if self.parser.parse_keyword(Keyword::AS) { Some(self.parser.parse_expr()?) } else { None };
                let span = span_of(start.union(&self.parser.get_current_token().span));
                table.watermarks.push(WatermarkClause { column, expr, span });
            } else if self.parser.parse_keywords(&[Keyword::PRIMARY, Keyword::KEY]) {
                for ident in
                    self.parser.parse_parenthesized_column_list(sqlparser::parser::IsOptional::Mandatory, false)?
                {
                    let key = normalize(&ident);
                    match table.columns.iter_mut().find(|column| normalize(&column.name) == key) {
                        Some(column) => column.primary_key = true,
                        None => return Err(self.error_here(&format!("Expected: a column of the table, found: {key}"))),
                    }
                }
            } else {
                let column = self.column()?;
                table.columns.push(column);
            }
            if self.parser.consume_token(&Token::Comma) {
                if self.parser.consume_token(&Token::RParen) {
                    return Ok(());
                }
                continue;
            }
            self.parser.expect_token(&Token::RParen)?;
            return Ok(());
        }
    }

    fn column(&mut self) -> Result<ColumnDef, ParserError> {
        let name = self.parser.parse_identifier()?;
        let start = self.parser.peek_token_ref().span;
        let ty = self.parser.parse_data_type()?;
        let ty_span = span_of(start.union(&self.parser.get_current_token().span));
        let mut column =
            ColumnDef { name, ty, ty_span, not_null: false, primary_key: false, generated: None, metadata: None };
        loop {
            if self.parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
                column.not_null = true;
            } else if self.parser.parse_keyword(Keyword::NULL) {
                column.not_null = false;
            } else if self.parser.parse_keywords(&[Keyword::PRIMARY, Keyword::KEY]) {
                column.primary_key = true;
            } else if self.parser.parse_keyword(Keyword::GENERATED) {
                self.parser.expect_keywords(&[Keyword::ALWAYS, Keyword::AS])?;
                self.parser.expect_token(&Token::LParen)?;
                column.generated = Some(self.parser.parse_expr()?);
                self.parser.expect_token(&Token::RParen)?;
                let _ = self.parser.parse_keyword(Keyword::STORED) || self.parser.parse_keyword(Keyword::VIRTUAL);
            } else if self.at_words(&["METADATA", "FROM"]) {
                self.parser.advance_token();
                self.parser.advance_token();
                let span = span_of(self.parser.peek_token_ref().span);
                column.metadata = Some((self.parser.parse_literal_string()?, span));
            } else {
                return Ok(column);
            }
        }
    }

    /// `key = value`; the key may be dotted or quoted, the value a string, number, word or interval.
    fn option(&mut self) -> Result<OptionDef, ParserError> {
        let first = self.parser.next_token();
        let mut key = match &first.token {
            Token::Word(word) => word.value.clone(),
            Token::SingleQuotedString(text) => text.clone(),
            _ => return self.parser.expected("an option name", first),
        };
        let mut key_span = first.span;
        while self.parser.consume_token(&Token::Period) {
            let part = self.parser.parse_identifier()?;
            key = format!("{key}.{}", part.value);
            key_span = key_span.union(&part.span);
        }
        self.parser.expect_token(&Token::Eq)?;
        let start = self.parser.peek_token_ref().span;
        let value = match self.parser.parse_expr()? {
            Expr::Value(value) => match value.value.clone().into_string() {
                Some(text) => text,
                None => value.to_string(),
            },
            Expr::Interval(interval) => match *interval.value {
                Expr::Value(ref value) => {
                    let text = value.value.clone().into_string().unwrap_or_else(|| value.to_string());
                    match interval.leading_field {
                        Some(field) => format!("{text} {}", field.to_string().to_lowercase()),
                        None => text,
                    }
                }
                ref other => printed(other)?,
            },
            other => printed(&other)?,
        };
        let value_span = span_of(start.union(&self.parser.get_current_token().span));
        Ok(OptionDef { key, value, key_span: span_of(key_span), value_span })
    }

    fn at_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| match &self.parser.peek_nth_token_ref(n).token {
            Token::Word(found) => found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word),
            _ => false,
        })
    }

    fn word(&mut self, word: &str) -> bool {
        let here = self.at_words(&[word]);
        if here {
            self.parser.advance_token();
        }
        here
    }

    fn error_here(&self, message: &str) -> ParserError {
        let location = self.parser.get_current_token().span.start;
        ParserError::ParserError(format!("{message} at Line: {}, Column: {}", location.line, location.column))
    }

    /// What is wrong with a statement that could not be parsed.
    fn explain(&self, error: &ParserError, brackets: &Brackets) -> Diagnostic {
        let found = self.diagnose(error);
        if let Some(open) = &brackets.open
            && found.span.is_none_or(|span| span.start >= open.start())
        {
            return open.diagnostic();
        }
        match self.dialect.given_up() {
            Some(GivenUp { because: Because::Tries, token }) => {
                let mut behind = self.tokens.iter().skip(token + 1);
                let farthest = behind.find(|token| !matches!(token.token, Token::Whitespace(_)));
                let span = farthest.and_then(|token| span_of(token.span)).or_else(|| self.end_span());
                Diagnostic::error(code::TOO_DEEP, span, "the statement is too complex to be parsed")
                    .with_hint("look for a mistake near this place, or split the statement with views")
            }
            Some(GivenUp { because: Because::Depth, .. }) => self.diagnose(&ParserError::RecursionLimitExceeded),
            None => found,
        }
    }

    /// The parser writes the place into its message; it is taken out again.
    fn diagnose(&self, error: &ParserError) -> Diagnostic {
        let here = self.parser.get_current_token().span;
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return Diagnostic::error(code::TOO_DEEP, span_of(here), "the statement is nested too deep")
                    .with_hint("split it with views or sub-selects");
            }
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let Some((text, place)) = message.rsplit_once(" at Line: ") else {
            return syntax_error(span_of(here).or_else(|| self.end_span()), message);
        };
        let mut numbers = place.split(", Column: ").map(str::parse::<u64>);
        let (Some(Ok(line)), Some(Ok(column))) = (numbers.next(), numbers.next()) else {
            return syntax_error(span_of(here).or_else(|| self.end_span()), message);
        };
        let start = Location { line, column };
        let index = self.tokens.partition_point(|token| token.span.start < start);
        let span = match self.tokens.get(index).filter(|token| token.span.start == start) {
            Some(token) => span_of(token.span),
            None => span_of(SqlSpan::new(start, start)),
        };
        syntax_error(span.or_else(|| self.end_span()), text)
    }

    /// Just behind the last token, for "found: EOF".
    fn end_span(&self) -> Option<Span> {
        let last = self.tokens.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))?;
        span_of(SqlSpan::new(last.span.end, last.span.end))
    }
}

/// `Expected: X, found: Y` in our wording.
fn syntax_error(span: Option<Span>, message: &str) -> Diagnostic {
    let message = match message.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ")) {
        Some((expected, "EOF")) => format!("syntax error: expected {expected}, but the text ends"),
        Some((expected, found)) => format!("syntax error: expected {expected}, found {found}"),
        None => {
            let mut chars = message.chars();
            let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
            format!("syntax error: {first}{}", chars.as_str())
        }
    };
    Diagnostic::error(code::SYNTAX, span, message)
}

/// The only part of a name.
pub(crate) fn single(name: &ObjectName) -> Option<Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident().cloned(),
        _ => None,
    }
}

fn table_name(name: &ObjectName) -> Result<Ident, Box<Diagnostic>> {
    single(name).ok_or_else(|| {
        Diagnostic::unsupported(span_of(name.span()), format!("the qualified table name {name}"))
            .with_hint("all tables of a script are in one schema: use the bare name")
            .into()
    })
}

fn convert(
    statement: SqlStatement,
    span: Option<Span>,
    start: Option<Span>,
    leader: &str,
) -> Result<Statement, Box<Diagnostic>> {
    Ok(match statement {
        SqlStatement::Query(query) => Statement::Select { query, span },
        SqlStatement::CreateView(view)
            if !view.materialized
                && !view.or_replace
                && view.cluster_by.is_empty()
                && matches!(view.options, CreateTableOptions::None) =>
        {
            Statement::CreateView {
                name: table_name(&view.name)?,
                if_not_exists: view.if_not_exists,
                columns: view.columns.into_iter().map(|column| column.name).collect(),
                query: view.query,
            }
        }
        SqlStatement::Insert(insert) => {
            let text = insert.to_string();
            let extra = insert.on.is_some()
                || insert.returning.is_some()
                || insert.overwrite
                || insert.or.is_some()
                || insert.output.is_some()
                || insert.partitioned.is_some();
            let (TableObject::TableName(name), Some(query), false) = (&insert.table, insert.source, extra) else {
                let diagnostic = Diagnostic::unsupported(span, "this form of INSERT")
                    .with_hint("write INSERT INTO table SELECT ...");
                return Ok(Statement::Unsupported { diagnostic, text });
            };
            let columns = insert.columns.iter().map(table_name).collect::<Result<_, _>>()?;
            Statement::Insert { table: table_name(name)?, columns, query, span }
        }
        SqlStatement::Set(Set::SingleAssignment { variable, values, .. }) => {
            Statement::Set { name: variable.to_string().to_lowercase(), values, span }
        }
        other => {
            let text = other.to_string();
            let what = match &other {
                SqlStatement::CreateView(view) if view.materialized => "CREATE MATERIALIZED VIEW".to_owned(),
                SqlStatement::CreateView(view) if view.or_replace => "CREATE OR REPLACE VIEW".to_owned(),
                SqlStatement::CreateView(_) => "CREATE VIEW with options".to_owned(),
                _ if leader == "CREATE" || leader == "ALTER" || leader == "DROP" => {
                    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ").to_uppercase()
                }
                _ => leader.to_owned(),
            };
            let hint = match leader {
                "EXPLAIN" | "DESCRIBE" | "DESC" => "use the explain command on the script",
                "DELETE" | "UPDATE" | "MERGE" | "TRUNCATE" => "a pipeline only appends: filter the rows in a query",
                _ => "a script has CREATE TABLE, CREATE VIEW, INSERT INTO, SELECT and SET statements",
            };
            Statement::Unsupported {
                diagnostic: Diagnostic::unsupported(start, format!("the statement {what}")).with_hint(hint),
                text,
            }
        }
    })
}

/// Where the diagnostic is about, or at least where its statement begins.
fn placed(diagnostic: Diagnostic, start: SqlSpan) -> Diagnostic {
    Diagnostic { span: diagnostic.span.or(span_of(start)), ..diagnostic }
}

/// Refuses what later passes could not walk by recursion.
fn too_deep(tree: &impl Visit) -> Option<Diagnostic> {
    let mut depth = Depth { now: 0, too_deep_at: None };
    let _ = tree.visit(&mut depth);
    depth.finding()
}

fn too_deep_in_table(table: &CreateTable) -> Option<Diagnostic> {
    let deep_type = table.columns.iter().find(|column| nested_type(&column.ty, MAX_TYPE_DEPTH));
    let finding = deep_type.and_then(|column| Depth { now: 0, too_deep_at: Some(column.ty_span) }.finding());
    let generated = table.columns.iter().filter_map(|column| column.generated.as_ref());
    let watermarks = table.watermarks.iter().filter_map(|watermark| watermark.expr.as_ref());
    finding
        .or_else(|| generated.chain(watermarks).find_map(too_deep))
        .or_else(|| table.query.as_ref().and_then(|query| too_deep(&**query)))
}

/// The SQL of an expression, if it is not too deep to be printed.
fn printed(expr: &Expr) -> Result<String, ParserError> {
    match too_deep(expr) {
        None => Ok(expr.to_string()),
        Some(_) => Err(ParserError::RecursionLimitExceeded),
    }
}

/// Whether a type is nested deeper than `limit`.
fn nested_type(ty: &DataType, limit: usize) -> bool {
    let inside: Vec<&DataType> = match ty {
        DataType::Array(
            ArrayElemTypeDef::AngleBracket(item)
            | ArrayElemTypeDef::SquareBracket(item, _)
            | ArrayElemTypeDef::Parenthesis(item),
        ) => vec![item],
        DataType::Struct(members, _) => members.iter().map(|member| &member.field_type).collect(),
        _ => vec![],
    };
    inside.into_iter().any(|item| limit == 0 || nested_type(item, limit - 1))
}

struct Depth {
    now: usize,
    too_deep_at: Option<Option<Span>>,
}

impl Depth {
    fn finding(self) -> Option<Diagnostic> {
        let message = format!("the statement is nested more than {MAX_DEPTH} levels deep");
        Some(
            Diagnostic::error(code::TOO_DEEP, self.too_deep_at?, message)
                .with_hint("split it with views or sub-selects; replace a long chain of OR by IN (...)"),
        )
    }
}

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.now += 1;
        // Not every depth is one of expressions inside expressions.
        let deep = match expr {
            Expr::CompoundFieldAccess { access_chain, .. } => access_chain.len() > MAX_DEPTH,
            Expr::CompoundIdentifier(parts) => parts.len() > MAX_DEPTH,
            Expr::Cast { data_type, .. }
            | Expr::Convert { data_type: Some(data_type), .. }
            | Expr::TypedString(TypedString { data_type, .. }) => nested_type(data_type, MAX_TYPE_DEPTH),
            Expr::Struct { fields, .. } => fields.iter().any(|field| nested_type(&field.field_type, MAX_TYPE_DEPTH)),
            _ => false,
        };
        if deep || self.now > MAX_DEPTH {
            let span = match expr {
                Expr::Identifier(ident) => span_of(ident.span),
                _ => None,
            };
            self.too_deep_at = Some(span);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<()> {
        self.now -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let mut bodies = vec![(query.body.as_ref(), 0)];
        while let Some((body, depth)) = bodies.pop() {
            if let SetExpr::SetOperation { left, right, .. } = body {
                bodies.extend([(left.as_ref(), depth + 1), (right.as_ref(), depth + 1)]);
            }
            if depth > MAX_DEPTH {
                self.too_deep_at = Some(None);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

/// The statements in canonical spelling, as EXPLAIN shows them.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, statement) in self.statements.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            writeln!(f, "{statement};")?;
        }
        Ok(())
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::CreateTable(table) => table.fmt(f),
            Statement::CreateView { name, columns, query, .. } => {
                write!(f, "CREATE VIEW {name}{} AS\n{query:#}", column_list(columns))
            }
            Statement::Insert { table, columns, query, .. } => {
                write!(f, "INSERT INTO {table}{}\n{query:#}", column_list(columns))
            }
            Statement::Select { query, .. } => write!(f, "{query:#}"),
            Statement::Set { name, values, .. } => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "SET {name} = {}", values.join(", "))
            }
            Statement::Unsupported { text, .. } => f.write_str(text),
        }
    }
}

fn column_list(columns: &[Ident]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    format!(" ({})", columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

impl fmt::Display for CreateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE {}TABLE {}", if self.temporary { "TEMPORARY " } else { "" }, self.name)?;
        let mut lines: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        lines.extend(self.watermarks.iter().map(|clause| match &clause.expr {
            Some(expr) => format!("WATERMARK FOR {} AS {expr}", clause.column),
            None => format!("WATERMARK FOR {}", clause.column),
        }));
        if !lines.is_empty() {
            write!(f, " (\n  {}\n)", lines.join(",\n  "))?;
        }
        if !self.options.is_empty() {
            let options: Vec<String> = self
                .options
                .iter()
                .map(|option| format!("'{}' = '{}'", option.key, option.value.replace('\'', "''")))
                .collect();
            write!(f, " WITH (\n  {}\n)", options.join(",\n  "))?;
        }
        if let Some(query) = &self.query {
            write!(f, " AS\n{query:#}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ColumnDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The definition keeps its spelling, in quotes or not.
        match self.name.value == self.name.value.to_lowercase() {
            true => write!(f, "{} {}", self.name, self.ty)?,
            false => write!(f, "\"{}\" {}", self.name.value.replace('"', "\"\""), self.ty)?,
        }
        if self.not_null {
            f.write_str(" NOT NULL")?;
        }
        if self.primary_key {
            f.write_str(" PRIMARY KEY")?;
        }
        if let Some(expr) = &self.generated {
            write!(f, " GENERATED ALWAYS AS ({expr})")?;
        }
        if let Some((key, _)) = &self.metadata {
            write!(f, " METADATA FROM '{key}'")?;
        }
        Ok(())
    }
}
