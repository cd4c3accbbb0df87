//! `WindowJoin`: rows of two inputs, paired by window and keys.
//!
//! ```text
//!  on_batch      the rows of either side are kept (precompiled)
//!  on_watermark  for each closed window, in chunks: pairs ──▶ condition ──▶ the rest of the stage
//!  snapshot      the rows of each side that came since the last one; restore: the same back
//!  evict         rows of windows go to disk (precompiled)
//! ```
//!
//! Of all that only the condition is generated: a filter over the columns of both sides, of which those are there that it
//! reads. The rest is data of the constructor.

use compiler_ir::{JoinKind, Schema, WindowJoin};
use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::expr::path_tokens;
use crate::op::filter;
use crate::stage::StageCode;
use crate::types;

/// `input`: the columns of both sides.
pub(crate) fn generate(stage: &mut StageCode, join: &WindowJoin, input: &Schema) {
    let make = constructor(stage, join, input);
    let field = stage.add_field("join", quote!(WindowJoin), make);
    stage.step(quote!(self.#field.add(&batch, cx)));
    stage.end_with_last_step();
    stage.set_on_watermark(quote! {
        while let Some(batch) = self.#field.next_closed(watermark, cx)? {
            self.pass_on(batch, cx)?;
        }
        Ok(())
    });
    stage.set_checkpoints(checkpoints(&field));
    stage.begin_results();
}

fn constructor(stage: &mut StageCode, join: &WindowJoin, input: &Schema) -> TokenStream {
    let kind = match join.kind {
        JoinKind::Inner => quote!(JoinKind::Inner),
        JoinKind::Left => quote!(JoinKind::Left),
        JoinKind::Right => quote!(JoinKind::Right),
        JoinKind::Full => quote!(JoinKind::Full),
    };
    let (width, keys) = (types::signed(join.width), proc_macro2::Literal::usize_unsuffixed(join.keys));
    let (left, right) = input.fields.split_at(join.left);
    let [left, right] = [left, right].map(|side| {
        let types = side.iter().map(|field| types::scalar_type(&field.ty));
        quote!(&[#(#types),*])
    });
    let output = path_tokens(&join.output);
    let condition = join.condition.as_ref().map(|condition| {
        let name = stage.function_name("condition");
        let filter = filter::function(&name, "", condition, input, false);
        stage.add_function(filter.item);
        let mut reads = Vec::new();
        condition.collect_columns(&mut reads);
        reads.sort_unstable();
        let reads = path_tokens(&reads);
        let function = if filter.fallible { quote!(#name) } else { quote!(|pairs| Ok(#name(pairs))) };
        quote!(.with_condition(&#reads, #function))
    });
    quote!(WindowJoin::new(#kind, #width, #keys, #left, #right, &#output) #condition)
}

/// Table 0 has the rows of the left side, table 1 those of the right.
fn checkpoints(field: &Ident) -> TokenStream {
    quote! {
        fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
            self.#field.changed()
        }
        fn restore(&mut self, table: usize, batch: &Batch, watermark: Option<i64>) -> Result<(), TaskError> {
            self.#field.restore(table, batch, watermark)
        }
        fn restored(&mut self, watermark: i64) {
            self.#field.restored(watermark);
        }
        fn memory(&self) -> usize {
            self.#field.memory()
        }
        fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
            self.#field.evict(portion, cx)
        }
    }
}
