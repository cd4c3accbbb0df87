//! `Project`: a new batch of columns; with a selection, of its rows only.
//!
//! Behind a filter there are two ways. Numbers are gathered first, each column once, and what is computed of them runs in
//! loops without a gather, which vectorise. Where text is computed with, that would copy it once more, so each loop
//! reads the rows of the selection where they are.

use std::collections::BTreeSet;

use compiler_ir::{Column, Schema};
use proc_macro2::TokenStream;
use quote::quote;

use crate::column::{self, Rows, doc_text};
use crate::expr;
use crate::stage::StageCode;
use crate::types::{self, Register};

pub(crate) fn generate(stage: &mut StageCode, columns: &[Column], schema: &Schema, note: &str) {
    let gathered = gathered(columns, schema).filter(|_| stage.rows() == Rows::Selected);
    let rows = if gathered.is_some() { Rows::All } else { stage.rows() };
    let name = stage.function_name("project");
    let mut fallible = false;
    let mut items = TokenStream::new();
    let mut made: Vec<TokenStream> = Vec::new();
    for column in columns {
        match column::passed(&column.expr, schema) {
            Some(passed) => made.push(passed.take(rows)),
            None => {
                let name = stage.function_name(&column.name);
                let function = column::function(name, "", &column.expr, schema, rows);
                made.push(function.call(rows));
                fallible |= function.fallible;
                items.extend(function.item);
            }
        }
    }
    let (parameter, len) = (stage.rows().parameter(), rows.len());
    let gather = gathered.map(|columns| quote!(let batch = &selection.take_columns(batch, &#columns);));
    let doc = doc_text(&format!("`{}`", if note.is_empty() { "SELECT" } else { note }));
    let (output, result) = if fallible {
        (quote!(Result<Batch, TaskError>), quote!(Ok(Batch::new(columns.into(), #len))))
    } else {
        (quote!(Batch), quote!(Batch::new(columns.into(), #len)))
    };
    stage.add_function(quote! {
        #[doc = #doc]
        fn #name(batch: &Batch #parameter) -> #output {
            #gather
            let columns = [#(#made),*];
            #result
        }
    });
    stage.add_function(items);
    stage.replace_batch(&name, fallible);
}

/// The columns that are read, as `&[0, 3]`, if something is computed, and of numbers only.
fn gathered(columns: &[Column], schema: &Schema) -> Option<TokenStream> {
    let mut read = BTreeSet::new();
    let (mut computes, mut numbers) = (false, true);
    for column in columns {
        let passed = expr::leaf(&column.expr, schema).is_some();
        computes |= !passed;
        column.expr.walk(&mut |part| {
            if let Some((path, _)) = expr::leaf(part, schema) {
                read.insert(path[0]);
                let number = matches!(types::register(&part.ty), Register::Number | Register::Bool);
                numbers &= passed || (number && path.len() == 1);
            }
        });
    }
    (computes && numbers && !read.is_empty()).then(|| expr::path_tokens(&read.into_iter().collect::<Vec<_>>()))
}
