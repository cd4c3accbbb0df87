//! `Project`: a new batch of columns; with a selection, of its rows only.

use compiler_ir::{Column, Schema};
use proc_macro2::TokenStream;
use quote::quote;

use crate::column::{self, doc_text};
use crate::stage::StageCode;

pub(crate) fn generate(stage: &mut StageCode, columns: &[Column], schema: &Schema, note: &str) {
    let rows = stage.rows();
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
    let (parameter, len) = (rows.parameter(), rows.len());
    let doc = doc_text(&format!("`{}`", if note.is_empty() { "SELECT" } else { note }));
    let (output, result) = if fallible {
        (quote!(Result<Batch, TaskError>), quote!(Ok(Batch::new(columns.into(), #len))))
    } else {
        (quote!(Batch), quote!(Batch::new(columns.into(), #len)))
    };
    stage.add_function(quote! {
        #[doc = #doc]
        fn #name(batch: &Batch #parameter) -> #output {
            let columns = [#(#made),*];
            #result
        }
    });
    stage.add_function(items);
    stage.replace_batch(&name, fallible);
}
