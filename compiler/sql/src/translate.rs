//! DataFusion's errors, in our wording and with a place.
//!
//! DataFusion wraps errors in contexts and prefixes, names its own types, and gives a place for some. Here they are
//! unwrapped; where no place came along, it is looked for in the syntax tree by the name that the message is about,
//! and is the whole statement otherwise.

use std::ops::ControlFlow;

use datafusion_common::{DataFusionError, SchemaError};
use sqlparser::ast::{Expr, Spanned, Value, Visit, Visitor};

use crate::check::function_name;
use crate::diagnostic::{Diagnostic, Position, Span, code, did_you_mean, span_of};
use crate::parse::normalize;

/// `tree`: what was being bound; `whole`: where it stands.
pub(crate) fn translate(error: DataFusionError, tree: &impl Visit, whole: Option<Span>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    unwrap(error, None, &mut |error, span| {
        let diagnostic = one(error, span, tree, whole);
        if !found.contains(&diagnostic) {
            found.push(diagnostic);
        }
    });
    found
}

fn unwrap(error: DataFusionError, span: Option<Span>, each: &mut dyn FnMut(DataFusionError, Option<Span>)) {
    match error {
        DataFusionError::Context(_, inner) => unwrap(*inner, span, each),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let here = diagnostic.span.map(|span| Span {
                start: Position { line: span.start.line, column: span.start.column },
                end: Position { line: span.end.line, column: span.end.column },
            });
            unwrap(*inner, here.or(span), each);
        }
        DataFusionError::Collection(errors) => {
            for error in errors {
                unwrap(error, span, each);
            }
        }
        other => each(other, span),
    }
}

fn one(error: DataFusionError, span: Option<Span>, tree: &impl Visit, whole: Option<Span>) -> Diagnostic {
    match error {
        DataFusionError::SchemaError(error, _) => schema_error(*error, span, tree, whole),
        DataFusionError::Plan(message)
        | DataFusionError::NotImplemented(message)
        | DataFusionError::Execution(message)
        | DataFusionError::Configuration(message)
        | DataFusionError::ResourcesExhausted(message) => plan_error(&message, span, tree, whole),
        DataFusionError::Internal(message) => plan_error(&message, span, tree, whole),
        DataFusionError::ArrowError(error, _) => plan_error(&error.to_string(), span, tree, whole),
        DataFusionError::SQL(error, _) => plan_error(&error.to_string(), span, tree, whole),
        other => plan_error(&other.strip_backtrace(), span, tree, whole),
    }
}

fn schema_error(error: SchemaError, span: Option<Span>, tree: &impl Visit, whole: Option<Span>) -> Diagnostic {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = match &field.relation {
                Some(relation) => format!("{relation}.{}", field.name),
                None => field.name.clone(),
            };
            let span = span.or_else(|| find_identifier(tree, &field.name)).or(whole);
            let hint = did_you_mean(&field.name, valid_fields.iter().map(|column| column.name.as_str()));
            Diagnostic::error(code::UNKNOWN_COLUMN, span, format!("column \"{name}\" does not exist"))
                .with_hint_opt(hint)
        }
        SchemaError::AmbiguousReference { field } => {
            let span = span.or_else(|| find_identifier(tree, &field.name)).or(whole);
            Diagnostic::error(code::UNKNOWN_COLUMN, span, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            duplicate(&name, span.or_else(|| find_identifier(tree, &name)).or(whole))
        }
    }
}

fn duplicate(name: &str, span: Option<Span>) -> Diagnostic {
    Diagnostic::error(code::DUPLICATE, span, format!("column \"{name}\" appears twice in the select list"))
        .with_hint("give one of them another name with AS")
}

fn plan_error(message: &str, span: Option<Span>, tree: &impl Visit, whole: Option<Span>) -> Diagnostic {
    let message = strip(message);
    if let Some(name) = quoted_after(message, "must appear in the GROUP BY clause", '"') {
        let name = name.rsplit('.').next().unwrap_or(&name).to_owned();
        let span = span.or_else(|| find_identifier(tree, &name)).or(whole);
        let message =
            format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function");
        return Diagnostic::error(code::GROUPING, span, message);
    }
    if message.starts_with("Projections require unique expression names") {
        let name = message.split('"').nth(1).unwrap_or_default();
        let name = name.rsplit(" AS ").next().unwrap_or(name).rsplit('.').next().unwrap_or(name);
        return duplicate(name, span.or_else(|| find_identifier(tree, name)).or(whole));
    }
    if let Some(function) = between(message, "call to '", "'").or_else(|| between(message, "Function '", "'")) {
        let span = span.or_else(|| find_function(tree, &function)).or(whole);
        let text = format!("function {function} does not take these arguments");
        let diagnostic = Diagnostic::error(code::TYPES, span, text);
        // DataFusion lists every signature that it tried; the first sentence says what was given.
        return match message.split(". No function matches").next() {
            Some(first) if !first.contains("errors:") => diagnostic.with_detail(sentence(first)),
            _ => diagnostic,
        };
    }
    if let Some(diagnostic) = worded(message, span, tree, whole) {
        return diagnostic;
    }
    let window = message.contains("window") || message.contains("tumble");
    let unsupported = message.contains("not supported") || message.contains("not implemented");
    let code = match (window, unsupported) {
        (true, _) => code::WINDOW,
        (false, true) => code::UNSUPPORTED,
        (false, false) => code::TYPES,
    };
    let span = span
        .or_else(|| if window { find_function(tree, crate::functions::TUMBLE) } else { None })
        .or_else(|| quoted_names(message).iter().find_map(|name| find_identifier(tree, name)))
        .or_else(|| quoted_names(message).iter().find_map(|text| find_text(tree, text)))
        .or(whole);
    Diagnostic::error(code, span, sentence(message))
}

/// Messages that PostgreSQL's users know in other words.
fn worded(message: &str, span: Option<Span>, tree: &impl Visit, whole: Option<Span>) -> Option<Diagnostic> {
    if let Some(member) = between(message, "Field ", " not found in struct") {
        let span = span.or_else(|| find_identifier(tree, &member)).or(whole);
        return Some(Diagnostic::error(code::UNKNOWN_COLUMN, span, format!("member \"{member}\" does not exist")));
    }
    if let Some(rest) = message.strip_prefix("Cannot create filter with non-boolean predicate ") {
        let name = between(rest, "'", "'").unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or(&name);
        let ty = rest.rsplit_once("returning ").map_or("another", |(_, ty)| ty);
        let span = span.or_else(|| find_identifier(tree, name)).or(whole);
        let message = format!("argument of WHERE or HAVING must be of type BOOLEAN, not {}", sql_types(ty));
        return Some(Diagnostic::error(code::TYPES, span, message));
    }
    if let Some(operation) = between(message, "Cannot coerce arithmetic expression ", " to valid types") {
        let message = format!("operator does not exist: {}", sql_types(&operation));
        return Some(Diagnostic::error(code::TYPES, span.or(whole), message).with_hint("convert an operand with CAST"));
    }
    if message.starts_with("Aggregate function calls cannot be nested") {
        let message = "aggregate function calls cannot be nested";
        return Some(Diagnostic::error(code::GROUPING, span.or(whole), message));
    }
    None
}

/// Without the prefixes that errors collect on their way.
fn strip(mut message: &str) -> &str {
    const PREFIXES: &[&str] = &[
        "Error during planning: ",
        "This feature is not implemented: ",
        "Execution error: ",
        "Schema error: ",
        "Arrow error: ",
        "Internal error: ",
        "Parser error: ",
        "Cast error: ",
        "External error: ",
        "Optimizer rule 'simplify_expressions' failed\ncaused by\n",
        "type_coercion\ncaused by\n",
    ];
    message = message.split("\n\nbacktrace:").next().unwrap_or(message).trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| message.strip_prefix(prefix)) {
        message = rest.trim_start();
    }
    message
}

/// One line, lower case at the start, no full stop, SQL's names of types.
fn sentence(message: &str) -> String {
    const BUG: &str = "This issue was likely caused by a bug";
    let message = message.split(BUG).next().unwrap_or(message);
    let line = message.split('\n').map(str::trim).find(|line| !line.is_empty()).unwrap_or(message);
    // Some messages end in a dump of the syntax tree.
    let line = line.split(" { ").next().unwrap_or(line);
    let line = match line.find("Ident {").or_else(|| line.find("Identifier(")).or_else(|| line.find("Span(")) {
        Some(dump) => line[..dump].rsplit_once([':', '{', '(']).map_or(&line[..dump], |(text, _)| text),
        None => line,
    };
    let line = sql_types(line.trim_end_matches(['.', ' ', ':', '{']));
    let mut chars = line.chars();
    match chars.next() {
        // A word that is all capitals is a keyword and keeps them.
        Some(first) if first.is_uppercase() && chars.clone().next().is_none_or(|c| !c.is_uppercase()) => {
            format!("{}{}", first.to_lowercase(), chars.as_str())
        }
        _ => line,
    }
}

/// Arrow's names of types as SQL spells them.
fn sql_types(text: &str) -> String {
    const TYPES: &[(&str, &str)] = &[
        ("Boolean", "BOOLEAN"),
        ("Int8", "TINYINT"),
        ("Int16", "SMALLINT"),
        ("Int32", "INT"),
        ("Int64", "BIGINT"),
        ("UInt8", "TINYINT UNSIGNED"),
        ("UInt16", "SMALLINT UNSIGNED"),
        ("UInt32", "INT UNSIGNED"),
        ("UInt64", "BIGINT UNSIGNED"),
        ("Float32", "REAL"),
        ("Float64", "DOUBLE"),
        ("Utf8", "TEXT"),
        ("Utf8View", "TEXT"),
        ("LargeUtf8", "TEXT"),
        ("Binary", "BYTEA"),
        ("Date32", "DATE"),
        ("Time64", "TIME"),
    ];
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        match TYPES.iter().find(|(arrow, _)| *arrow == word) {
            Some((_, sql)) => out.push_str(sql),
            None => out.push_str(&word),
        }
        word.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    let out = out.replace("Timestamp(Nanosecond, None)", "TIMESTAMP").replace("Timestamp(ns)", "TIMESTAMP");
    out.replace("Interval(MonthDayNano)", "INTERVAL").replace("Interval(\"MonthDayNano\")", "INTERVAL")
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let rest = text.split_once(start)?.1;
    Some(rest.split_once(end)?.0.to_owned())
}

/// The last quoted word before `marker`.
fn quoted_after(text: &str, marker: &str, quote: char) -> Option<String> {
    let before = text.split_once(marker)?.0.trim_end();
    let end = before.rfind(quote)?;
    let start = before[..end].rfind(quote)?;
    Some(before[start + 1..end].to_owned())
}

/// Words in quotes of any kind.
fn quoted_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for quote in ['"', '\'', '`'] {
        names.extend(
            text.split(quote).skip(1).step_by(2).map(|part| part.rsplit('.').next().unwrap_or(part).to_owned()),
        );
    }
    names
}

/// Where an identifier of that name first stands.
pub(crate) fn find_identifier(tree: &impl Visit, name: &str) -> Option<Span> {
    find(tree, &mut |expr| match expr {
        Expr::Identifier(ident) if normalize(ident) == name => span_of(ident.span),
        Expr::CompoundIdentifier(parts) => {
            parts.iter().rev().find(|part| normalize(part) == name).and_then(|part| span_of(part.span))
        }
        _ => None,
    })
}

/// Where a string constant of that text first stands.
pub(crate) fn find_text(tree: &impl Visit, text: &str) -> Option<Span> {
    find(tree, &mut |expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(found) if found == text => span_of(value.span),
            _ => None,
        },
        _ => None,
    })
}

fn find_function(tree: &impl Visit, name: &str) -> Option<Span> {
    find(tree, &mut |expr| match expr {
        Expr::Function(function) if function_name(function) == name => span_of(function.name.span()),
        _ => None,
    })
}

fn find(tree: &impl Visit, test: &mut dyn FnMut(&Expr) -> Option<Span>) -> Option<Span> {
    struct Find<'a> {
        test: &'a mut dyn FnMut(&Expr) -> Option<Span>,
    }
    impl Visitor for Find<'_> {
        type Break = Span;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Span> {
            match (self.test)(expr) {
                Some(span) => ControlFlow::Break(span),
                None => ControlFlow::Continue(()),
            }
        }
    }
    match tree.visit(&mut Find { test }) {
        ControlFlow::Break(span) => Some(span),
        ControlFlow::Continue(()) => None,
    }
}
