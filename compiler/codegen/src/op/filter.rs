//! `Filter`: narrows the selection.
//!
//! The predicate's conjuncts are applied one after the other, so that each sees only the rows that are left. First, in
//! one loop without tests for null and without branches, those over numbers that are strict and cannot fail; then those over
//! text that are; then the others in the query's order. So what can fail runs for the fewest rows.

use compiler_ir::{BinaryOp, Expr, ExprKind, ScalarType, Schema, print};
use proc_macro2::TokenStream;
use quote::quote;

use crate::column::{self, doc_text};
use crate::expr::{self, Reading, Scope};
use crate::stage::StageCode;
use crate::types::{self, Register};

/// A function that makes or narrows a selection.
pub(crate) struct FilterFn {
    pub(crate) item: TokenStream,
    pub(crate) fallible: bool,
}

pub(crate) fn generate(stage: &mut StageCode, predicate: &Expr, schema: &Schema, note: &str) {
    stage.narrow(&|name, narrows| function(name, note, predicate, schema, narrows));
}

/// The function `name`: of a batch, or (`narrows`) of a batch and a selection that it narrows.
pub(crate) fn function(
    name: &proc_macro2::Ident,
    note: &str,
    predicate: &Expr,
    schema: &Schema,
    narrows: bool,
) -> FilterFn {
    let mut scope = Scope::new(schema);
    let steps = steps(predicate);
    let mut body = TokenStream::new();
    let mut made = narrows;
    let mut alone = false;
    for conjuncts in &steps {
        let mut parts = TokenStream::new();
        let (prepare, nulls) = masks(conjuncts, &mut scope);
        for (position, conjunct) in conjuncts.iter().enumerate() {
            let test = scope.value(conjunct, expr::reading(conjunct)).into_test(true);
            if position > 0 {
                parts.extend(quote!(&));
            }
            parts.extend(test);
        }
        body.extend(prepare);
        let row = column::row_parameter(&parts);
        if made {
            body.extend(quote!(selection.retain(#nulls, |#row| #parts);));
        } else {
            body.extend(if steps.len() > 1 {
                quote!(let mut selection = Selection::filter(batch.rows, #nulls, |#row| #parts);)
            } else if scope.is_fallible() {
                quote!(let selection = Selection::filter(batch.rows, #nulls, |#row| #parts);)
            } else {
                alone = true;
                quote!(Selection::filter(batch.rows, #nulls, |#row| #parts))
            });
        }
        made = true;
    }
    let fallible = scope.is_fallible();
    let (bindings, check) = (scope.bindings(), scope.check());
    let doc = doc_text(&describe(note, predicate, schema));
    let (parameter, output, result) = match (narrows, fallible) {
        (true, true) => (quote!(, selection: &mut Selection), quote!(-> Result<(), TaskError>), quote!(Ok(()))),
        (true, false) => (quote!(, selection: &mut Selection), quote!(), quote!()),
        (false, true) => (quote!(), quote!(-> Result<Selection, TaskError>), quote!(Ok(selection))),
        (false, false) if alone => (quote!(), quote!(-> Selection), quote!()),
        (false, false) => (quote!(), quote!(-> Selection), quote!(selection)),
    };
    let item = quote! {
        #[doc = #doc]
        fn #name(batch: &Batch #parameter) #output {
            #bindings
            #body
            #check
            #result
        }
    };
    FilterFn { item, fallible }
}

fn describe(note: &str, predicate: &Expr, schema: &Schema) -> String {
    if note.is_empty() { format!("`{}`", print::expr(predicate, schema)) } else { format!("`{note}`") }
}

/// Statements, and an `Option<&NullBuffer>`: where the columns that the conjuncts read raw are not null.
fn masks(conjuncts: &[&Expr], scope: &mut Scope) -> (TokenStream, TokenStream) {
    let mut masks: Vec<TokenStream> = Vec::new();
    for conjunct in conjuncts.iter().filter(|conjunct| expr::reading(conjunct) == Reading::Values) {
        for mask in scope.masks(conjunct) {
            if !masks.iter().any(|known| known.to_string() == mask.to_string()) {
                masks.push(mask);
            }
        }
    }
    match masks.as_slice() {
        [] => (TokenStream::new(), quote!(None)),
        [one] => (TokenStream::new(), one.clone()),
        all => {
            let name = scope.local("valid");
            (quote!(let #name = column::all_valid(&[#(#all),*]);), quote!(#name.as_ref()))
        }
    }
}

/// Groups of conjuncts, each of which is one loop.
fn steps(predicate: &Expr) -> Vec<Vec<&Expr>> {
    let mut conjuncts = Vec::new();
    split(predicate, &mut conjuncts);
    let (strict, others): (Vec<&Expr>, Vec<&Expr>) =
        conjuncts.into_iter().partition(|conjunct| expr::reading(conjunct) == Reading::Values);
    let (numbers, texts): (Vec<&Expr>, Vec<&Expr>) = strict.into_iter().partition(|conjunct| is_cheap(conjunct));
    let one = (!numbers.is_empty()).then_some(numbers);
    one.into_iter().chain(texts.into_iter().chain(others).map(|conjunct| vec![conjunct])).collect()
}

fn split<'a>(predicate: &'a Expr, conjuncts: &mut Vec<&'a Expr>) {
    match &predicate.kind {
        ExprKind::Binary { op: BinaryOp::And, left, right } => {
            split(left, conjuncts);
            split(right, conjuncts);
        }
        _ => conjuncts.push(predicate),
    }
}

/// Whether evaluating it costs less than a branch that is predicted wrongly.
fn is_cheap(expr: &Expr) -> bool {
    let mut cheap = true;
    expr.walk(&mut |part| {
        cheap &= match &part.kind {
            ExprKind::Native { .. } => false,
            ExprKind::InList { items, .. } => items.len() <= 4,
            _ => part.ty == ScalarType::Bool || types::register(&part.ty) == Register::Number,
        };
    });
    cheap
}
