//! The clause that an operator comes from, in canonical spelling.
//!
//! Made from the bound expressions, so that neither layout nor the spelling of keywords shows in generated code.

use compiler_ir::JoinKind;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DataFusionError};
use datafusion_expr::{Expr, Join};
use datafusion_sql::unparser::expr_to_sql;

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
    match expr_to_sql(expr) {
        Ok(sql) => sql.to_string(),
        Err(_) => expr.to_string(),
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
