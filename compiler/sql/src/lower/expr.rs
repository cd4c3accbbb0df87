//! Scalar expressions: DataFusion's to the IR's.
//!
//! An expression is native where the IR's verifier accepts it as native code, and a kernel call otherwise. Here the
//! kernel calls stand where the query has them, inside expressions; [`super::hoist`] moves them out.

use std::collections::HashSet;

use compiler_ir::{BinaryOp, DateField, Expr, ExprKind, Literal, NativeFn, UnaryOp, verify};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::{Case, InList, Like, ScalarFunction};
use datafusion_expr::{BinaryExpr, Expr as DfExpr, ExprSchemable, Operator};
use schema::{Changelog, Field, ScalarType, Schema};

use super::literal::constant;
use super::{Result2, cast};
use crate::check::open_escape;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::functions::{ROW_TIME, TUMBLE};

/// The relation that expressions read.
pub(super) struct Scope<'a> {
    pub(super) names: &'a DFSchema,
    /// Logical column to column of `schema`.
    pub(super) columns: &'a [usize],
    pub(super) schema: &'a Schema,
    pub(super) event_time: Option<usize>,
    pub(super) span: Option<Span>,
}

pub(super) fn column_ref(index: usize, schema: &Schema) -> Expr {
    let field = &schema.fields[index];
    Expr::column(index, field.ty.clone(), field.nullable)
}

pub(super) fn and(left: Expr, right: Expr) -> Expr {
    binary(BinaryOp::And, left, right)
}

pub(super) fn unary(op: UnaryOp, arg: Expr) -> Expr {
    let nullable = op == UnaryOp::Not && arg.nullable;
    Expr { kind: ExprKind::Unary { op, arg: Box::new(arg) }, ty: ScalarType::Bool, nullable }
}

/// Of booleans, or a comparison.
pub(super) fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let never = matches!(op, BinaryOp::IsDistinctFrom | BinaryOp::IsNotDistinctFrom);
    let nullable = !never && (left.nullable || right.nullable);
    Expr { kind: ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, ty: ScalarType::Bool, nullable }
}

fn kernel(name: &str, args: Vec<Expr>, ty: ScalarType) -> Expr {
    Expr { kind: ExprKind::Kernel { name: name.to_owned(), args }, ty, nullable: true }
}

/// The expression itself where native code has it, else the kernel with the same operands.
fn native_or(mut expr: Expr, name: &str) -> Expr {
    if is_native_here(&mut expr) {
        return expr;
    }
    let Expr { mut kind, ty, .. } = expr;
    let args = take_children(&mut kind);
    kernel(name, args, ty)
}

/// Whether native code has this operation on operands of these types; what the operands are does not matter.
fn is_native_here(expr: &mut Expr) -> bool {
    let mut fields = Vec::new();
    let mut kept = Vec::new();
    for (index, child) in expr.children_mut().into_iter().enumerate() {
        let column = Expr::column(index, child.ty.clone(), child.nullable);
        fields.push(Field::new("operand", child.ty.clone(), child.nullable));
        kept.push(std::mem::replace(child, column));
    }
    let native = verify::native_expr(expr, &Schema::new(fields)).is_ok();
    for (child, operand) in expr.children_mut().into_iter().zip(kept) {
        *child = operand;
    }
    native
}

fn take_children(kind: &mut ExprKind) -> Vec<Expr> {
    let mut shell = Expr { kind: kind.clone(), ty: ScalarType::Null, nullable: true };
    let placeholder = || Expr::literal(Literal::Null, ScalarType::Null);
    shell.children_mut().into_iter().map(|child| std::mem::replace(child, placeholder())).collect()
}

impl Scope<'_> {
    fn unsupported<T>(&self, what: impl std::fmt::Display) -> Result2<T> {
        Err(Box::new(Diagnostic::error(code::NO_PLACE, self.span, format!("{what} is not supported yet"))))
    }

    /// The type that DataFusion gives the expression.
    pub(super) fn type_of(&self, expr: &DfExpr) -> Result2<ScalarType> {
        match expr.get_type(self.names) {
            Ok(ty) => match ScalarType::from_arrow(&ty) {
                Ok(ty) => Ok(ty),
                Err(_) => self.unsupported(format!("a value of type {ty}")),
            },
            Err(error) => self.unsupported(format!("an expression without a type ({})", error.strip_backtrace())),
        }
    }

    pub(super) fn lower(&self, expr: &DfExpr) -> Result2<Expr> {
        match expr {
            DfExpr::Alias(alias) => self.lower(&alias.expr),
            DfExpr::Column(column) => match self.names.maybe_index_of_column(column) {
                Some(index) => Ok(column_ref(self.columns[index], self.schema)),
                None => self.unsupported(format!("column \"{}\" in this place", column.name)),
            },
            DfExpr::Literal(value, _) => match constant(value) {
                Some(expr) => Ok(expr),
                None => self.unsupported(format!("a constant of type {}", value.data_type())),
            },
            DfExpr::BinaryExpr(binary) => self.binary(binary, expr),
            DfExpr::Like(like) => self.like(like),
            DfExpr::SimilarTo(like) => {
                let name = if like.negated { "not_similar_to" } else { "similar_to" };
                let mut args = vec![self.lower(&like.expr)?, self.lower(&like.pattern)?];
                if let Some(escape) = like.escape_char {
                    args.push(Expr::literal(Literal::Utf8(escape.to_string()), ScalarType::Utf8));
                }
                Ok(kernel(name, args, ScalarType::Bool))
            }
            DfExpr::Not(arg) => Ok(unary(UnaryOp::Not, self.boolean(arg)?)),
            DfExpr::IsNull(arg) => Ok(unary(UnaryOp::IsNull, self.lower(arg)?)),
            DfExpr::IsNotNull(arg) => Ok(unary(UnaryOp::IsNotNull, self.lower(arg)?)),
            DfExpr::IsUnknown(arg) => Ok(unary(UnaryOp::IsNull, self.lower(arg)?)),
            DfExpr::IsNotUnknown(arg) => Ok(unary(UnaryOp::IsNotNull, self.lower(arg)?)),
            DfExpr::IsTrue(arg) => Ok(unary(UnaryOp::IsTrue, self.boolean(arg)?)),
            DfExpr::IsNotTrue(arg) => Ok(unary(UnaryOp::IsNotTrue, self.boolean(arg)?)),
            DfExpr::IsFalse(arg) => Ok(unary(UnaryOp::IsFalse, self.boolean(arg)?)),
            DfExpr::IsNotFalse(arg) => Ok(unary(UnaryOp::IsNotFalse, self.boolean(arg)?)),
            DfExpr::Negative(arg) => {
                let arg = self.lower(arg)?;
                let (ty, nullable) = (arg.ty.clone(), arg.nullable);
                let kind = ExprKind::Unary { op: UnaryOp::Negate, arg: Box::new(arg) };
                Ok(native_or(Expr { kind, ty, nullable }, "op_negate"))
            }
            DfExpr::Between(between) => {
                let (low, high) = (self.lower(&between.low)?, self.lower(&between.high)?);
                let arg = self.lower(&between.expr)?;
                let above = compare(BinaryOp::GreaterOrEqual, arg.clone(), low);
                let inside = and(above, compare(BinaryOp::LessOrEqual, arg, high));
                Ok(if between.negated { unary(UnaryOp::Not, inside) } else { inside })
            }
            DfExpr::Case(case) => self.case(case, expr),
            DfExpr::Cast(cast) => {
                let ty = self.type_of(expr)?;
                self.cast(&cast.expr, ty, false)
            }
            DfExpr::TryCast(cast) => {
                let ty = self.type_of(expr)?;
                self.cast(&cast.expr, ty, true)
            }
            DfExpr::InList(list) => self.in_list(list),
            DfExpr::ScalarFunction(call) => self.function(call, expr),
            DfExpr::AggregateFunction(call) => self.unsupported(format!("{}(...) in this place", call.func.name())),
            DfExpr::WindowFunction(_) => self.unsupported("a window function"),
            DfExpr::Exists(_) | DfExpr::InSubquery(_) | DfExpr::ScalarSubquery(_) | DfExpr::SetComparison(_) => {
                self.unsupported("a subquery as a value")
            }
            DfExpr::Unnest(_) => self.unsupported("unnest"),
            other => self.unsupported(other),
        }
    }

    /// `NULL` has no type of its own; where a condition is wanted it is an unknown one.
    pub(super) fn boolean(&self, expr: &DfExpr) -> Result2<Expr> {
        let mut lowered = self.lower(expr)?;
        if lowered.ty == ScalarType::Null {
            lowered = Expr::literal(Literal::Null, ScalarType::Bool);
        }
        match lowered.ty {
            ScalarType::Bool => Ok(lowered),
            ty => self.unsupported(format!("a condition of type {ty}")),
        }
    }

    fn binary(&self, expr: &BinaryExpr, whole: &DfExpr) -> Result2<Expr> {
        use BinaryOp as B;
        let op = match expr.op {
            Operator::And => return Ok(binary(B::And, self.boolean(&expr.left)?, self.boolean(&expr.right)?)),
            Operator::Or => return Ok(binary(B::Or, self.boolean(&expr.left)?, self.boolean(&expr.right)?)),
            Operator::Plus => Ok(B::Add),
            Operator::Minus => Ok(B::Subtract),
            Operator::Multiply => Ok(B::Multiply),
            Operator::Divide => Ok(B::Divide),
            Operator::Modulo => Ok(B::Remainder),
            Operator::BitwiseAnd => Ok(B::BitAnd),
            Operator::BitwiseOr => Ok(B::BitOr),
            Operator::BitwiseXor => Ok(B::BitXor),
            Operator::BitwiseShiftLeft => Ok(B::ShiftLeft),
            Operator::BitwiseShiftRight => Ok(B::ShiftRight),
            Operator::Eq => Ok(B::Equal),
            Operator::NotEq => Ok(B::NotEqual),
            Operator::Lt => Ok(B::Less),
            Operator::LtEq => Ok(B::LessOrEqual),
            Operator::Gt => Ok(B::Greater),
            Operator::GtEq => Ok(B::GreaterOrEqual),
            Operator::IsDistinctFrom => Ok(B::IsDistinctFrom),
            Operator::IsNotDistinctFrom => Ok(B::IsNotDistinctFrom),
            Operator::RegexMatch => Err("regex_match"),
            Operator::RegexIMatch => Err("regex_imatch"),
            Operator::RegexNotMatch => Err("regex_not_match"),
            Operator::RegexNotIMatch => Err("regex_not_imatch"),
            Operator::LikeMatch => Err("like"),
            Operator::ILikeMatch => Err("ilike"),
            Operator::NotLikeMatch => Err("not_like"),
            Operator::NotILikeMatch => Err("not_ilike"),
            Operator::StringConcat => Err("string_concat"),
            other => return self.unsupported(format!("the operator {other}")),
        };
        let (left, right) = (self.lower(&expr.left)?, self.lower(&expr.right)?);
        let ty = self.type_of(whole)?;
        let op = match op {
            Ok(op) => op,
            Err(name) => return Ok(kernel(name, vec![left, right], ty)),
        };
        if let Some(shifted) = shift_time(op, &left, &right) {
            return Ok(shifted);
        }
        if ty == ScalarType::Bool {
            return Ok(compare(op, left, right));
        }
        let nullable = left.nullable || right.nullable;
        let kind = ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) };
        Ok(native_or(Expr { kind, ty, nullable }, op.kernel()))
    }

    fn like(&self, like: &Like) -> Result2<Expr> {
        let (text, mut pattern) = (self.lower(&like.expr)?, self.lower(&like.pattern)?);
        // The backslash escapes by itself.
        let mut escape = like.escape_char.filter(|escape| *escape != '\\');
        if let ExprKind::Literal(Literal::Utf8(literal)) = &mut pattern.kind {
            if let Some(fault) = open_escape(literal, like.escape_char, self.span) {
                return Err(Box::new(fault));
            }
            if let Some(character) = escape.take() {
                *literal = with_backslashes(literal, character);
            }
        }
        if let (false, ExprKind::Literal(Literal::Utf8(literal)), true) =
            (like.case_insensitive, &pattern.kind, text.ty.is_text())
            && let Some(test) = simple_pattern(&text, literal)
        {
            return Ok(if like.negated { unary(UnaryOp::Not, test) } else { test });
        }
        let name = match (like.negated, like.case_insensitive) {
            (false, false) => "like",
            (true, false) => "not_like",
            (false, true) => "ilike",
            (true, true) => "not_ilike",
        };
        let mut args = vec![text, pattern];
        args.extend(escape.map(|escape| Expr::literal(Literal::Utf8(escape.to_string()), ScalarType::Utf8)));
        Ok(kernel(name, args, ScalarType::Bool))
    }

    fn case(&self, case: &Case, whole: &DfExpr) -> Result2<Expr> {
        let ty = self.type_of(whole)?;
        let base = case.expr.as_ref().map(|base| self.lower(base)).transpose()?;
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in &case.when_then_expr {
            let when = match &base {
                Some(base) => compare(BinaryOp::Equal, base.clone(), self.lower(when)?),
                None => self.boolean(when)?,
            };
            branches.push((when, typed_null(self.lower(then)?, &ty)));
        }
        let otherwise = match &case.else_expr {
            Some(otherwise) => Some(typed_null(self.lower(otherwise)?, &ty)),
            None => None,
        };
        if let Some(coalesce) = as_coalesce(&branches, otherwise.as_ref(), &ty) {
            return Ok(coalesce);
        }
        let nullable = branches.iter().any(|(_, then)| then.nullable) || otherwise.as_ref().is_none_or(|e| e.nullable);
        let kind = ExprKind::Case { branches, otherwise: otherwise.map(Box::new) };
        Ok(native_or(Expr { kind, ty, nullable }, "op_case"))
    }

    fn cast(&self, arg: &DfExpr, ty: ScalarType, fallible_as_null: bool) -> Result2<Expr> {
        let arg = self.lower(arg)?;
        if arg.ty == ty || (arg.ty.is_text() && ty.is_text()) {
            return Ok(arg);
        }
        if arg.kind == ExprKind::Literal(Literal::Null) {
            return Ok(Expr::literal(Literal::Null, ty));
        }
        let name = if fallible_as_null { "try_cast" } else { "cast" };
        if has_local_time(&arg.ty) != has_local_time(&ty) && has_zone(&arg.ty) != has_zone(&ty) {
            // What a clock on the wall shows there is another instant: the kernel knows the zone's rules.
            return Ok(kernel(name, vec![arg], ty));
        }
        let fits = compiler_ir::expr::cast_always_fits(&arg.ty, &ty);
        let nullable = arg.nullable || (fallible_as_null && !fits);
        let kind = ExprKind::Cast { arg: Box::new(arg), fallible_as_null };
        Ok(native_or(Expr { kind, ty, nullable }, name))
    }

    /// Constants of the argument's type make an `IN`; a null among them makes what is not found unknown; anything else
    /// is compared one by one.
    fn in_list(&self, list: &InList) -> Result2<Expr> {
        let arg = self.lower(&list.expr)?;
        let mut items = Vec::new();
        // An item that stands twice would be a pattern that is never reached.
        let mut known = HashSet::new();
        let mut others = Vec::new();
        let mut unknown = false;
        for item in &list.list {
            let item = self.lower(item)?;
            match item.kind {
                ExprKind::Literal(Literal::Null) => unknown = true,
                ExprKind::Literal(value) if item.ty == arg.ty || (item.ty.is_text() && arg.ty.is_text()) => {
                    if known.insert(format!("{value:?}")) {
                        items.push(value);
                    }
                }
                kind => others.push(Expr { kind, ..item }),
            }
        }
        let mut tests = Vec::new();
        if !items.is_empty() {
            let (ty, nullable) = (ScalarType::Bool, arg.nullable);
            let mut test = Expr {
                kind: ExprKind::InList { arg: Box::new(arg.clone()), items: items.clone(), negated: false },
                ty,
                nullable,
            };
            if !is_native_here(&mut test) {
                let mut args = vec![arg.clone()];
                args.extend(items.into_iter().map(|item| Expr::literal(item, arg.ty.clone())));
                test = kernel("in_list", args, ScalarType::Bool);
            }
            tests.push(test);
        }
        tests.extend(others.into_iter().map(|item| compare(BinaryOp::Equal, arg.clone(), item)));
        if unknown {
            tests.push(Expr::literal(Literal::Null, ScalarType::Bool));
        }
        let found = tests
            .into_iter()
            .reduce(|left, right| binary(BinaryOp::Or, left, right))
            .unwrap_or_else(|| Expr::literal(Literal::Bool(false), ScalarType::Bool));
        Ok(match (list.negated, found) {
            (true, Expr { kind: ExprKind::InList { arg, items, .. }, ty, nullable }) => {
                Expr { kind: ExprKind::InList { arg, items, negated: true }, ty, nullable }
            }
            (true, found) => unary(UnaryOp::Not, found),
            (false, found) => found,
        })
    }

    fn function(&self, call: &ScalarFunction, whole: &DfExpr) -> Result2<Expr> {
        let name = call.func.name();
        match name {
            TUMBLE => return self.unsupported("tumble outside GROUP BY"),
            ROW_TIME => {
                let Some(index) = self.event_time else {
                    let updated = self.schema.fields.first() == Some(&Changelog::retract_field());
                    return self.unsupported(match updated {
                        true => "row_time() of updated rows",
                        false => "row_time() of the result of a time window",
                    });
                };
                let time = column_ref(index, self.schema);
                let exact = time.ty == ScalarType::TIMESTAMP_NS;
                return Ok(if exact { time } else { cast(time, ScalarType::TIMESTAMP_NS) });
            }
            "get_field" => return self.member(call, whole),
            _ => {}
        }
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.lower(arg)?);
        }
        let ty = self.type_of(whole)?;
        if let Some((function, args)) = native_function(name, &args) {
            let nullable = match function {
                NativeFn::NullIf => true,
                function if function.is_strict() => args.iter().any(|arg| arg.nullable),
                _ => args.iter().all(|arg| arg.nullable),
            };
            let mut native = Expr { kind: ExprKind::Native { function, args }, ty: ty.clone(), nullable };
            if is_native_here(&mut native) {
                return Ok(native);
            }
        }
        // A function and its aliases are one kernel, which may be known by any of the names.
        let names = std::iter::once(name).chain(call.func.aliases().iter().map(String::as_str));
        match names.into_iter().find(|name| kernels::is_known(name)) {
            Some(name) => Ok(kernel(name, args, ty)),
            None => self.unsupported(format!("the function {name}")),
        }
    }

    /// `get_field(base, 'a', 'b')`.
    fn member(&self, call: &ScalarFunction, whole: &DfExpr) -> Result2<Expr> {
        let Some((base, names)) = call.args.split_first() else { return self.unsupported("get_field of nothing") };
        let mut expr = self.lower(base)?;
        for name in names {
            let DfExpr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) = name else {
                return self.unsupported("a member whose name is not a constant");
            };
            let ScalarType::Struct(fields) = &expr.ty else {
                let args = vec![expr, Expr::literal(Literal::Utf8(name.clone()), ScalarType::Utf8)];
                let ty = self.type_of(whole)?;
                return Ok(kernel("get_field", args, ty));
            };
            let Some(index) = fields.iter().position(|field| field.name == *name) else {
                return self.unsupported(format!("member \"{name}\" of {}", expr.ty));
            };
            let (ty, nullable) = (fields[index].ty.clone(), expr.nullable || fields[index].nullable);
            expr = Expr { kind: ExprKind::Field { base: Box::new(expr), index }, ty, nullable };
        }
        Ok(expr)
    }
}

/// A comparison, native or not.
pub(super) fn compare(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    // A bare NULL takes the type of what it is compared with.
    let (left, right) = match (&left.ty, &right.ty) {
        (ScalarType::Null, ScalarType::Null) => (left, right),
        (ScalarType::Null, ty) => (typed_null(left, &ty.clone()), right),
        (ty, ScalarType::Null) => {
            let ty = ty.clone();
            (left, typed_null(right, &ty))
        }
        _ => (left, right),
    };
    native_or(binary(op, left, right), op.kernel())
}

fn typed_null(expr: Expr, ty: &ScalarType) -> Expr {
    match expr.kind {
        ExprKind::Literal(Literal::Null) => Expr::literal(Literal::Null, ty.clone()),
        kind => Expr { kind, ..expr },
    }
}

/// `timestamp ± interval` for an interval that is a fixed length of time. In a zone days have no fixed length.
fn shift_time(op: BinaryOp, left: &Expr, right: &Expr) -> Option<Expr> {
    let (time, interval) = match (&left.ty, &right.ty, op) {
        (ScalarType::Timestamp { .. }, ScalarType::Interval, BinaryOp::Add | BinaryOp::Subtract) => (left, right),
        (ScalarType::Interval, ScalarType::Timestamp { .. }, BinaryOp::Add) => (right, left),
        _ => return None,
    };
    let ExprKind::Literal(Literal::Interval { months: 0, days, nanos }) = interval.kind else { return None };
    let zoned = matches!(&time.ty, ScalarType::Timestamp { zone: Some(_), .. });
    if zoned && days != 0 {
        return None;
    }
    let nanos = i64::from(days).checked_mul(86_400_000_000_000)?.checked_add(nanos)?;
    let nanos = if op == BinaryOp::Subtract { nanos.checked_neg()? } else { nanos };
    let (ty, nullable) = (time.ty.clone(), time.nullable);
    Some(Expr {
        kind: ExprKind::Native { function: NativeFn::AddNanos(nanos), args: vec![time.clone()] },
        ty,
        nullable,
    })
}

/// The pattern with backslashes in the place of another escape character; one that escapes nothing is itself.
fn with_backslashes(pattern: &str, escape: char) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        let (escaped, letter) = match letter == escape {
            true => letters.next().map_or((false, letter), |next| (matches!(next, '%' | '_'), next)),
            false => (false, letter),
        };
        if escaped || letter == '\\' {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// A pattern that is a test for equality, a prefix, a suffix or a part.
fn simple_pattern(text: &Expr, pattern: &str) -> Option<Expr> {
    if pattern.contains(['_', '\\']) {
        return None;
    }
    let literal = |part: &str| Expr::literal(Literal::Utf8(part.to_owned()), ScalarType::Utf8);
    let starts = pattern.starts_with('%');
    let ends = pattern.ends_with('%') && pattern.len() > 1;
    let part = pattern.strip_prefix('%').unwrap_or(pattern);
    let part = if ends { part.strip_suffix('%').unwrap_or(part) } else { part };
    if part.contains('%') {
        return None;
    }
    let function = match (starts, ends, part.is_empty()) {
        (false, false, _) => return Some(compare(BinaryOp::Equal, text.clone(), literal(part))),
        (_, _, true) => return None,
        (true, true, _) => NativeFn::Contains,
        (true, false, _) => NativeFn::EndsWith,
        (false, true, _) => NativeFn::StartsWith,
    };
    let kind = ExprKind::Native { function, args: vec![text.clone(), literal(part)] };
    Some(Expr { kind, ty: ScalarType::Bool, nullable: text.nullable })
}

/// `CASE WHEN a IS NOT NULL THEN a ... ELSE b END`, which is how DataFusion writes COALESCE.
fn as_coalesce(branches: &[(Expr, Expr)], otherwise: Option<&Expr>, ty: &ScalarType) -> Option<Expr> {
    let last = otherwise?;
    let tests_itself = |(when, then): &(Expr, Expr)| match &when.kind {
        ExprKind::Unary { op: UnaryOp::IsNotNull, arg } => **arg == *then,
        _ => false,
    };
    if branches.is_empty() || !branches.iter().all(tests_itself) {
        return None;
    }
    let args: Vec<Expr> = branches.iter().map(|(_, then)| then).chain([last]).cloned().collect();
    let nullable = args.iter().all(|arg| arg.nullable);
    let kind = ExprKind::Native { function: NativeFn::Coalesce, args };
    Some(native_or(Expr { kind, ty: ty.clone(), nullable }, "coalesce"))
}

/// The native function of a name; the verifier decides about the types.
fn native_function(name: &str, args: &[Expr]) -> Option<(NativeFn, Vec<Expr>)> {
    let function = match (name, args.len()) {
        ("coalesce", _) => NativeFn::Coalesce,
        ("nullif", 2) => NativeFn::NullIf,
        ("greatest", _) => NativeFn::Greatest,
        ("least", _) => NativeFn::Least,
        ("abs", 1) => NativeFn::Abs,
        ("ceil", 1) => NativeFn::Ceil,
        ("floor", 1) => NativeFn::Floor,
        ("round", 1) => NativeFn::Round,
        ("trunc", 1) => NativeFn::Trunc,
        ("sqrt", 1) => NativeFn::Sqrt,
        ("exp", 1) => NativeFn::Exp,
        ("ln", 1) => NativeFn::Ln,
        ("log2", 1) => NativeFn::Log2,
        ("log10", 1) => NativeFn::Log10,
        ("power", 2) => NativeFn::Power,
        ("character_length", 1) => NativeFn::CharLength,
        ("octet_length", 1) => NativeFn::OctetLength,
        ("starts_with", 2) => NativeFn::StartsWith,
        ("ends_with", 2) => NativeFn::EndsWith,
        ("contains", 2) => NativeFn::Contains,
        ("strpos", 2) => NativeFn::StrPos,
        ("substr", 2 | 3) => NativeFn::Substr,
        ("left", 2) => NativeFn::Left,
        ("right", 2) => NativeFn::Right,
        ("btrim", 1) => NativeFn::Trim,
        ("ltrim", 1) => NativeFn::TrimStart,
        ("rtrim", 1) => NativeFn::TrimEnd,
        ("split_part", 3) => NativeFn::SplitPart,
        ("date_trunc", 2) => {
            let field = date_field(&args[0])?;
            return utc(&args[1]).then(|| (NativeFn::DateTrunc(field), vec![args[1].clone()]));
        }
        ("date_part", 2) => {
            let field = date_field(&args[0])?;
            let time = &args[1];
            // Parts of seconds have more than one meaning, and dates have no hours: the kernel knows.
            let fractions = matches!(field, DateField::Millisecond | DateField::Microsecond | DateField::Nanosecond);
            let clock = matches!(field, DateField::Hour | DateField::Minute | DateField::Second);
            if fractions || (clock && time.ty == ScalarType::Date) || !utc(time) {
                return None;
            }
            return Some((NativeFn::DatePart(field), vec![time.clone()]));
        }
        _ => return None,
    };
    Some((function, args.to_vec()))
}

/// Native code reckons in UTC.
fn utc(time: &Expr) -> bool {
    !has_zone(&time.ty)
}

/// A zone other than UTC.
fn has_zone(ty: &ScalarType) -> bool {
    matches!(ty, ScalarType::Timestamp { zone: Some(zone), .. } if zone != "UTC" && zone != "+00:00")
}

/// A time or date without a zone.
fn has_local_time(ty: &ScalarType) -> bool {
    matches!(ty, ScalarType::Timestamp { zone: None, .. } | ScalarType::Date | ScalarType::Time)
}

fn date_field(expr: &Expr) -> Option<DateField> {
    match &expr.kind {
        ExprKind::Literal(Literal::Utf8(name)) => DateField::by_name(name),
        _ => None,
    }
}
