//! Kernel calls, bound as the worker binds them.
//!
//! DataFusion's planner leaves some types to its execution, those of casts above all. So each call is bound here once,
//! and what its kernel does not take is an error of the query and not of a pipeline that has been started.

use compiler_ir::{Expr, ExprKind, Literal};
use kernels::{Kernel, Param};
use schema::ScalarType;

use crate::diagnostic::{Diagnostic, Span, code};
use crate::hints;

/// What is wrong with a kernel call of the statement that stands at `span`.
pub(super) fn fault(call: &Expr, span: Option<Span>) -> Option<Diagnostic> {
    let ExprKind::Kernel { name, args } = &call.kind else { return None };
    let params: Vec<Param> = args.iter().map(param).collect();
    let message = Kernel::named(name, &params, &call.ty).err()?;
    let hint = match name.as_str() {
        "cast" | "try_cast" => hints::NO_CAST,
        _ => "convert the arguments with CAST",
    };
    Some(Diagnostic::error(code::TYPES, span, message).with_hint(hint))
}

fn param(arg: &Expr) -> Param {
    match &arg.kind {
        ExprKind::Literal(value) => constant(value, &arg.ty),
        _ => Param::column(arg.ty.clone(), arg.nullable),
    }
}

fn constant(value: &Literal, ty: &ScalarType) -> Param {
    match (value, ty) {
        (Literal::Null, _) => Param::null(ty.clone()),
        (Literal::Bool(value), _) => Param::bool(*value),
        (Literal::Int(value), _) => Param::int(ty.clone(), *value),
        (Literal::UInt(value), _) => Param::uint(ty.clone(), *value),
        (Literal::Float(value), _) => Param::float(ty.clone(), *value),
        (Literal::Decimal(value), ScalarType::Decimal { precision, scale }) => {
            Param::decimal(*precision, *scale, *value)
        }
        (Literal::Utf8(text), _) => Param::utf8(text),
        (Literal::Binary(bytes), _) => Param::binary(bytes),
        (Literal::Interval { months, days, nanos }, _) => Param::interval(*months, *days, *nanos),
        (Literal::List(items), ScalarType::List(item)) => {
            Param::list((**item).clone(), items.iter().map(|value| constant(value, item)).collect())
        }
        (Literal::Struct(values), ScalarType::Struct(fields)) => {
            let members = fields.iter().zip(values).map(|(field, value)| constant(value, &field.ty));
            Param::structure(ty.clone(), members.collect())
        }
        // The verifier says that the form is not the type's.
        (Literal::Decimal(_) | Literal::List(_) | Literal::Struct(_), _) => Param::column(ty.clone(), false),
    }
}
