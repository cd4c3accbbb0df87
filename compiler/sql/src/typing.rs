//! The type errors of expressions, each where the smallest expression stands that is wrong.
//!
//! DataFusion ends at the first error of a query. When it has refused one, each expression is bound alone here, over
//! the columns of its FROM; of one that is refused again its parts are, down to those whose own parts are sound. So
//! one fault is told once and all of them are, and nothing that is right is ever blamed: only what the binder refuses
//! is looked into.
//!
//! Not here: names ([`crate::scope`]), which are resolved before; errors about them are passed over in silence.
//!
//! Cost: only of queries that are wrong. An expression of depth n is bound about n times, and to settle the types of one
//! takes the square of its depth, so this goes on up to [`MAX_EFFORT`] only.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use compiler_ir::verify::native_cast;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{
    Column as DfColumn, DFSchema, DFSchemaRef, DataFusionError, Result, ScalarValue, TableReference,
};
use datafusion_expr::expr::{Cast, TryCast};
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{EmptyRelation, Expr as DfExpr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::planner::{PlannerContext, SqlToRel};
use kernels::{Kernel, Param, function};
use schema::ScalarType;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, Subscript,
    UnaryOperator, Value, Visit, Visitor,
};

use crate::catalog::Catalog;
use crate::check::function_name;
use crate::context::{Context, parser_options};
use crate::diagnostic::{Diagnostic, Span, code, span_of};
use crate::functions::registry;
use crate::hints;
use crate::names::name_columns;
use crate::parse::normalize;
use crate::rules;
use crate::scope::{Column, missing_member};
use crate::spelling;
use crate::translate::{
    column_place, does_not_take, find_cast, find_text, message_of, root, sentence, sql_type, translate,
};

/// The squares of the sizes of all parts that are bound to find where errors are. What is left then is told as a whole.
const MAX_EFFORT: usize = 1_000_000;

/// Binds expressions over some columns.
pub(crate) struct Typing<'a> {
    catalog: &'a Catalog,
    schema: DFSchemaRef,
    /// What is left of [`MAX_EFFORT`].
    effort: Cell<usize>,
}

/// An expression that is sound.
pub(crate) struct Bound {
    /// Before types are settled.
    pub(crate) expr: DfExpr,
    pub(crate) field: FieldRef,
    plan: LogicalPlan,
}

impl<'a> Typing<'a> {
    /// Columns whose types are not known are left out, so that what reads them is an error about a name. `None` when
    /// two columns cannot be told apart.
    pub(crate) fn new<'c>(
        catalog: &'a Catalog,
        columns: impl IntoIterator<Item = (Option<&'c str>, &'c Column)>,
    ) -> Option<Self> {
        let mut fields = Vec::new();
        for (qualifier, column) in columns {
            let Some(field) = &column.field else { continue };
            let field = Arc::new(field.as_ref().clone().with_name(&column.name));
            fields.push((qualifier.map(TableReference::bare), field));
        }
        let schema = DFSchema::new_with_metadata(fields, HashMap::new()).ok()?;
        Some(Typing { catalog, schema: Arc::new(schema), effort: Cell::new(MAX_EFFORT) })
    }

    /// Binds an expression, or adds what is wrong with it to `found`.
    pub(crate) fn check(&self, sql: &Expr, found: &mut Vec<Diagnostic>) -> Option<Bound> {
        match self.bind(sql) {
            Ok(bound) => {
                found.extend(wrong_casts(&bound.plan, sql, span_of(sql.span())));
                Some(bound)
            }
            Err(error) => {
                self.explain(sql, error, true, found);
                None
            }
        }
    }

    /// The same for a condition, which must be one. `clause`: what it is the condition of.
    pub(crate) fn condition(&self, clause: &str, sql: &Expr, found: &mut Vec<Diagnostic>) -> Option<Bound> {
        let bound = self.check(sql, found)?;
        found.extend(not_boolean(clause, bound.field.data_type(), span_of(sql.span())));
        Some(bound)
    }

    fn bind(&self, sql: &Expr) -> Result<Bound> {
        let context = Context { catalog: self.catalog, options: rules::config() };
        let planner = SqlToRel::new_with_options(&context, parser_options());
        let expr = spelling::resolve(&mut sql.clone(), |sql: &Expr| {
            let mut named = sql.clone();
            name_columns(&mut named);
            planner.sql_to_expr(named, &self.schema, &mut PlannerContext::new())
        })?;
        let rows = EmptyRelation { produce_one_row: false, schema: Arc::clone(&self.schema) };
        let plan = LogicalPlanBuilder::from(LogicalPlan::EmptyRelation(rows))
            .project([expr.clone().alias("value")])?
            .build()?;
        let plan = rules::analyze_only(plan)?;
        let field = Arc::clone(plan.schema().field(0));
        Ok(Bound { expr, field, plan })
    }

    fn type_of(&self, sql: &Expr) -> Option<DataType> {
        self.bind(sql).ok().map(|bound| bound.field.data_type().clone())
    }

    /// `whole`: it is no part of another expression, which may be all that gives it a meaning.
    fn explain(&self, sql: &Expr, error: DataFusionError, whole: bool, found: &mut Vec<Diagnostic>) {
        let known = found.len();
        each_part(sql, &mut |part, size| {
            let effort = self.effort.get().checked_sub(size.saturating_mul(size));
            self.effort.set(effort.unwrap_or_default());
            if effort.is_some()
                && let Err(error) = self.bind(part)
            {
                self.explain(part, error, false, found);
            }
        });
        let is_own = match root(&error) {
            DataFusionError::SchemaError(..) => false,
            DataFusionError::NotImplemented(_) => whole,
            _ => true,
        };
        if is_own && found.len() == known {
            found.extend(self.fault(sql, error));
        }
    }

    /// What is wrong with an expression whose parts are sound.
    fn fault(&self, sql: &Expr, error: DataFusionError) -> Vec<Diagnostic> {
        let span = span_of(sql.span());
        let missing = matches!(root(&error), DataFusionError::NotImplemented(_));
        let own = match sql {
            Expr::BinaryOp { op, .. } if missing => Some(vec![unknown_operator(op, span)]),
            Expr::UnaryOp { op, .. } if missing => Some(vec![unknown_operator(op, span)]),
            Expr::BinaryOp { left, op, right } => self.operands(left, op, right, span),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                self.type_of(expr).map(|ty| not_boolean("NOT", &ty, span).into_iter().collect())
            }
            Expr::UnaryOp { op, expr } => self.type_of(expr).map(|ty| {
                let message = format!("operator does not exist: {op} {}", sql_type(&ty));
                vec![Diagnostic::error(code::TYPES, span, message).with_hint(operand_hint(&[&ty]))]
            }),
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            other => self.call(other, &error),
        };
        match own {
            Some(found) if !found.is_empty() => found,
            _ => translate(error, sql, span),
        }
    }

    fn operands(&self, left: &Expr, op: &BinaryOperator, right: &Expr, span: Option<Span>) -> Option<Vec<Diagnostic>> {
        let (left_type, right_type) = (self.type_of(left)?, self.type_of(right)?);
        if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
            let name = op.to_string();
            let wrong = [(left, &left_type), (right, &right_type)].into_iter();
            return Some(wrong.filter_map(|(operand, ty)| not_boolean(&name, ty, span_of(operand.span()))).collect());
        }
        let message = format!("operator does not exist: {} {op} {}", sql_type(&left_type), sql_type(&right_type));
        let is_text = |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let hint = match op {
            BinaryOperator::Plus if is_text(&left_type) && is_text(&right_type) => "join texts with ||",
            BinaryOperator::Arrow | BinaryOperator::LongArrow | BinaryOperator::Question => {
                "it reads JSON text, by the name of a member or the number of an element"
            }
            _ => operand_hint(&[&left_type, &right_type]),
        };
        Some(vec![Diagnostic::error(code::TYPES, span, message).with_hint(hint)])
    }

    /// The first step of `root.a[1].b` that the value before it does not have.
    fn access(&self, root: &Expr, chain: &[AccessExpr]) -> Option<Vec<Diagnostic>> {
        let first = |count: usize| match count {
            0 => root.clone(),
            count => Expr::CompoundFieldAccess { root: Box::new(root.clone()), access_chain: chain[..count].to_vec() },
        };
        for (count, step) in chain.iter().enumerate() {
            // Of `table.column` the first part alone is nothing.
            let Ok(base) = self.bind(&first(count)) else { continue };
            if self.bind(&first(count + 1)).is_ok() {
                continue;
            }
            let ty = base.field.data_type();
            let fault = match member(step) {
                Some((name, span)) => missing_member(ty, &name, span)?,
                None => {
                    let span = span_of(step.span()).or(span_of(root.span()));
                    let message = format!("type {} has no elements", sql_type(ty));
                    Diagnostic::error(code::TYPES, span, message).with_hint("only lists have elements: tags[1]")
                }
            };
            return Some(vec![fault]);
        }
        None
    }

    fn call(&self, sql: &Expr, error: &DataFusionError) -> Option<Vec<Diagnostic>> {
        let call = Call::of(sql)?;
        let message = message_of(error);
        let message = if message.contains("No function matches") {
            let types = call.arguments.iter().map(|argument| self.type_of(argument).map(|ty| sql_type(&ty)));
            does_not_take(&call.name, &types.collect::<Option<Vec<_>>>()?)
        } else {
            sentence(&message)
        };
        let hint = match registry().syntax(&call.name) {
            _ if message.contains("is too large") => "make less of it, or compute it from columns".to_owned(),
            Some(syntax) => format!("write {syntax}"),
            None => "docs/sql.md lists the functions".to_owned(),
        };
        Some(vec![Diagnostic::error(code::TYPES, call.span, message).with_hint(hint)])
    }
}

/// A call of a function, in whatever form it is written.
struct Call<'e> {
    name: String,
    span: Option<Span>,
    arguments: Vec<&'e Expr>,
}

impl<'e> Call<'e> {
    fn of(sql: &'e Expr) -> Option<Self> {
        let special =
            |name: &str, arguments: Vec<&'e Expr>| Call { name: name.to_owned(), span: span_of(sql.span()), arguments };
        Some(match sql {
            Expr::Function(function) => {
                let arguments = match &function.args {
                    FunctionArguments::List(list) => list.args.iter().filter_map(argument).collect(),
                    FunctionArguments::None | FunctionArguments::Subquery(_) => vec![],
                };
                Call { name: function_name(function), span: span_of(function.name.span()), arguments }
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let rest = substring_from.iter().chain(substring_for).map(|part| &**part);
                special("substr", std::iter::once(&**expr).chain(rest).collect())
            }
            Expr::Position { expr, r#in } => special("position", vec![&**expr, &**r#in]),
            Expr::Trim { expr, .. } => special("trim", vec![&**expr]),
            Expr::Extract { expr, .. } => special("extract", vec![&**expr]),
            Expr::Ceil { expr, .. } => special("ceil", vec![&**expr]),
            Expr::Floor { expr, .. } => special("floor", vec![&**expr]),
            _ => return None,
        })
    }
}

fn argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } | FunctionArg::Unnamed(arg) => match arg {
            FunctionArgExpr::Expr(expr) => Some(expr),
            _ => None,
        },
    }
}

/// The member that a step names, and where.
fn member(step: &AccessExpr) -> Option<(String, Option<Span>)> {
    match step {
        AccessExpr::Dot(Expr::Identifier(ident)) => Some((normalize(ident), span_of(ident.span))),
        AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) }) => match &value.value {
            Value::SingleQuotedString(text) => Some((text.clone(), span_of(value.span))),
            _ => None,
        },
        _ => None,
    }
}

fn unknown_operator(op: &impl std::fmt::Display, span: Option<Span>) -> Diagnostic {
    Diagnostic::unsupported(span, format!("the operator {op}"))
}

fn not_boolean(clause: &str, ty: &DataType, span: Option<Span>) -> Option<Diagnostic> {
    let message = format!("argument of {clause} must be of type BOOLEAN, not {}", sql_type(ty));
    (!matches!(ty, DataType::Boolean | DataType::Null)).then(|| Diagnostic::error(code::TYPES, span, message))
}

fn operand_hint(types: &[&DataType]) -> &'static str {
    if types.iter().any(|ty| matches!(ty, DataType::Struct(_))) {
        "name a member of the struct: place.city"
    } else if types.iter().any(|ty| matches!(ty, DataType::List(_) | DataType::LargeList(_))) {
        "take an element of the list: tags[1]"
    } else {
        "convert an operand with CAST"
    }
}

/// Calls `each` for the expressions that an expression is directly made of, with their sizes.
fn each_part(sql: &Expr, each: &mut dyn FnMut(&Expr, usize)) {
    struct Parts<'a> {
        each: &'a mut dyn FnMut(&Expr, usize),
        /// How many expressions enclose the one that is visited.
        inside: usize,
        /// How many expressions the part has.
        size: usize,
    }
    impl Visitor for Parts<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<()> {
            self.inside += 1;
            self.size += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            self.inside -= 1;
            if self.inside == 1 {
                (self.each)(expr, self.size);
                self.size = 0;
            }
            ControlFlow::Continue(())
        }
    }
    let _ = sql.visit(&mut Parts { each, inside: 0, size: 0 });
}

/// Casts that no row of any input would survive: of a text constant that is no value of the type, and between types that
/// are not converted. `tree`: the query that the plan is made of; `whole`: where it stands.
pub(crate) fn wrong_casts(plan: &LogicalPlan, tree: &impl Visit, whole: Option<Span>) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    let walked = plan.apply(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                let fault = wrong_cast(part, &schema, tree, whole);
                found.extend(fault.filter(|fault| !found.contains(fault)));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    debug_assert!(walked.is_ok(), "the walk itself does not fail");
    found
}

fn wrong_cast(expr: &DfExpr, schema: &DFSchema, tree: &impl Visit, whole: Option<Span>) -> Option<Diagnostic> {
    let (arg, to) = match expr {
        DfExpr::Cast(Cast { expr, field }) | DfExpr::TryCast(TryCast { expr, field }) => (expr, field.data_type()),
        _ => return None,
    };
    let ty = ScalarType::from_arrow(to).ok()?;
    if let (DfExpr::Cast(_), DfExpr::Literal(value @ ScalarValue::Utf8(Some(text)), _)) = (expr, arg.as_ref())
        && value.cast_to(to).is_err()
    {
        let message = format!("invalid input syntax for type {ty}: \"{text}\"");
        let hint = hints::constant_of(&ty).unwrap_or("write a constant of that type");
        let span = find_text(tree, text).or(whole);
        return Some(Diagnostic::error(code::TYPES, span, message).with_hint(hint));
    }
    let from = ScalarType::from_arrow(&arg.get_type(schema).ok()?).ok()?;
    if from == ty || from == ScalarType::Null || (from.is_text() && ty.is_text()) || native_cast(&from, &ty) {
        return None;
    }
    let message = Kernel::new(function::cast, &[Param::column(from, true)], &ty).err()?;
    // One that the query does not have, the planner has added: the lowering says so, if it is left in the end.
    let span = find_cast(tree, &ty, column_place(arg))?;
    Some(Diagnostic::error(code::TYPES, Some(span), message).with_hint(hints::NO_CAST))
}

/// The columns of an expression that are neither in a group key nor in an aggregate, each once.
pub(crate) fn ungrouped(expr: &DfExpr, keys: &[DfExpr]) -> Vec<DfColumn> {
    let mut found: Vec<DfColumn> = Vec::new();
    let walked = expr.apply(|part| {
        if keys.contains(part) || matches!(part, DfExpr::AggregateFunction(_)) {
            return Ok(TreeNodeRecursion::Jump);
        }
        if let DfExpr::Column(column) = part
            && !found.contains(column)
        {
            found.push(column.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "the walk itself does not fail");
    found
}
