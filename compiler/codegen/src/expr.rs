//! Expressions: from IR to a Rust expression over one row.
//!
//! A [`Scope`] is the body of one generated function. It binds a view for each column that the function reads, and
//! turns expressions over them into Rust. There are two ways to read a row:
//!
//! * [`Reading::Values`]: raw values, whatever they are where they are null. Only for expressions that are strict and
//!   cannot fail; the caller combines the columns' validity. Such a loop has no test for null and vectorises.
//! * [`Reading::Options`]: `Option<T>` for what can be null, `T` for what cannot. Three-valued logic, `CASE`, and all that
//!   can fail: what is not reached is not evaluated.
//!
//! Invariants: the tokens of every sub-expression are a group without delimiters, so that no precedence is ever
//! thought about here (the printer puts the parentheses). A closure's parameters (`x`, `y`, `z`) are free in no
//! sub-expression, so nesting cannot capture them.
//!
//! Not here: loops over rows ([`crate::column`]), and what functions mean (`worker_lib::scalar`).

use compiler_ir::expr::cast_always_fits;
use compiler_ir::{BinaryOp, DateField, Expr, ExprKind, Literal, NativeFn, ScalarType, Schema, UnaryOp, print};
use proc_macro2::{Delimiter, Group, Ident, Literal as Token, TokenStream, TokenTree};
use quote::quote;

use crate::names::{Names, ident};
use crate::types::{self, Register};

/// Names that the generated functions use beside those of columns.
const RESERVED: [&str; 29] = [
    "agg",
    "batch",
    "closed",
    "column",
    "columns",
    "cx",
    "distinct",
    "errors",
    "group",
    "groups",
    "guard",
    "keep",
    "kernels",
    "nulls",
    "part",
    "result",
    "row",
    "rows",
    "scalar",
    "selection",
    "state",
    "states",
    "valid",
    "value",
    "values",
    "window",
    "x",
    "y",
    "z",
];

/// How the columns of a row are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Values,
    Options,
}

/// The reading that an expression wants: raw values wherever that is right.
pub(crate) fn reading(expr: &Expr) -> Reading {
    if expr.is_strict() && !expr.is_fallible() { Reading::Values } else { Reading::Options }
}

/// A Rust expression.
pub(crate) struct Value {
    pub(crate) tokens: TokenStream,
    /// `Option<T>` or `T`.
    pub(crate) nullable: bool,
}

impl Value {
    fn plain(tokens: TokenStream) -> Value {
        Value { tokens: grouped(tokens), nullable: false }
    }

    fn option(tokens: TokenStream) -> Value {
        Value { tokens: grouped(tokens), nullable: true }
    }

    /// The value as an `Option`.
    pub(crate) fn into_option(self) -> TokenStream {
        if self.nullable {
            self.tokens
        } else {
            let tokens = self.tokens;
            grouped(quote!(Some(#tokens)))
        }
    }

    /// A boolean: whether the value is `truth`, and not null.
    pub(crate) fn into_test(self, truth: bool) -> TokenStream {
        let tokens = self.tokens;
        match (self.nullable, truth) {
            (true, truth) => grouped(quote!(#tokens == Some(#truth))),
            (false, true) => tokens,
            (false, false) => grouped(quote!(!#tokens)),
        }
    }
}

/// One expression for the parser, whatever is in it.
fn grouped(tokens: TokenStream) -> TokenStream {
    let mut trees = tokens.clone().into_iter();
    match (trees.next(), trees.next()) {
        (Some(TokenTree::Ident(_) | TokenTree::Literal(_)), None) => tokens,
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => tokens,
        _ => TokenTree::Group(Group::new(Delimiter::None, tokens)).into(),
    }
}

/// A column of the batch, or a member of one that is a struct.
struct View {
    path: Vec<usize>,
    ty: ScalarType,
    name: Ident,
}

/// What a generated function reads.
pub(crate) struct Scope<'a> {
    schema: &'a Schema,
    names: Names,
    locals: Vec<Ident>,
    views: Vec<View>,
    fallible: bool,
}

impl<'a> Scope<'a> {
    /// A function over batches of this schema.
    pub(crate) fn new(schema: &'a Schema) -> Scope<'a> {
        Scope { schema, names: Names::reserving(&RESERVED), locals: Vec::new(), views: Vec::new(), fallible: false }
    }

    /// Whether something in it can fail: it needs `errors`.
    pub(crate) fn is_fallible(&self) -> bool {
        self.fallible
    }

    /// `let` statements for the views, and for `errors` if something can fail.
    pub(crate) fn bindings(&self) -> TokenStream {
        let mut out = TokenStream::new();
        for View { path, ty, name } in &self.views {
            let view = types::view(ty);
            let index = Token::usize_unsuffixed(path[0]);
            out.extend(match (path.len(), types::register(ty)) {
                (1, _) => quote!(let #name = batch.#view(#index);),
                (_, Register::Opaque) => {
                    let path = path_tokens(path);
                    quote!(let #name = batch.path(&#path);)
                }
                (_, _) => {
                    let path = path_tokens(path);
                    quote!(let #name = batch.path(&#path); let #name = column::#view(&#name);)
                }
            });
        }
        if self.fallible {
            out.extend(quote!(let errors = Errors::new();));
        }
        out
    }

    /// `errors.check()?;` if something can fail.
    pub(crate) fn check(&self) -> TokenStream {
        if self.fallible { quote!(errors.check()?;) } else { TokenStream::new() }
    }

    /// The validity of each column that the expression reads and that can have nulls: `price.nulls`.
    pub(crate) fn masks(&mut self, expr: &Expr) -> Vec<TokenStream> {
        let mut leaves = Vec::new();
        collect_leaves(expr, &mut leaves);
        let mut masks: Vec<TokenStream> = Vec::new();
        for leaf in leaves.into_iter().filter(|leaf| leaf.nullable) {
            let view = self.view(leaf);
            let mask = quote!(#view.nulls);
            if !masks.iter().any(|known| known.to_string() == mask.to_string()) {
                masks.push(mask);
            }
        }
        masks
    }

    /// A fresh name for a local variable of the function.
    pub(crate) fn local(&mut self, wish: &str) -> Ident {
        let name = self.names.fresh(wish);
        self.locals.push(name.clone());
        name
    }

    /// Whether a call of a function of that name would mean a local variable.
    pub(crate) fn hides(&self, function: &Ident) -> bool {
        self.locals.contains(function)
    }

    /// The view of a column or member, bound on first use.
    fn view(&mut self, expr: &Expr) -> Ident {
        let (path, name) = leaf(expr, self.schema).expect("a member is one of a column");
        if let Some(view) = self.views.iter().find(|view| view.path == path) {
            return view.name.clone();
        }
        let name = self.names.fresh(&name);
        self.views.push(View { path, ty: expr.ty.clone(), name: name.clone() });
        name
    }

    fn errors(&mut self) -> TokenStream {
        self.fallible = true;
        quote!(&errors)
    }

    /// The expression's value for `row`.
    pub(crate) fn value(&mut self, expr: &Expr, reading: Reading) -> Value {
        match &expr.kind {
            ExprKind::Column(_) | ExprKind::Field { .. } => {
                let view = self.view(expr);
                if expr.nullable && reading == Reading::Options {
                    Value::option(quote!(#view.get(row)))
                } else {
                    Value::plain(quote!(#view.value(row)))
                }
            }
            ExprKind::Literal(value) => literal(value, &expr.ty),
            ExprKind::Unary { op, arg } => self.unary(*op, arg, reading),
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, reading),
            ExprKind::Case { branches, otherwise } => self.case(branches, otherwise.as_deref(), reading),
            ExprKind::Cast { arg, fallible_as_null } => self.cast(arg, &expr.ty, *fallible_as_null, reading),
            ExprKind::InList { arg, items, negated } => self.in_list(arg, items, *negated, reading),
            ExprKind::Native { function, args } => self.native(*function, args, reading),
            ExprKind::Kernel { .. } => {
                unreachable!("the verifier lets kernels stand at roots of computed columns only")
            }
        }
    }

    fn values(&mut self, args: &[Expr], reading: Reading) -> Vec<Value> {
        args.iter().map(|arg| self.value(arg, reading)).collect()
    }

    fn unary(&mut self, op: UnaryOp, arg: &Expr, reading: Reading) -> Value {
        if matches!(op, UnaryOp::IsNull | UnaryOp::IsNotNull) {
            return self.null_test(arg, op == UnaryOp::IsNull, reading);
        }
        let float = arg.ty.is_float();
        let value = self.value(arg, reading);
        let test = |value: Value, truth: bool, same: bool| {
            let test = value.into_test(truth);
            Value::plain(if same { test } else { quote!(!#test) })
        };
        match op {
            UnaryOp::Not => lift([value], |[x]| quote!(!#x)),
            UnaryOp::Negate if float => lift([value], |[x]| quote!(-#x)),
            UnaryOp::Negate => lift([value], |[x]| quote!(#x.wrapping_neg())),
            UnaryOp::IsTrue => test(value, true, true),
            UnaryOp::IsNotTrue => test(value, true, false),
            UnaryOp::IsFalse => test(value, false, true),
            UnaryOp::IsNotFalse | UnaryOp::IsNull | UnaryOp::IsNotNull => test(value, false, false),
        }
    }

    fn null_test(&mut self, arg: &Expr, null: bool, reading: Reading) -> Value {
        let test = match &arg.kind {
            _ if arg.ty == ScalarType::Null => quote!(true),
            _ if !arg.nullable => quote!(false),
            ExprKind::Literal(value) => {
                let null = *value == Literal::Null;
                quote!(#null)
            }
            ExprKind::Column(_) | ExprKind::Field { .. } => {
                let view = self.view(arg);
                quote!(#view.is_null(row))
            }
            _ => {
                let value = self.value(arg, reading);
                let tokens = &value.tokens;
                match (value.nullable, null) {
                    (false, _) => quote!(false),
                    (true, true) => quote!(#tokens.is_none()),
                    (true, false) => return Value::plain(quote!(#tokens.is_some())),
                }
            }
        };
        let test = grouped(test);
        Value::plain(if null { test } else { quote!(!#test) })
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, reading: Reading) -> Value {
        let ty = &left.ty;
        // A constant on the right has the type of what stands on the left.
        let value = self.value(left, reading);
        let other = match &right.kind {
            ExprKind::Literal(literal) if !matches!(left.kind, ExprKind::Literal(_)) => untyped(literal, &right.ty),
            _ => self.value(right, reading),
        };
        match op {
            BinaryOp::And | BinaryOp::Or => logic(op, value, other),
            BinaryOp::IsDistinctFrom => distinct(value, other, ty),
            BinaryOp::IsNotDistinctFrom if !value.nullable && !other.nullable => {
                Value::plain(comparison(BinaryOp::Equal, ty, &value.tokens, &other.tokens))
            }
            BinaryOp::IsNotDistinctFrom => {
                let test = distinct(value, other, ty).tokens;
                Value::plain(quote!(!#test))
            }
            BinaryOp::Divide | BinaryOp::Remainder if ty.is_integer() => self.division(op, value, other, &right.kind),
            _ if op.is_comparison() => lift([value, other], |[x, y]| comparison(op, ty, &x, &y)),
            _ => lift([value, other], |[x, y]| arithmetic(op, ty, &x, &y)),
        }
    }

    /// A constant divisor other than 0 and -1 can neither trap nor overflow.
    fn division(&mut self, op: BinaryOp, value: Value, other: Value, divisor: &ExprKind) -> Value {
        let safe = match divisor {
            ExprKind::Literal(Literal::Int(n)) => *n != 0 && *n != -1,
            ExprKind::Literal(Literal::UInt(n)) => *n != 0,
            _ => false,
        };
        let errors = if safe { TokenStream::new() } else { self.errors() };
        lift([value, other], |[x, y]| match (op, safe) {
            (BinaryOp::Divide, true) => quote!(#x / #y),
            (BinaryOp::Divide, false) => quote!(scalar::div(#x, #y, #errors)),
            (_, true) => quote!(#x % #y),
            (_, false) => quote!(scalar::rem(#x, #y, #errors)),
        })
    }

    fn case(&mut self, branches: &[(Expr, Expr)], otherwise: Option<&Expr>, reading: Reading) -> Value {
        let branches: Vec<(TokenStream, Value)> = branches
            .iter()
            .map(|(when, then)| (self.value(when, reading).into_test(true), self.value(then, reading)))
            .collect();
        let otherwise = otherwise.map(|value| self.value(value, reading));
        let nullable =
            branches.iter().any(|(_, then)| then.nullable) || otherwise.as_ref().is_none_or(|value| value.nullable);
        let result = |value: Value| if nullable { value.into_option() } else { value.tokens };
        let mut out = TokenStream::new();
        for (when, then) in branches {
            let then = result(then);
            out.extend(quote!(if #when { #then } else));
        }
        let otherwise = otherwise.map_or_else(|| quote!(None), result);
        out.extend(quote!({ #otherwise }));
        Value { tokens: grouped(out), nullable }
    }

    fn cast(&mut self, arg: &Expr, to: &ScalarType, or_null: bool, reading: Reading) -> Value {
        let from = &arg.ty;
        let value = self.value(arg, reading);
        if let Some(infallible) = infallible_cast(from, to) {
            return lift([value], |[x]| infallible(&x));
        }
        let fits = cast_always_fits(from, to);
        let (call, rest) = match (from, to) {
            (ScalarType::Timestamp { unit: a, .. }, ScalarType::Timestamp { unit: b, .. }) => {
                let (a, b) = (types::time_unit(*a), types::time_unit(*b));
                ("cast_unit", quote!(, #a, #b))
            }
            (ScalarType::Date, ScalarType::Timestamp { unit, .. }) => {
                let unit = types::time_unit(*unit);
                ("date_to_timestamp", quote!(, #unit))
            }
            (ScalarType::Timestamp { unit, .. }, ScalarType::Date) => {
                let unit = types::time_unit(*unit);
                ("cast_date", quote!(, #unit))
            }
            _ => ("cast", TokenStream::new()),
        };
        let generics = (call == "cast").then(|| {
            let (from, to) = (types::value(from), types::value(to));
            quote!(::<#from, #to>)
        });
        if or_null && !fits {
            let function = ident(&format!("try_{call}"));
            return lift_option([value], |[x]| quote!(scalar::#function #generics(#x #rest)));
        }
        let (function, errors) = (ident(call), self.errors());
        lift([value], |[x]| quote!(scalar::#function #generics(#x #rest, #errors)))
    }

    fn in_list(&mut self, arg: &Expr, items: &[Literal], negated: bool, reading: Reading) -> Value {
        let value = self.value(arg, reading);
        let not = negated.then(|| quote!(!));
        let ty = &arg.ty;
        if ty.is_float() {
            let items: Vec<TokenStream> = items.iter().map(|item| literal(item, ty).tokens).collect();
            let items = quote!([#(#items),*]);
            return lift([value], |[x]| quote!(#not #items.iter().any(|&z| scalar::eq(#x, z))));
        }
        let items: Vec<TokenStream> = items.iter().map(|item| pattern(item, ty)).collect();
        lift([value], |[x]| match flat(&x) {
            Some(x) => quote!(#not matches!(#x, #(#items)|*)),
            None => quote!({ let x = #x; #not matches!(x, #(#items)|*) }),
        })
    }

    fn native(&mut self, function: NativeFn, args: &[Expr], reading: Reading) -> Value {
        let ty = args.first().map_or(&ScalarType::Null, |arg| &arg.ty);
        let mut values = self.values(args, reading).into_iter();
        let mut next = || values.next().expect("the verifier counts arguments");
        match function {
            NativeFn::Coalesce => {
                let first = next();
                return values.fold(first, coalesce);
            }
            NativeFn::Greatest | NativeFn::Least => {
                let name = ident(print::function_name(function));
                let first = next();
                return values.fold(first, |value, other| {
                    let (value, other) = (value.into_option(), other.into_option());
                    Value::option(quote!(scalar::#name(#value, #other)))
                });
            }
            NativeFn::NullIf => {
                let (value, other) = (next().into_option(), next().into_option());
                return Value::option(quote!(scalar::null_if(#value, #other)));
            }
            NativeFn::DateTrunc(field) => return date_trunc(field, next(), ty),
            NativeFn::DatePart(field) => return date_part(field, next(), ty),
            NativeFn::AddNanos(nanos) => {
                let (unit, nanos) = (unit_of(ty), types::signed(nanos));
                return lift([next()], |[x]| quote!(scalar::add_nanos(#x, #unit, #nanos)));
            }
            NativeFn::Abs
            | NativeFn::Ceil
            | NativeFn::Floor
            | NativeFn::Round
            | NativeFn::Trunc
            | NativeFn::Sqrt
            | NativeFn::Exp
            | NativeFn::Ln
            | NativeFn::Log2
            | NativeFn::Log10
            | NativeFn::Power
            | NativeFn::CharLength
            | NativeFn::OctetLength
            | NativeFn::StartsWith
            | NativeFn::EndsWith
            | NativeFn::Contains
            | NativeFn::StrPos
            | NativeFn::Substr
            | NativeFn::Left
            | NativeFn::Right
            | NativeFn::Trim
            | NativeFn::TrimStart
            | NativeFn::TrimEnd
            | NativeFn::SplitPart => {}
        }
        let name = ident(scalar_function(function, args.len()));
        let errors = match (function, args.len()) {
            (NativeFn::Substr, 3) | (NativeFn::SplitPart, _) => Some(self.errors()),
            _ => None,
        };
        lift_all(values.collect(), &|args| {
            let args = args.iter().chain(&errors);
            quote!(scalar::#name(#(#args),*))
        })
    }
}

/// The path to a column or member, and what to call it: `window_start`.
pub(crate) fn leaf(expr: &Expr, schema: &Schema) -> Option<(Vec<usize>, String)> {
    match &expr.kind {
        ExprKind::Column(index) => Some((vec![*index], schema.fields[*index].name.clone())),
        ExprKind::Field { base, index } => {
            let (mut path, name) = leaf(base, schema)?;
            path.push(*index);
            let ScalarType::Struct(fields) = &base.ty else { return None };
            Some((path, format!("{name}_{}", fields[*index].name)))
        }
        _ => None,
    }
}

fn collect_leaves<'e>(expr: &'e Expr, leaves: &mut Vec<&'e Expr>) {
    match &expr.kind {
        ExprKind::Column(_) | ExprKind::Field { .. } => leaves.push(expr),
        _ => expr.children().into_iter().for_each(|child| collect_leaves(child, leaves)),
    }
}

/// `[2, 0]`
pub(crate) fn path_tokens(path: &[usize]) -> TokenStream {
    let path = path.iter().map(|&index| Token::usize_unsuffixed(index));
    quote!([#(#path),*])
}

// --- null propagation ----------------------------------------------------------------------------------------------

/// A function of values that is null when one of them is.
fn lift<const N: usize>(values: [Value; N], function: impl Fn([TokenStream; N]) -> TokenStream) -> Value {
    lift_all(values.into(), &|args| function(args.try_into().expect("one token stream for each value")))
}

/// The same of a function that makes an `Option` itself.
fn lift_option<const N: usize>(values: [Value; N], function: impl Fn([TokenStream; N]) -> TokenStream) -> Value {
    let function = |args: Vec<TokenStream>| function(args.try_into().expect("one token stream for each value"));
    let tokens = bound(values.into(), &function, true);
    Value::option(tokens)
}

fn lift_all(values: Vec<Value>, function: &dyn Fn(Vec<TokenStream>) -> TokenStream) -> Value {
    let nullable = values.iter().any(|value| value.nullable);
    Value { tokens: grouped(bound(values, function, false)), nullable }
}

/// `a.and_then(|x| b.map(|y| f(x, y)))`, with what cannot be null in its place in the call.
fn bound(values: Vec<Value>, function: &dyn Fn(Vec<TokenStream>) -> TokenStream, makes_option: bool) -> TokenStream {
    const PARAMETERS: [&str; 3] = ["x", "y", "z"];
    let mut nullable = Vec::new();
    let mut args = Vec::new();
    for value in values {
        if value.nullable {
            let parameter = ident(PARAMETERS[nullable.len()]);
            nullable.push((value.tokens, parameter.clone()));
            args.push(quote!(#parameter));
        } else {
            args.push(value.tokens);
        }
    }
    let mut out = function(args);
    for (position, (value, parameter)) in nullable.into_iter().rev().enumerate() {
        let method = ident(if position == 0 && !makes_option { "map" } else { "and_then" });
        out = quote!(#value.#method(|#parameter| #out));
    }
    out
}

fn logic(op: BinaryOp, value: Value, other: Value) -> Value {
    if !value.nullable && !other.nullable {
        let (value, other) = (value.tokens, other.tokens);
        return Value::plain(if op == BinaryOp::And { quote!(#value && #other) } else { quote!(#value || #other) });
    }
    let function = ident(if op == BinaryOp::And { "and" } else { "or" });
    let (value, other) = (value.into_option(), other.into_option());
    Value::option(quote!(scalar::#function(#value, || #other)))
}

fn distinct(value: Value, other: Value, ty: &ScalarType) -> Value {
    if !value.nullable && !other.nullable {
        return Value::plain(comparison(BinaryOp::NotEqual, ty, &value.tokens, &other.tokens));
    }
    let (value, other) = (value.into_option(), other.into_option());
    Value::plain(quote!(scalar::distinct(#value, #other)))
}

fn coalesce(value: Value, other: Value) -> Value {
    if !value.nullable {
        return value;
    }
    let (first, second) = (value.tokens, other.tokens);
    if other.nullable {
        Value::option(quote!(#first.or_else(|| #second)))
    } else if flat(&second).is_some() {
        Value::plain(quote!(#first.unwrap_or(#second)))
    } else {
        Value::plain(quote!(#first.unwrap_or_else(|| #second)))
    }
}

/// Tokens of a constant or of a mere read, without groups.
fn flat(tokens: &TokenStream) -> Option<TokenStream> {
    let tokens = match tokens.clone().into_iter().next() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::None => group.stream(),
        _ => tokens.clone(),
    };
    let parenthesised = |tree: &TokenTree| {
        matches!(tree, TokenTree::Group(group) if !group.stream().is_empty()
        && group.stream().to_string() != "row")
    };
    if tokens.clone().into_iter().any(|tree| parenthesised(&tree)) { None } else { Some(tokens) }
}

// --- operators and functions ---------------------------------------------------------------------------------------

fn arithmetic(op: BinaryOp, ty: &ScalarType, x: &TokenStream, y: &TokenStream) -> TokenStream {
    let float = ty.is_float();
    match op {
        BinaryOp::Add if float => quote!(#x + #y),
        BinaryOp::Subtract if float => quote!(#x - #y),
        BinaryOp::Multiply if float => quote!(#x * #y),
        BinaryOp::Divide => quote!(#x / #y),
        BinaryOp::Remainder => quote!(#x % #y),
        BinaryOp::Add => quote!(#x.wrapping_add(#y)),
        BinaryOp::Subtract => quote!(#x.wrapping_sub(#y)),
        BinaryOp::Multiply => quote!(#x.wrapping_mul(#y)),
        BinaryOp::BitAnd => quote!(#x & #y),
        BinaryOp::BitOr => quote!(#x | #y),
        BinaryOp::BitXor => quote!(#x ^ #y),
        BinaryOp::ShiftLeft => quote!(scalar::shl(#x, #y)),
        BinaryOp::ShiftRight => quote!(scalar::shr(#x, #y)),
        _ => unreachable!("comparisons and logic are generated elsewhere"),
    }
}

/// Rust's operators, but for floats, whose order is total in SQL.
fn comparison(op: BinaryOp, ty: &ScalarType, x: &TokenStream, y: &TokenStream) -> TokenStream {
    let float = ty.is_float();
    match op {
        BinaryOp::Equal if float => quote!(scalar::eq(#x, #y)),
        BinaryOp::NotEqual if float => quote!(scalar::ne(#x, #y)),
        BinaryOp::Less if float => quote!(scalar::lt(#x, #y)),
        BinaryOp::LessOrEqual if float => quote!(scalar::le(#x, #y)),
        BinaryOp::Greater if float => quote!(scalar::gt(#x, #y)),
        BinaryOp::GreaterOrEqual if float => quote!(scalar::ge(#x, #y)),
        BinaryOp::Equal => quote!(#x == #y),
        BinaryOp::NotEqual => quote!(#x != #y),
        BinaryOp::Less => quote!(#x < #y),
        BinaryOp::LessOrEqual => quote!(#x <= #y),
        BinaryOp::Greater => quote!(#x > #y),
        BinaryOp::GreaterOrEqual => quote!(#x >= #y),
        _ => unreachable!("arithmetic and logic are generated elsewhere"),
    }
}

/// A Rust expression of another.
type Wrap = dyn Fn(&TokenStream) -> TokenStream;

/// A cast that needs no test: Rust for it.
fn infallible_cast(from: &ScalarType, to: &ScalarType) -> Option<Box<Wrap>> {
    use ScalarType::{Bool, Date, Duration, Float32, Float64, Int32, Int64, Time, Timestamp};
    let same = || -> Option<Box<Wrap>> { Some(Box::new(Clone::clone)) };
    match (from, to) {
        (Timestamp { unit: a, .. }, Timestamp { unit: b, .. }) if a == b => same(),
        (Timestamp { unit, .. }, Date) if cast_always_fits(from, to) => {
            let unit = types::time_unit(*unit);
            Some(Box::new(move |x| quote!(scalar::timestamp_to_date(#x, #unit))))
        }
        (Int32, Date) | (Date, Int32) => same(),
        (Int64, Timestamp { .. } | Duration { .. } | Time) | (Timestamp { .. } | Duration { .. } | Time, Int64) => {
            same()
        }
        (from, to) if from == to || (from.is_text() && to.is_text()) => same(),
        (from, Bool) if from.is_float() => Some(Box::new(|x| quote!(#x != 0.0))),
        (from, Bool) if from.is_integer() => Some(Box::new(|x| quote!(#x != 0))),
        // What `From` does not have, because it rounds.
        (from, Float32) if from.is_integer() || *from == Float64 => Some(Box::new(|x| quote!(#x as f32))),
        (from, Float64) if from.is_integer() => Some(Box::new(|x| quote!(#x as f64))),
        (from, to) if is_number(from) && is_number(to) && cast_always_fits(from, to) => {
            let to = types::value(to);
            Some(Box::new(move |x| quote!(#to::from(#x))))
        }
        _ => None,
    }
}

fn is_number(ty: &ScalarType) -> bool {
    *ty == ScalarType::Bool || ty.is_integer() || ty.is_float()
}

fn unit_of(ty: &ScalarType) -> TokenStream {
    match ty {
        ScalarType::Timestamp { unit, .. } => types::time_unit(*unit),
        _ => unreachable!("the verifier wants a timestamp here"),
    }
}

fn date_trunc(field: DateField, value: Value, ty: &ScalarType) -> Value {
    let name = print::date_field(field);
    if *ty == ScalarType::Date {
        if !matches!(field, DateField::Year | DateField::Quarter | DateField::Month | DateField::Week) {
            return value;
        }
        let function = ident(&format!("date_trunc_days_{name}"));
        return lift([value], |[x]| quote!(scalar::#function(#x)));
    }
    if field == DateField::Nanosecond {
        return value;
    }
    let (function, unit) = (ident(&format!("date_trunc_{name}")), unit_of(ty));
    lift([value], |[x]| quote!(scalar::#function(#x, #unit)))
}

fn date_part(field: DateField, value: Value, ty: &ScalarType) -> Value {
    let name = print::date_field(field);
    if *ty != ScalarType::Date {
        let (function, unit) = (ident(&format!("date_part_{name}")), unit_of(ty));
        return lift([value], |[x]| quote!(scalar::#function(#x, #unit)));
    }
    // A date is at midnight.
    let zero = match field {
        DateField::Hour | DateField::Minute | DateField::Second | DateField::Millisecond | DateField::Microsecond => {
            quote!(0i32)
        }
        DateField::Nanosecond => quote!(0i64),
        _ => {
            let function = ident(&format!("date_part_days_{name}"));
            return lift([value], |[x]| quote!(scalar::#function(#x)));
        }
    };
    let tokens = value.tokens;
    if value.nullable { Value::option(quote!(#tokens.map(|_| #zero))) } else { Value::plain(zero) }
}

/// The façade's name of a function; where SQL's differs, its own.
fn scalar_function(function: NativeFn, args: usize) -> &'static str {
    match function {
        NativeFn::CharLength => "char_length",
        NativeFn::Substr if args == 3 => "substr_len",
        NativeFn::Trim => "trim",
        NativeFn::TrimStart => "trim_start",
        NativeFn::TrimEnd => "trim_end",
        function => print::function_name(function),
    }
}

// --- constants -----------------------------------------------------------------------------------------------------

/// A constant of a register type, with its type where Rust would not find it.
pub(crate) fn literal(value: &Literal, ty: &ScalarType) -> Value {
    let rust = types::value(ty);
    match value {
        Literal::Null => {
            // A null of an opaque type is only ever tested for null.
            let rust = if types::register(ty) == Register::Opaque { quote!(()) } else { rust };
            Value::option(quote!(None::<#rust>))
        }
        Literal::Int(_) | Literal::UInt(_) | Literal::Float(_) | Literal::Decimal(_) => {
            let bare = untyped(value, ty).tokens;
            let text = bare.to_string();
            if text.contains("::") {
                return Value::plain(bare);
            }
            let suffixed = format!("{}{rust}", text.replace(' ', ""));
            Value::plain(suffixed.parse().expect("a number and a type are a literal"))
        }
        _ => untyped(value, ty),
    }
}

/// A constant whose type the place where it stands gives.
fn untyped(value: &Literal, ty: &ScalarType) -> Value {
    let rust = types::value(ty);
    let number = |value: i128, least: i128| {
        if value == least && value < 0 {
            return quote!(#rust::MIN);
        }
        let digits = Token::u128_unsuffixed(value.unsigned_abs());
        if value < 0 { quote!(-#digits) } else { quote!(#digits) }
    };
    Value::plain(match value {
        Literal::Bool(value) => quote!(#value),
        Literal::Int(value) => number(i128::from(*value), i128::from(least_of(ty))),
        Literal::UInt(value) => number(i128::from(*value), 0),
        Literal::Decimal(value) => number(*value, i128::MIN),
        Literal::Float(value) => float(*value, ty),
        Literal::Utf8(text) => quote!(#text),
        Literal::Binary(bytes) => {
            let bytes = Token::byte_string(bytes);
            quote!(#bytes.as_slice())
        }
        Literal::Null | Literal::Interval { .. } | Literal::List(_) | Literal::Struct(_) => return literal(value, ty),
    })
}

/// A constant as a pattern.
fn pattern(value: &Literal, ty: &ScalarType) -> TokenStream {
    match value {
        Literal::Binary(bytes) => {
            let bytes = Token::byte_string(bytes);
            quote!(#bytes)
        }
        // Without the group, which a pattern cannot have.
        _ => flat(&untyped(value, ty).tokens).expect("a constant has no parentheses"),
    }
}

fn least_of(ty: &ScalarType) -> i64 {
    match ty {
        ScalarType::Int8 => i64::from(i8::MIN),
        ScalarType::Int16 => i64::from(i16::MIN),
        ScalarType::Int32 | ScalarType::Date => i64::from(i32::MIN),
        _ => i64::MIN,
    }
}

fn float(value: f64, ty: &ScalarType) -> TokenStream {
    let rust = types::value(ty);
    // A `REAL` constant is written as the shortest text that is that `f32`.
    let magnitude = match ty {
        ScalarType::Float32 => {
            let narrow = value as f32;
            if !narrow.is_finite() { None } else { Some(Token::f32_unsuffixed(narrow.abs())) }
        }
        _ if !value.is_finite() => None,
        _ => Some(Token::f64_unsuffixed(value.abs())),
    };
    match magnitude {
        _ if value.is_nan() => quote!(#rust::NAN),
        None if value < 0.0 => quote!(#rust::NEG_INFINITY),
        None => quote!(#rust::INFINITY),
        Some(digits) if value.is_sign_negative() => quote!(-#digits),
        Some(digits) => quote!(#digits),
    }
}
