//! `USING (key, window)`, written out.
//!
//! To DataFusion a column of USING is the left side's, also where an outer join has no row on the left. SQL says that it
//! is the value of either side. So before a query is bound, the syntax tree is written without USING:
//!
//! ```text
//!  SELECT *, window.start FROM a FULL JOIN b USING (key, window)
//!  SELECT coalesce(a.key, b.key) AS key, coalesce(a.window, b.window) AS window,
//!         a.* EXCEPT (key, window), b.* EXCEPT (key, window), coalesce(a.window.start, b.window.start) AS start
//!  FROM a FULL JOIN b ON a.key = b.key AND a.window = b.window
//! ```
//!
//! Of an inner or left join the value is the left side's, of a right one the right side's. What is written in the place
//! of something stands where that stood.
//!
//! Not here: which relations have the columns (the check of the syntax tree finds that, and what is wrong with it).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use compiler_ir::JoinKind;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, ExceptSelectItem, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Span as SqlSpan;

use crate::diagnostic::{Position, span_of};
use crate::names::name_items;
use crate::parse::{normalize, single};

/// A column of a relation: the relation's name, the column's spelling.
pub(crate) type Qualified = [String; 2];

/// A column of USING, and where each side has it.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    /// As references name it.
    pub(crate) name: String,
    pub(crate) left: Qualified,
    pub(crate) right: Qualified,
}

/// By where the first column of a USING stands.
pub(crate) type Merges = BTreeMap<Position, Vec<Merge>>;

/// The kind of a join that may have USING, and its constraint.
pub(crate) fn constraint(operator: &JoinOperator) -> Option<(JoinKind, &JoinConstraint)> {
    match operator {
        JoinOperator::Inner(constraint) | JoinOperator::Join(constraint) => Some((JoinKind::Inner, constraint)),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => Some((JoinKind::Left, constraint)),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => Some((JoinKind::Right, constraint)),
        JoinOperator::FullOuter(constraint) => Some((JoinKind::Full, constraint)),
        _ => None,
    }
}

fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Inner(constraint)
        | JoinOperator::Join(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

/// Where the first column of a USING stands.
pub(crate) fn place(names: &[ObjectName]) -> Option<Position> {
    Some(span_of(single(names.first()?)?.span)?.start)
}

/// Writes a checked query without USING.
pub(crate) fn write_out(query: &mut Query, merges: &Merges) {
    struct Selects<'a>(&'a Merges);
    impl VisitorMut for Selects<'_> {
        type Break = ();

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            rewrite(select, self.0);
            ControlFlow::Continue(())
        }
    }
    if !merges.is_empty() {
        let _ = query.visit(&mut Selects(merges));
    }
}

fn rewrite(select: &mut Select, merges: &Merges) {
    let mut merged = Merged { merges, columns: vec![], relations: vec![] };
    select.from.iter_mut().for_each(|item| merged.from(item));
    if merged.columns.is_empty() {
        return;
    }
    // Items keep the names that they have as they are written.
    name_items(&mut select.projection);
    let mut items = Vec::with_capacity(select.projection.len());
    for mut item in std::mem::take(&mut select.projection) {
        match &mut item {
            SelectItem::Wildcard(options) => {
                items.extend(merged.star(options.wildcard_token.0.span));
                continue;
            }
            SelectItem::UnnamedExpr(expr) => {
                let name = match expr {
                    Expr::Identifier(ident) => Some(ident.clone()),
                    _ => None,
                };
                merged.replace(expr);
                if let (Some(alias), false) = (name, matches!(expr, Expr::Identifier(_))) {
                    item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
            SelectItem::ExprWithAlias { expr, .. } | SelectItem::ExprWithAliases { expr, .. } => merged.replace(expr),
            SelectItem::QualifiedWildcard(..) => {}
        }
        items.push(item);
    }
    select.projection = items;
    select.selection.iter_mut().chain(&mut select.having).for_each(|expr| merged.replace(expr));
    if let GroupByExpr::Expressions(groups, _) = &mut select.group_by {
        groups.iter_mut().for_each(|group| merged.replace(group));
    }
}

/// What a FROM has merged so far.
struct Merged<'a> {
    merges: &'a Merges,
    /// By name, in order: the values of which the first that is not null is meant.
    columns: Vec<(String, Vec<Qualified>)>,
    /// In order, each with those of its columns that are merged.
    relations: Vec<(String, Vec<String>)>,
}

impl Merged<'_> {
    fn from(&mut self, item: &mut TableWithJoins) {
        self.factor(&mut item.relation);
        for join in &mut item.joins {
            self.factor(&mut join.relation);
            let Some((kind, _)) = constraint(&join.join_operator) else { continue };
            match constraint_mut(&mut join.join_operator) {
                Some(JoinConstraint::On(condition)) => self.replace(condition),
                Some(written) => self.constraint(kind, written),
                None => {}
            }
        }
    }

    fn factor(&mut self, factor: &mut TableFactor) {
        let name = match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => return self.from(table_with_joins),
            // What is merged inside is not seen from outside.
            TableFactor::NestedJoin { table_with_joins, alias: Some(alias) } => {
                Merged { merges: self.merges, columns: vec![], relations: vec![] }.from(table_with_joins);
                Some(alias.name.clone())
            }
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                Some(alias.name.clone())
            }
            TableFactor::Table { name, .. } => single(name),
            _ => None,
        };
        self.relations.extend(name.map(|name| (normalize(&name), vec![])));
    }

    /// Makes USING an ON.
    fn constraint(&mut self, kind: JoinKind, written: &mut JoinConstraint) {
        let JoinConstraint::Using(names) = written else { return };
        let all = self.merges;
        let Some(merges) = place(names).and_then(|place| all.get(&place)) else { return };
        let mut conditions = Vec::with_capacity(merges.len());
        for (merge, name) in merges.iter().zip(names.iter()) {
            let span = single(name).map_or_else(SqlSpan::empty, |name| name.span);
            let known = self.columns.iter().position(|(known, _)| *known == merge.name);
            let index = known.unwrap_or_else(|| {
                self.columns.push((merge.name.clone(), vec![merge.left.clone()]));
                self.columns.len() - 1
            });
            let values = &mut self.columns[index].1;
            let left = value(values, &[], span);
            let right = value(std::slice::from_ref(&merge.right), &[], span);
            conditions.push(Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Eq, right: Box::new(right) });
            match kind {
                JoinKind::Inner | JoinKind::Left => {}
                JoinKind::Right => *values = vec![merge.right.clone()],
                JoinKind::Full => values.push(merge.right.clone()),
            }
            for [relation, column] in [&merge.left, &merge.right] {
                if let Some((_, columns)) = self.relations.iter_mut().find(|(name, _)| name == relation)
                    && !columns.contains(column)
                {
                    columns.push(column.clone());
                }
            }
        }
        let and = |left: Expr, right: Expr| Expr::BinaryOp {
            left: Box::new(left),
            op: BinaryOperator::And,
            right: Box::new(right),
        };
        if let Some(condition) = conditions.into_iter().reduce(and) {
            *written = JoinConstraint::On(condition);
        }
    }

    /// `*`: what is merged, then what else each relation has.
    fn star(&self, span: SqlSpan) -> Vec<SelectItem> {
        let merged = self.columns.iter().map(|(name, values)| SelectItem::ExprWithAlias {
            expr: value(values, &[], span),
            alias: quoted(name, span),
        });
        let rest = self.relations.iter().map(|(name, merged)| {
            let mut merged = merged.iter().map(|column| quoted(column, span));
            let except = merged
                .next()
                .map(|first_element| ExceptSelectItem { first_element, additional_elements: merged.collect() });
            let relation = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(quoted(name, span)));
            let options = WildcardAdditionalOptions { opt_except: except, ..WildcardAdditionalOptions::default() };
            SelectItem::QualifiedWildcard(relation, options)
        });
        merged.chain(rest).collect()
    }

    /// Puts their values in the place of references to merged columns.
    fn replace(&self, expr: &mut Expr) {
        struct References<'a> {
            merged: &'a Merged<'a>,
            /// Expressions, by identity, that are names of something else than a column.
            no_columns: Vec<*const Expr>,
        }
        impl VisitorMut for References<'_> {
            type Break = ();

            fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if let Expr::CompoundFieldAccess { root, access_chain } = expr {
                    let members = access_chain.iter().filter_map(|access| match access {
                        AccessExpr::Dot(member @ Expr::Identifier(_)) => Some(std::ptr::from_ref(member)),
                        _ => None,
                    });
                    self.no_columns.extend(members);
                    // `a.b[1]`: the name in front may be a relation's.
                    if let Expr::Identifier(first) = &**root
                        && self.merged.has_relation(first)
                    {
                        self.no_columns.push(std::ptr::from_ref(&**root));
                    }
                }
                ControlFlow::Continue(())
            }

            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                let replaced = match &*expr {
                    Expr::Identifier(ident) if !self.no_columns.contains(&std::ptr::from_ref(&*expr)) => {
                        self.merged.value_of(ident, &[])
                    }
                    Expr::CompoundIdentifier(parts) => match parts.split_first() {
                        Some((first, members)) if !self.merged.has_relation(first) => {
                            self.merged.value_of(first, members)
                        }
                        _ => None,
                    },
                    _ => None,
                };
                if let Some(replaced) = replaced {
                    *expr = replaced;
                }
                ControlFlow::Continue(())
            }
        }
        if !self.columns.is_empty() {
            let _ = expr.visit(&mut References { merged: self, no_columns: vec![] });
        }
    }

    fn has_relation(&self, name: &Ident) -> bool {
        let name = normalize(name);
        self.relations.iter().any(|(relation, _)| *relation == name)
    }

    fn value_of(&self, name: &Ident, members: &[Ident]) -> Option<Expr> {
        let wanted = normalize(name);
        let (_, values) = self.columns.iter().find(|(name, _)| *name == wanted)?;
        Some(value(values, members, name.span))
    }
}

fn quoted(name: &str, span: SqlSpan) -> Ident {
    Ident { value: name.to_owned(), quote_style: Some('"'), span }
}

/// The first of some columns that is not null, or a member of it.
fn value(columns: &[Qualified], members: &[Ident], span: SqlSpan) -> Expr {
    let mut values = columns.iter().map(|parts| {
        let parts = parts.iter().map(|part| quoted(part, span)).chain(members.iter().cloned());
        Expr::CompoundIdentifier(parts.collect())
    });
    if let (1, Some(only)) = (columns.len(), values.next()) {
        return only;
    }
    let values = columns.iter().map(|column| value(std::slice::from_ref(column), members, span));
    let args = values.map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value))).collect();
    Expr::Function(Function {
        name: ObjectName::from(Ident::with_span(span, "coalesce")),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
