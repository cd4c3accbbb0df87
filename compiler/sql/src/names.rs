//! Names for the columns that a SELECT leaves unnamed.
//!
//! DataFusion names them after its own plan (`t.a + Int64(1)`), and refuses a select list with two columns of one
//! name. Users read the names in their output, so they are given here, on the syntax tree: the last part of a column
//! or member, `window` for a time window, else the expression as it would be written: `count(*)`, `price * 2`. A
//! name that is taken gets a number: `price_1`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{AccessExpr, Expr, Ident, Select, SelectItem, Subscript, Value, VisitMut, VisitorMut};

use crate::check::function_name;
use crate::functions::TUMBLE;
use crate::parse::normalize;

/// Names every unnamed item of every select list below `node`.
pub(crate) fn name_columns(node: &mut impl VisitMut) {
    struct Name;
    impl VisitorMut for Name {
        type Break = ();

        /// `(expr).member` is `expr['member']`: DataFusion knows the member by a constant only. But in `a.b[1]` the
        /// names in front may be a table's and a column's, which it finds out.
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::CompoundFieldAccess { root, access_chain } = expr {
                let names = leading_names(root, access_chain);
                for access in access_chain.iter_mut().skip(names) {
                    if let AccessExpr::Dot(Expr::Identifier(member)) = access {
                        let index = Expr::Value(Value::SingleQuotedString(normalize(member)).with_span(member.span));
                        *access = AccessExpr::Subscript(Subscript::Index { index });
                    }
                }
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            name_items(&mut select.projection);
            ControlFlow::Continue(())
        }
    }
    let _ = node.visit(&mut Name);
}

/// How many steps of `a.b.c[1].d` follow the first name as names do: two.
pub(crate) fn leading_names(root: &Expr, chain: &[AccessExpr]) -> usize {
    match root {
        Expr::Identifier(_) => {
            chain.iter().take_while(|access| matches!(access, AccessExpr::Dot(Expr::Identifier(_)))).count()
        }
        _ => 0,
    }
}

pub(crate) fn name_items(items: &mut [SelectItem]) {
    let mut taken = BTreeSet::new();
    for item in items.iter() {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                taken.insert(normalize(alias));
            }
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                taken.insert(normalize(ident));
            }
            _ => {}
        }
    }
    let mut seen_plain = BTreeSet::new();
    for item in items {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        // A plain column has its name already; only its repetition needs another.
        if let Expr::Identifier(ident) = &*expr
            && seen_plain.insert(normalize(ident))
        {
            continue;
        }
        let wanted = name_of(expr);
        let mut name = wanted.clone();
        let mut n = 0;
        while !taken.insert(name.clone()) {
            n += 1;
            name = format!("{wanted}_{n}");
        }
        let expr = std::mem::replace(expr, Expr::value(Value::Null));
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
    }
}

fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => normalize(ident),
        Expr::CompoundIdentifier(parts) => parts.last().map(normalize).unwrap_or_default(),
        Expr::Nested(inner) => name_of(inner),
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(AccessExpr::Dot(member)) => name_of(member),
            Some(AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) })) => match &value.value {
                Value::SingleQuotedString(text) => text.clone(),
                _ => expr.to_string(),
            },
            _ => expr.to_string(),
        },
        Expr::Cast { expr: inner, .. } => match name_of_column(inner) {
            Some(name) => name,
            None => expr.to_string(),
        },
        Expr::Function(function) if function_name(function) == TUMBLE => "window".to_owned(),
        other => other.to_string(),
    }
}

/// The name, when it is a column or member: a cast keeps it.
fn name_of_column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Some(name_of(expr)),
        Expr::Nested(inner) => name_of_column(inner),
        _ => None,
    }
}
