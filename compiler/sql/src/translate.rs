//! DataFusion's errors, in our wording and with a place.
//!
//! DataFusion wraps errors in contexts and prefixes, names its own types, and gives a place for some. Here they are
//! unwrapped, and said in the words and types of SQL; where no place came along, it is looked for in the syntax tree
//! by the name that the message is about, and is the whole statement otherwise.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, SchemaError};
use datafusion_expr::Expr as DfExpr;
use schema::ScalarType;
use sqlparser::ast::{Expr, Spanned, Value, Visit, Visitor};

use crate::check::function_name;
use crate::diagnostic::{Diagnostic, Position, Span, code, listed, nearest, span_of};
use crate::functions::registry;
use crate::parse::normalize;
use crate::types::scalar_type;

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
            unwrap(*inner, diagnostic.span.map(place).or(span), each);
        }
        DataFusionError::Collection(errors) => {
            for error in errors {
                unwrap(error, span, each);
            }
        }
        other => each(other, span),
    }
}

/// Where something stands, by DataFusion's account.
pub(crate) fn place(span: datafusion_common::Span) -> Span {
    Span {
        start: Position { line: span.start.line, column: span.start.column },
        end: Position { line: span.end.line, column: span.end.column },
    }
}

/// Where the first column of an expression stands.
pub(crate) fn column_place(expr: &DfExpr) -> Option<Span> {
    let mut found = None;
    let walked = expr.apply(|part| {
        if let DfExpr::Column(column) = part {
            found = column.spans().first().map(place);
        }
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    debug_assert!(walked.is_ok(), "the walk itself does not fail");
    found
}

/// The error itself, without what was wrapped around it; the first of several.
pub(crate) fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        other => other,
    }
}

/// What DataFusion says, in its own words.
pub(crate) fn message_of(error: &DataFusionError) -> String {
    strip(&root(error).strip_backtrace()).to_owned()
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
            let names = valid_fields.iter().map(|column| column.name.as_str());
            let hint = match nearest(&field.name, names.clone()) {
                Some(near) => Some(format!("Did you mean \"{near}\"?")),
                None if valid_fields.is_empty() => None,
                None => Some(format!("columns are {}", listed(names))),
            };
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

pub(crate) fn duplicate(name: &str, span: Option<Span>) -> Diagnostic {
    Diagnostic::error(code::DUPLICATE, span, format!("column \"{name}\" appears twice in the select list"))
        .with_hint("give one of them another name with AS")
}

fn plan_error(message: &str, span: Option<Span>, tree: &impl Visit, whole: Option<Span>) -> Diagnostic {
    let message = strip(message);
    if let Some(name) = quoted_after(message, "must appear in the GROUP BY clause", '"') {
        let name = name.rsplit('.').next().unwrap_or(&name).to_owned();
        return not_grouped(&name, span.or_else(|| find_identifier(tree, &name)).or(whole));
    }
    if message.starts_with("Projections require unique expression names") {
        let name = message.split('"').nth(1).unwrap_or_default();
        let name = name.rsplit(" AS ").next().unwrap_or(name).rsplit('.').next().unwrap_or(name);
        return duplicate(name, span.or_else(|| find_identifier(tree, name)).or(whole));
    }
    if let Some((function, types)) = unmatched_call(message) {
        let span = span.or_else(|| find_call(tree, &function, None)).or(whole);
        let hint = registry().syntax(&function).map(|syntax| format!("write {syntax}"));
        return Diagnostic::error(code::TYPES, span, does_not_take(&function, &types)).with_hint_opt(hint);
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
        .or_else(|| if window { find_call(tree, crate::functions::TUMBLE, None) } else { None })
        .or_else(|| quoted_names(message).iter().find_map(|name| find_identifier(tree, name)))
        .or_else(|| quoted_names(message).iter().find_map(|text| find_text(tree, text)))
        .or(whole);
    Diagnostic::error(code, span, sentence(message))
}

pub(crate) fn not_grouped(name: &str, span: Option<Span>) -> Diagnostic {
    let message = format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function");
    Diagnostic::error(code::GROUPING, span, message)
        .with_hint(format!("add it to GROUP BY, or use an aggregate such as max({name})"))
}

/// Of a function that is called with other arguments than it has: its name, and the types that were given.
fn unmatched_call(message: &str) -> Option<(String, Vec<String>)> {
    let call = between(message, "given name and argument types '", ")'.")?;
    let (function, types) = call.split_once('(')?;
    Some((function.to_owned(), split_list(types).into_iter().map(sql_types).collect()))
}

pub(crate) fn does_not_take(function: &str, types: &[String]) -> String {
    match types {
        [] => format!("function {function} needs arguments"),
        [ty] => format!("function {function} does not take an argument of type {ty}"),
        types => format!("function {function} does not take arguments of types {}", types.join(", ")),
    }
}

/// Messages that PostgreSQL's users know in other words.
fn worded(message: &str, span: Option<Span>, tree: &impl Visit, whole: Option<Span>) -> Option<Diagnostic> {
    let here = span.or(whole);
    if let Some(member) = between(message, "Field ", " not found in struct") {
        let span = span.or_else(|| find_identifier(tree, &member)).or(whole);
        let message = format!("member \"{member}\" does not exist");
        let hint = "name one of the members that the struct is declared with";
        return Some(Diagnostic::error(code::UNKNOWN_COLUMN, span, message).with_hint(hint));
    }
    if let Some(rest) = message.strip_prefix("Cannot create filter with non-boolean predicate ") {
        let name = between(rest, "'", "'").unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or(&name);
        let ty = rest.rsplit_once("returning ").map_or("another", |(_, ty)| ty);
        let span = span.or_else(|| find_identifier(tree, name)).or(whole);
        let message = format!("argument of WHERE or HAVING must be of type BOOLEAN, not {}", sql_types(ty));
        return Some(Diagnostic::error(code::TYPES, span, message));
    }
    if message.starts_with("Aggregate function calls cannot be nested") {
        return Some(Diagnostic::error(code::GROUPING, here, "aggregate function calls cannot be nested"));
    }
    if message.starts_with("Aggregations require unique expression names") {
        let error = Diagnostic::error(code::GROUPING, here, "GROUP BY has the same key twice");
        return Some(error.with_hint("name each key once"));
    }
    if message.contains("queries have different number of columns") {
        return Some(Diagnostic::error(code::TYPES, here, UNION_WIDTHS).with_hint(UNION_WIDTHS_HINT));
    }
    if message.starts_with("Substring without for/from") {
        let error = Diagnostic::error(code::TYPES, here, "function substr needs a position");
        return Some(error.with_hint("write substr(text, position) or substr(text, position, length)"));
    }
    if let Some(qualifier) = message.strip_prefix("Invalid qualifier ") {
        let message = format!("table \"{qualifier}\" is not in FROM");
        return Some(Diagnostic::error(code::UNKNOWN_TABLE, here, message).with_hint("use a name that FROM has"));
    }
    if let Some(ty) = between(message, ": type ", " is not Struct, Map, or Null") {
        let error = Diagnostic::error(code::TYPES, here, format!("type {} has no members", sql_types(&ty)));
        return Some(error.with_hint("only structs have members"));
    }
    if let Some(ty) = message.strip_prefix("Unary operator 'NOT' requires a boolean expression, got ") {
        let message = format!("argument of NOT must be of type BOOLEAN, not {}", sql_types(ty));
        return Some(Diagnostic::error(code::TYPES, here, message));
    }
    if let Some(types) = message.strip_prefix("Incompatible inputs for Union: Previous inputs were of type ")
        && let Some((left, right)) = types.split_once(", but got incompatible type ")
    {
        let (right, column) = right.rsplit_once(" on column ").unwrap_or((right, ""));
        let message = format!("UNION types {} and {} cannot be matched", sql_types(left), sql_types(right));
        let span = find_identifier(tree, column.trim_matches('\'')).or(here);
        return Some(Diagnostic::error(code::TYPES, span, message).with_hint("convert one of them with CAST"));
    }
    let compared = [
        ("Failed to coerce then (", ") to common types in CASE", ") and else (", "the branches of CASE are"),
        ("Failed to coerce case (", ") to common types in CASE", ") and when (", "CASE compares values"),
        ("Failed to coerce types ", " in BETWEEN expression", " and ", "BETWEEN compares values"),
        ("Can not find compatible types to compare ", "]", " with [", "IN compares values"),
    ];
    for (start, end, middle, says) in compared {
        if let Some(types) = between(message, start, end) {
            let types = sql_types(&types.replacen(middle, ", ", 1));
            let error = Diagnostic::error(code::TYPES, here, format!("{says} of different types: {types}"));
            return Some(error.with_hint("convert them to one type with CAST"));
        }
    }
    let operation = operation(message)?;
    let message = format!("operator does not exist: {}", sql_types(&operation));
    Some(Diagnostic::error(code::TYPES, here, message).with_hint("convert an operand with CAST"))
}

pub(crate) const UNION_WIDTHS: &str = "each query of a UNION must have the same number of columns";
pub(crate) const UNION_WIDTHS_HINT: &str = "leave out columns of one, or add NULL AS name to the other";

/// `left operator right`, as far as a message is about operands that do not fit.
fn operation(message: &str) -> Option<String> {
    if let Some(operation) = between(message, "Cannot coerce arithmetic expression ", " to valid types") {
        return Some(operation);
    }
    if let Some(rest) = message.strip_prefix("There isn't a common type to coerce ") {
        let (types, operator) = rest.strip_suffix(" expression")?.rsplit_once(" in ")?;
        let (left, right) = types.split_once(" and ")?;
        return Some(format!("{left} {operator} {right}"));
    }
    let starts = ["Cannot infer common ", "Cannot get result type for "];
    let rest = starts.iter().find_map(|start| message.strip_prefix(start))?;
    let (_, operation) = rest.split_once(" operation ")?;
    // The kernel's own words follow.
    let end = operation.find(": Invalid argument").unwrap_or(operation.len());
    Some(operation[..end].to_owned())
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
pub(crate) fn sentence(message: &str) -> String {
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

/// A type as SQL spells it.
pub(crate) fn sql_type(ty: &DataType) -> String {
    match ScalarType::from_arrow(ty) {
        Ok(ty) => ty.to_string(),
        Err(_) => sql_types(&ty.to_string()),
    }
}

/// Arrow's names of types in a text as SQL spells them.
fn sql_types(text: &str) -> String {
    let text = text.replace("syntax for type interval", "syntax for type INTERVAL");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        if !c.is_alphabetic() {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if let Some(name) = simple_type(word) {
            out.push_str(name);
        } else if let Some((inside, behind)) = in_parentheses(behind)
            && let Some(name) = compound_type(word, inside)
        {
            out.push_str(&name);
            rest = behind;
            continue;
        } else {
            out.push_str(word);
        }
        rest = behind;
    }
    out
}

fn simple_type(word: &str) -> Option<&'static str> {
    Some(match word {
        "Boolean" => "BOOLEAN",
        "Int8" => "TINYINT",
        "Int16" => "SMALLINT",
        "Int32" => "INT",
        "Int64" => "BIGINT",
        "UInt8" => "TINYINT UNSIGNED",
        "UInt16" => "SMALLINT UNSIGNED",
        "UInt32" => "INT UNSIGNED",
        "UInt64" => "BIGINT UNSIGNED",
        "Float16" | "Float32" => "REAL",
        "Float64" => "DOUBLE",
        "Utf8" | "Utf8View" | "LargeUtf8" => "TEXT",
        "Binary" | "BinaryView" | "LargeBinary" => "BYTEA",
        "Date32" | "Date64" => "DATE",
        _ => return None,
    })
}

/// `List(Utf8)`, `Struct("a": Int64)` and the like.
fn compound_type(word: &str, inside: &str) -> Option<String> {
    let plain = |ty: &str| {
        let ty = ty.trim_start_matches("nullable ").trim_start_matches("non-null ");
        sql_types(ty.split(", field:").next().unwrap_or(ty))
    };
    Some(match word {
        "Timestamp" => match inside.split(',').next().unwrap_or_default() {
            "s" | "Second" => "TIMESTAMP(0)".to_owned(),
            "ms" | "Millisecond" => "TIMESTAMP(3)".to_owned(),
            "µs" | "Microsecond" => "TIMESTAMP(6)".to_owned(),
            _ => "TIMESTAMP".to_owned(),
        },
        "Time32" | "Time64" => "TIME".to_owned(),
        "Interval" => "INTERVAL".to_owned(),
        "Duration" => "DURATION".to_owned(),
        "FixedSizeBinary" => "BYTEA".to_owned(),
        "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => format!("DECIMAL({})", inside.replace(' ', "")),
        "List" | "LargeList" | "ListView" | "LargeListView" => format!("{}[]", plain(inside)),
        "FixedSizeList" => format!("{}[]", plain(inside.split_once(" x ")?.1)),
        "Dictionary" => plain(inside.split_once(", ")?.1),
        "Map" => "MAP".to_owned(),
        "Struct" => {
            let members = split_list(inside).into_iter().map(|member| {
                let (name, ty) = member.split_once(": ")?;
                Some(format!("{} {}", name.trim_matches('"'), plain(ty)))
            });
            format!("STRUCT<{}>", members.collect::<Option<Vec<_>>>()?.join(", "))
        }
        _ => return None,
    })
}

/// What stands in the parentheses with which a text begins, and what behind them.
fn in_parentheses(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('(')?;
    let mut open = 1;
    for (at, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

/// The parts between commas that are in no parentheses.
fn split_list(text: &str) -> Vec<&str> {
    let (mut parts, mut open, mut start) = (Vec::new(), 0i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            ',' if open == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
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

/// Where a function of that name is first called; `around`: in a call that encloses this place.
pub(crate) fn find_call(tree: &impl Visit, name: &str, around: Option<Span>) -> Option<Span> {
    find(tree, &mut |expr| match expr {
        Expr::Function(function) if function_name(function) == name => {
            let whole = span_of(function.span())?;
            if encloses(whole, around) { span_of(function.name.span()) } else { None }
        }
        _ => None,
    })
}

/// Where what is cast to that type first stands; `around`: in a cast that encloses this place.
pub(crate) fn find_cast(tree: &impl Visit, ty: &ScalarType, around: Option<Span>) -> Option<Span> {
    find(tree, &mut |expr| match expr {
        Expr::Cast { expr: inner, data_type, .. } if scalar_type(data_type).as_ref() == Ok(ty) => {
            span_of(inner.span()).filter(|whole| encloses(*whole, around))
        }
        _ => None,
    })
}

fn encloses(whole: Span, place: Option<Span>) -> bool {
    place.is_none_or(|place| whole.start <= place.start && place.end <= whole.end)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_spelled_as_sql_has_them() {
        for (arrow, sql) in [
            ("Utf8 + Int64", "TEXT + BIGINT"),
            ("Struct(\"city\": Utf8, \"zip\": non-null Int32) + Int64", "STRUCT<city TEXT, zip INT> + BIGINT"),
            ("List(Struct(\"a\": List(Float64)))", "STRUCT<a DOUBLE[]>[]"),
            ("Timestamp(ns), Timestamp(µs, \"UTC\")", "TIMESTAMP, TIMESTAMP(6)"),
            ("Decimal128(10, 2) and Interval(MonthDayNano)", "DECIMAL(10,2) and INTERVAL"),
            ("a List of (some) things", "a List of (some) things"),
            ("Struct(", "Struct("),
            (") Map)", ") Map)"),
        ] {
            assert_eq!(sql_types(arrow), sql);
        }
        assert_eq!(split_list("Utf8, Struct(a, b), "), ["Utf8", "Struct(a, b)"]);
    }

    #[test]
    fn operands_that_do_not_fit_are_an_operator_that_does_not_exist() {
        for (message, operation_of) in [
            ("Cannot coerce arithmetic expression Utf8 + Int64 to valid types", Some("Utf8 + Int64")),
            ("Cannot infer common argument type for comparison operation Int64 < Boolean", Some("Int64 < Boolean")),
            ("There isn't a common type to coerce Int64 and Boolean in LIKE expression", Some("Int64 LIKE Boolean")),
            ("something else", None),
        ] {
            assert_eq!(operation(message).as_deref(), operation_of);
        }
    }
}
