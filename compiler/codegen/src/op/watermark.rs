//! `Watermark`: tells the runtime the largest event time of a batch.

use compiler_ir::{Expr, ExprKind, NativeFn, Schema};
use quote::quote;

use crate::column::{self, Rows, doc_text};
use crate::stage::StageCode;
use crate::types;

pub(crate) fn generate(stage: &mut StageCode, expr: &Expr, schema: &Schema, note: &str) {
    // Adding a constant changes the largest value, not which one it is.
    let (base, nanos) = match &expr.kind {
        ExprKind::Native { function: NativeFn::AddNanos(nanos), args } => (&args[0], *nanos),
        _ => (expr, 0),
    };
    let nanos = types::signed(nanos);
    let name = stage.function_name("watermark");
    let mut fallible = false;
    let times = match column::passed(base, schema) {
        Some(column) => column.borrowed,
        None => {
            let name = stage.function_name("event_times");
            let function = column::function(name, "", base, schema, Rows::All);
            let call = function.call(Rows::All);
            fallible = function.fallible;
            stage.add_function(function.item);
            quote!(&#call)
        }
    };
    let doc = doc_text(&format!("`{}`", if note.is_empty() { "WATERMARK" } else { note }));
    let (output, result) =
        if fallible { (quote!(-> Result<(), TaskError>), quote!(Ok(()))) } else { (quote!(), quote!()) };
    stage.add_function(quote! {
        #[doc = #doc]
        fn #name(batch: &Batch, cx: &mut StageContext) #output {
            window::observe(#times, #nanos, cx);
            #result
        }
    });
    // Rows that a filter has dropped count as well: they have been seen.
    let question = fallible.then(|| quote!(?));
    stage.step(quote!(#name(&batch, cx)#question;));
}
