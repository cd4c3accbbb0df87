//! The clause that an operator comes from, in canonical spelling.
//!
//! Made from the bound expressions, so that neither layout nor the spelling of keywords shows in generated code.

use compiler_ir::JoinKind;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DataFusionError};
use datafusion_expr::{Expr, Join};
use datafusion_sql::unparser::Unparser;
use datafusion_sql::unparser::dialect::Dialect;
use sqlparser::keywords::ALL_KEYWORDS;

use crate::catalog::{Origin, Table};
use crate::check::join_name;
use crate::window::TumbleNode;

/// Longer notes help nobody.
const MOST_CHARS: usize = 160;

pub(super) fn select(exprs: &[Expr]) -> String {
    clip(format!("SELECT {}", list(exprs)))
}

pub(super) fn filter<'a>(parts: impl Iterator<Item = &'a Expr>) -> String {
    clip(format!("WHERE {}", parts.map(sql).collect::<Vec<_>>().join(" AND ")))
}

pub(super) fn group_by(node: &TumbleNode) -> String {
    let mut groups = vec![format!("tumble({})", compiler_ir::print::duration(node.width))];
    groups.extend(node.keys.iter().map(sql));
    clip(format!("SELECT {} GROUP BY {}", list(&node.aggregates), groups.join(", ")))
}

/// Of an aggregate without a window.
pub(super) fn group_by_keys(keys: &[Expr], aggregates: &[Expr]) -> String {
    match (keys, aggregates) {
        ([], aggregates) => clip(format!("SELECT {}", list(aggregates))),
        (keys, []) => clip(format!("GROUP BY {}", list(keys))),
        (keys, aggregates) => clip(format!("SELECT {} GROUP BY {}", list(aggregates), list(keys))),
    }
}

pub(super) fn join(join: &Join, kind: JoinKind) -> String {
    let equal = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let conditions = equal.chain(join.filter.clone()).map(|condition| spelled(&condition));
    clip(format!("{} ON {}", join_name(kind), conditions.collect::<Vec<_>>().join(" AND ")))
}

pub(super) fn generated(table: &Table) -> String {
    let columns = table.columns.iter().filter_map(|column| match &column.origin {
        Origin::Virtual(expr) => Some(format!("{} GENERATED ALWAYS AS ({})", column.field.name, sql(expr))),
        _ => None,
    });
    clip(columns.collect::<Vec<_>>().join(", "))
}

pub(super) fn watermark(table: &Table) -> String {
    let name = match table.event_time {
        Some(index) => &table.columns[index].field.name,
        None => schema::EVENT_TIME,
    };
    match &table.watermark {
        Some(expr) => clip(format!("WATERMARK FOR {name} AS {}", sql(expr))),
        None => format!("WATERMARK FOR {name} AS {name} - INTERVAL '1 second'"),
    }
}

fn list(exprs: &[Expr]) -> String {
    exprs.iter().map(sql).collect::<Vec<_>>().join(", ")
}

/// Without table names: there is one table.
fn sql(expr: &Expr) -> String {
    let bare = expr.clone().transform_up(|expr| {
        Ok::<_, DataFusionError>(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    });
    match bare {
        Ok(bare) => spelled(&bare.data),
        Err(_) => expr.to_string(),
    }
}

fn spelled(expr: &Expr) -> String {
    match Unparser::new(&Plain).expr_to_sql(expr) {
        Ok(sql) => sql.to_string(),
        Err(_) => expr.to_string(),
    }
}

/// SQL as DataFusion spells it by default. Its own dialect compiles a regular expression for every identifier.
struct Plain;

impl Dialect for Plain {
    /// What is no lower case word, or is a word of SQL's, is quoted.
    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        let plain = identifier.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && identifier.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let upper = identifier.to_ascii_uppercase();
        let reserved = upper != "ID" && ALL_KEYWORDS.binary_search(&upper.as_str()).is_ok();
        (!plain || reserved).then_some('"')
    }
}

/// One line, not too long.
fn clip(text: String) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use datafusion_sql::unparser::dialect::DefaultDialect;

    use super::*;

    #[test]
    fn identifiers_are_quoted_as_by_datafusion() {
        for name in
            ["price", "Price", "_1", "1st", "a b", "a\"b", "select", "SELECT", "id", "ID", "window", "key", "ü", ""]
        {
            let theirs = DefaultDialect {}.identifier_quote_style(name);
            assert_eq!(Plain.identifier_quote_style(name), theirs, "{name:?}");
        }
        assert!(ALL_KEYWORDS.is_sorted());
    }
}
