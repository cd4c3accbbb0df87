//! `Compute`: appends columns that block kernels make.
//!
//! The batch is compacted to the selection first, so that a kernel sees no row that a filter has dropped; columns that
//! neither the kernels nor the rest of the stage read are left behind. With a guard, the arguments
//! and the kernel are evaluated for the rows of a second selection, and the result is spread over the batch.

use compiler_ir::{Expr, ExprKind, KernelColumn, Literal, ScalarType, Schema, StageOp, print};
use proc_macro2::{Ident, Literal as Token, TokenStream};
use quote::quote;

use crate::column::{self, Rows, doc_text};
use crate::op::filter;
use crate::stage::StageCode;
use crate::types;

/// `ops`: this operator and what follows it in the stage.
pub(crate) fn generate(stage: &mut StageCode, columns: &[KernelColumn], schema: &Schema, ops: &[StageOp]) {
    stage.compact(live_columns(ops, schema).as_deref());
    let mut made = Vec::new();
    for column in columns {
        made.push(kernel_function(stage, column, schema));
    }
    stage.append_columns(&made);
}

/// The columns that some operator reads; `None` when that is all of them.
fn live_columns(ops: &[StageOp], schema: &Schema) -> Option<Vec<usize>> {
    let last = ops.iter().position(|op| op.kind.replaces_columns())?;
    let mut live = Vec::new();
    ops[..=last].iter().for_each(|op| op.kind.walk_expressions(&mut |expr| expr.collect_columns(&mut live)));
    live.retain(|&column| column < schema.fields.len());
    live.sort_unstable();
    (live.len() < schema.fields.len()).then_some(live)
}

/// The method that computes a column, and the field that holds its kernel.
fn kernel_function(stage: &mut StageCode, column: &KernelColumn, schema: &Schema) -> Ident {
    let ExprKind::Kernel { name: kernel, args } = &column.call.kind else {
        unreachable!("the verifier wants a kernel call here");
    };
    let rows = if column.guard.is_some() { Rows::Selected } else { Rows::All };
    let name = stage.function_name(&column.name);
    let mut params = Vec::new();
    let mut arrays = Vec::new();
    for arg in args {
        params.push(param(arg));
        if !matches!(arg.kind, ExprKind::Literal(_)) {
            arrays.push(argument(stage, arg, &column.name, schema, rows));
        }
    }
    let ret = types::scalar_type(&column.call.ty);
    // A kernel's name may be a Rust keyword.
    let function =
        syn::parse_str::<Ident>(kernel).unwrap_or_else(|_| Ident::new_raw(kernel, proc_macro2::Span::call_site()));
    let field = stage.add_field(
        &column.name,
        quote!(Kernel),
        quote! {
            Kernel::new(kernels::function::#function, &[#(#params),*], &#ret)
                .expect("the compiler has checked this call")
        },
    );

    let mut text = format!("`{}`", print::expr(&column.call, schema));
    let (select, len, result) = match &column.guard {
        None => (TokenStream::new(), quote!(batch.rows), None),
        Some(guard) => {
            text.push_str(&format!(" where `{}`", print::expr(guard, schema)));
            let guard_name = stage.function_name(&format!("{}_guard", column.name));
            let filter = filter::function(&guard_name, "", guard, schema, false);
            stage.add_function(filter.item);
            let question = filter.fallible.then(|| quote!(?));
            (
                quote!(let selection = &#guard_name(batch)#question;),
                quote!(selection.len()),
                Some(quote!(Ok(selection.scatter(&result, batch.rows)))),
            )
        }
    };
    let call = quote!(self.#field.call(&[#(#arrays),*], #len).map_err(TaskError::user));
    let body = match result {
        None => call,
        Some(result) => quote!(#select let result = #call?; #result),
    };
    let doc = doc_text(&text);
    stage.add_method(quote! {
        #[doc = #doc]
        fn #name(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
            #body
        }
    });
    name
}

/// An argument that is no constant: an array for the rows.
fn argument(stage: &mut StageCode, arg: &Expr, column: &str, schema: &Schema, rows: Rows) -> TokenStream {
    match column::passed(arg, schema) {
        Some(passed) => passed.take(rows),
        None => {
            let name = stage.function_name(&format!("{column}_argument"));
            let function = column::function(name, "", arg, schema, rows);
            let call = function.call(rows);
            stage.add_function(function.item);
            call
        }
    }
}

fn param(arg: &Expr) -> TokenStream {
    match &arg.kind {
        ExprKind::Literal(value) => constant(value, &arg.ty),
        _ => {
            let (ty, nullable) = (types::scalar_type(&arg.ty), arg.nullable);
            quote!(Param::column(#ty, #nullable))
        }
    }
}

fn constant(value: &Literal, ty: &ScalarType) -> TokenStream {
    let rust = types::scalar_type(ty);
    match value {
        Literal::Null => quote!(Param::null(#rust)),
        Literal::Bool(value) => quote!(Param::bool(#value)),
        Literal::Int(value) => {
            let value = types::signed(*value);
            quote!(Param::int(#rust, #value))
        }
        Literal::UInt(value) => {
            let value = Token::u64_unsuffixed(*value);
            quote!(Param::uint(#rust, #value))
        }
        Literal::Float(_) => {
            let value = crate::expr::literal(value, &ScalarType::Float64).tokens;
            quote!(Param::float(#rust, #value))
        }
        Literal::Decimal(number) => {
            let ScalarType::Decimal { precision, scale } = ty else {
                unreachable!("the verifier matches constants with types");
            };
            let (precision, scale) = (Token::u8_unsuffixed(*precision), types::signed(i64::from(*scale)));
            let value = crate::expr::literal(&Literal::Decimal(*number), ty).tokens;
            quote!(Param::decimal(#precision, #scale, #value))
        }
        Literal::Utf8(text) => quote!(Param::utf8(#text)),
        Literal::Binary(bytes) => {
            let bytes = Token::byte_string(bytes);
            quote!(Param::binary(#bytes))
        }
        Literal::Interval { months, days, nanos } => {
            let (months, days) = (types::signed(i64::from(*months)), types::signed(i64::from(*days)));
            let nanos = types::signed(*nanos);
            quote!(Param::interval(#months, #days, #nanos))
        }
        Literal::List(items) => {
            let ScalarType::List(item) = ty else { unreachable!("the verifier matches constants with types") };
            let items = items.iter().map(|value| constant(value, item));
            let item = types::scalar_type(item);
            quote!(Param::list(#item, vec![#(#items),*]))
        }
        Literal::Struct(values) => {
            let ScalarType::Struct(fields) = ty else { unreachable!("the verifier matches constants with types") };
            let values = fields.iter().zip(values).map(|(field, value)| constant(value, &field.ty));
            quote!(Param::structure(#rust, vec![#(#values),*]))
        }
    }
}
