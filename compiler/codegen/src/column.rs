//! Columns: a function that computes one for the rows of a batch.
//!
//! ```text
//! /// price * 0.908 AS euros
//! fn euros(batch: &Batch, selection: &Selection) -> ArrayRef {
//!     let price = batch.i64(1);
//!     let nulls = selection.valid(&[price.nulls]);
//!     column::from_f64(selection.map(|row| price.value(row) as f64 * 0.908), nulls)
//! }
//! ```
//!
//! One column, one function, one loop: functions stay small, which is what compiles fast, and the loop vectorises.

use compiler_ir::{Expr, Literal, ScalarType, Schema, print};
use proc_macro2::{Ident, Literal as Token, TokenStream, TokenTree};
use quote::quote;

use crate::expr::{self, Reading, Scope, Value};
use crate::types::{self, Register};

/// Which rows of a batch a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All rows.
    All,
    /// The rows of a parameter `selection: &Selection`.
    Selected,
}

impl Rows {
    /// `, selection: &Selection`
    pub(crate) fn parameter(self) -> TokenStream {
        match self {
            Rows::All => TokenStream::new(),
            Rows::Selected => quote!(, selection: &Selection),
        }
    }

    /// `, &selection` where `selection` is the name of the caller's.
    pub(crate) fn argument(self, selection: &TokenStream) -> TokenStream {
        match self {
            Rows::All => TokenStream::new(),
            Rows::Selected => quote!(, #selection),
        }
    }

    pub(crate) fn len(self) -> TokenStream {
        match self {
            Rows::All => quote!(batch.rows),
            Rows::Selected => quote!(selection.len()),
        }
    }

    /// A loop of the façade: `column::dense_opt(batch.rows, body)` or `selection.map_opt(body)`.
    fn map(self, kind: &str, body: &TokenStream, nulls: Option<&TokenStream>) -> TokenStream {
        let nulls = nulls.map(|nulls| quote!(, #nulls));
        let row = row_parameter(body);
        match self {
            Rows::All => {
                let function = crate::names::ident(&format!("dense{kind}"));
                quote!(column::#function(batch.rows, |#row| #body #nulls))
            }
            Rows::Selected => {
                let method = crate::names::ident(&format!("map{kind}"));
                quote!(selection.#method(|#row| #body #nulls))
            }
        }
    }

    /// The combined validity of some columns, as an `Option<NullBuffer>` for the rows.
    fn valid(self, masks: &[TokenStream]) -> TokenStream {
        match self {
            _ if masks.is_empty() => quote!(None),
            Rows::All => quote!(column::all_valid(&[#(#masks),*])),
            Rows::Selected => quote!(selection.valid(&[#(#masks),*])),
        }
    }
}

/// The parameter of a loop's body: `row`, or `_` when the body does not name it.
pub(crate) fn row_parameter(body: &TokenStream) -> TokenStream {
    if names_row(body) { quote!(row) } else { quote!(_) }
}

fn names_row(tokens: &TokenStream) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "row",
        TokenTree::Group(group) => names_row(&group.stream()),
        _ => false,
    })
}

/// A column of a batch as it is, if the expression is one: an `ArrayRef` or a reference to one, for all rows of the batch.
pub(crate) fn passed(expr: &Expr, schema: &Schema) -> Option<Passed> {
    let (path, _) = expr::leaf(expr, schema)?;
    Some(match path.as_slice() {
        [index] => {
            let index = Token::usize_unsuffixed(*index);
            Passed { owned: quote!(batch.array(#index).clone()), borrowed: quote!(batch.array(#index)) }
        }
        path => {
            let path = expr::path_tokens(path);
            Passed { owned: quote!(batch.path(&#path)), borrowed: quote!(&batch.path(&#path)) }
        }
    })
}

/// See [`passed`].
pub(crate) struct Passed {
    pub(crate) owned: TokenStream,
    pub(crate) borrowed: TokenStream,
}

impl Passed {
    /// The column for the rows.
    pub(crate) fn take(self, rows: Rows) -> TokenStream {
        match rows {
            Rows::All => self.owned,
            Rows::Selected => {
                let array = self.borrowed;
                quote!(selection.take(#array))
            }
        }
    }
}

/// A function that computes a column.
pub(crate) struct ColumnFn {
    pub(crate) name: Ident,
    pub(crate) item: TokenStream,
    /// It returns a `Result`.
    pub(crate) fallible: bool,
}

impl ColumnFn {
    /// `euros(batch, selection)?`; `batch` and `selection` are references.
    pub(crate) fn call(&self, rows: Rows) -> TokenStream {
        let name = &self.name;
        let selection = rows.argument(&quote!(selection));
        let question = self.fallible.then(|| quote!(?));
        quote!(#name(batch #selection) #question)
    }
}

/// The function `name` that computes `expr`, which is no mere column, over batches of `schema`.
pub(crate) fn function(name: Ident, doc: &str, expr: &Expr, schema: &Schema, rows: Rows) -> ColumnFn {
    let mut scope = Scope::new(schema);
    let (prepare, column) = match &expr.kind {
        compiler_ir::ExprKind::Literal(value) => (TokenStream::new(), constant(value, &expr.ty, rows)),
        _ => {
            let reading = expr::reading(expr);
            let value = scope.value(expr, reading);
            let nulls = match reading {
                Reading::Values => rows.valid(&scope.masks(expr)),
                Reading::Options => quote!(None),
            };
            array(value, &nulls, &expr.ty, &|kind, body, nulls| rows.map(kind, body, nulls))
        }
    };
    let fallible = scope.is_fallible();
    let (bindings, check) = (scope.bindings(), scope.check());
    let (output, column) = match (fallible, prepare.is_empty()) {
        (false, _) => (quote!(ArrayRef), column),
        (true, true) => (quote!(Result<ArrayRef, TaskError>), quote!(let result = #column; #check Ok(result))),
        (true, false) => (quote!(Result<ArrayRef, TaskError>), quote!(#check Ok(#column))),
    };
    let parameter = rows.parameter();
    let text = doc_text(&format!("`{}`{doc}", print::expr(expr, schema)));
    let item = quote! {
        #[doc = #text]
        fn #name(batch: &Batch #parameter) -> #output {
            #bindings
            #prepare
            #column
        }
    };
    ColumnFn { name, item, fallible }
}

/// Statements and an expression that make an array of type `ty` out of a loop: `run(kind, body, nulls)` is the loop whose body
/// is `T` or `Option<T>`.
pub(crate) fn array(
    value: Value,
    nulls: &TokenStream,
    ty: &ScalarType,
    run: &dyn Fn(&str, &TokenStream, Option<&TokenStream>) -> TokenStream,
) -> (TokenStream, TokenStream) {
    let kind = match types::register(ty) {
        Register::Number => "",
        Register::Bool => "_bool",
        Register::Text => "_text",
        Register::Binary => "_binary",
        Register::Opaque => unreachable!("native code makes no opaque values"),
    };
    let Value { tokens: body, nullable } = value;
    let whole = matches!(types::register(ty), Register::Text | Register::Binary);
    match (whole, nullable) {
        (true, true) => {
            let array = run(&format!("{kind}_opt"), &body, None);
            (TokenStream::new(), array)
        }
        (true, false) => {
            let array = run(kind, &body, Some(nulls));
            (TokenStream::new(), array)
        }
        (false, true) => {
            let values = run(&format!("{kind}_opt"), &body, None);
            (quote!(let (values, nulls) = #values;), types::from_values(ty, &quote!(values), &quote!(nulls)))
        }
        (false, false) => {
            let values = run(kind, &body, None);
            (quote!(let values = #values;), types::from_values(ty, &quote!(values), nulls))
        }
    }
}

/// A column that repeats a constant.
fn constant(value: &Literal, ty: &ScalarType, rows: Rows) -> TokenStream {
    let len = rows.len();
    match value {
        Literal::Null => {
            let ty = types::scalar_type(ty);
            quote!(column::nulls_of(&#ty, #len))
        }
        _ => {
            let one = constant_array(value, ty);
            quote!(column::repeat(&#one, #len))
        }
    }
}

/// An array of length 1.
fn constant_array(value: &Literal, ty: &ScalarType) -> TokenStream {
    match value {
        Literal::Null => {
            let ty = types::scalar_type(ty);
            quote!(column::nulls_of(&#ty, 1))
        }
        Literal::Bool(value) => quote!(column::from_bool(column::dense_bool(1, |_| #value), None)),
        Literal::Utf8(text) => quote!(column::from_text(&[Some(#text)])),
        Literal::Binary(bytes) => {
            let bytes = Token::byte_string(bytes);
            quote!(column::from_binary(&[Some(#bytes)]))
        }
        Literal::Interval { months, days, nanos } => {
            let (months, days) = (types::signed(i64::from(*months)), types::signed(i64::from(*days)));
            let nanos = types::signed(*nanos);
            let values = quote!(vec![IntervalMonthDayNano::new(#months, #days, #nanos)]);
            types::from_values(ty, &values, &quote!(None))
        }
        Literal::List(items) => {
            let ScalarType::List(item) = ty else { unreachable!("the verifier matches constants with types") };
            let items = items.iter().map(|value| constant_array(value, item));
            let item = types::scalar_type(item);
            quote!(column::list(&#item, &[#(#items),*]))
        }
        Literal::Struct(values) => {
            let ScalarType::Struct(fields) = ty else { unreachable!("the verifier matches constants with types") };
            let members = fields.iter().zip(values).map(|(field, value)| {
                let (name, array, nullable) = (&field.name, constant_array(value, &field.ty), field.nullable);
                quote!((#name, #array, #nullable))
            });
            quote!(column::from_struct(&[#(#members),*], None))
        }
        Literal::Int(_) | Literal::UInt(_) | Literal::Float(_) | Literal::Decimal(_) => {
            let value = expr::literal(value, ty).tokens;
            types::from_values(ty, &quote!(vec![#value]), &quote!(None))
        }
    }
}

/// Text of a doc comment: one line, nothing that a terminal or a compiler would take amiss.
pub(crate) fn doc_text(text: &str) -> String {
    let mut out = String::from(" ");
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            '\n' | '\r' | '\t' => out.push(' '),
            // What `escape_debug` escapes is invisible or changes the direction of the text.
            c if c.escape_debug().count() > 1 => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}
