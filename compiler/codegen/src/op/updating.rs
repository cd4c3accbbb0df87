//! `Updating`: groups rows by keys, aggregates, and emits what has become of the groups that have changed.
//!
//! ```text
//!  on_batch      add_rows: assign rows to groups (precompiled), then one loop `for (row, group)` over the states
//!  on_timer      flush: in chunks of changed groups, rows of before and of now ──▶ what differs ──▶ the rest of the stage
//!  on_barrier    flush
//!  on_watermark  at the end of the input: flush
//!  snapshot      states of the groups that have changed; restore: put_states into groups
//!  evict         flush, then states of the groups that leave memory; thaw: put_states of those that come back
//! ```
//!
//! It is the first operator of its stage, and its keys are the first columns of what arrives.

use compiler_ir::{Phase, Schema, Updating};
use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::column::{self, doc_text};
use crate::expr::Scope;
use crate::op::aggregate::{self, Slot, States};
use crate::stage::StageCode;
use crate::types;

pub(crate) fn generate(stage: &mut StageCode, updating: &Updating, schema: &Schema, note: &str) {
    let slots = aggregate::slots(stage, &updating.aggregates, true);
    let key_types = updating.keys.iter().map(|key| types::scalar_type(&key.expr.ty));
    let groups = stage.add_field("groups", quote!(Updating), quote!(Updating::new(&[#(#key_types),*])));
    let states = aggregate::add_states(stage, &slots, "Accumulators", Phase::Single);
    let add = add_rows(stage, &slots, &groups, states.as_ref(), schema, note);
    stage.consume(&add);
    flush(stage, &groups, states.as_ref());
    checkpoints(stage, updating, &slots, &groups, states.as_ref());
    stage.begin_results();
}

fn add_rows(
    stage: &mut StageCode,
    slots: &[Slot],
    groups: &Ident,
    states: Option<&States>,
    schema: &Schema,
    note: &str,
) -> Ident {
    let name = stage.function_name("add_rows");
    let mut scope = Scope::new(schema);
    let mut updates = TokenStream::new();
    for slot in slots {
        updates.extend(aggregate::update(&mut scope, slot));
    }
    let body = states.map(|States { field, .. }| {
        let row = column::row_parameter(&updates);
        quote! {
            let states = self.#field.begin(&self.#groups);
            for (#row, group) in self.#groups.pairs() {
                let state = &mut states[group];
                #updates
            }
        }
    });
    let (bindings, check, note) = (scope.bindings(), scope.check(), doc_text(&format!("`{note}`")));
    stage.add_method(quote! {
        #[doc = #note]
        fn #name(&mut self, batch: &Batch, cx: &mut StageContext) -> Result<(), TaskError> {
            self.#groups.assign(batch, cx)?;
            self.thaw();
            #bindings
            #body
            #check
            Ok(())
        }
    });
    name
}

/// `flush`, and when it is called.
fn flush(stage: &mut StageCode, groups: &Ident, states: Option<&States>) {
    let (before, after, flushed) = match states {
        None => (quote!(&[]), quote!(&[]), quote!(self.#groups.flushed(cx)?;)),
        Some(states) => {
            let field = &states.field;
            let before = states.result_columns(&quote!(self.#field.before(&changed)));
            let after = states.result_columns(&quote!(&self.#field.after(&changed)));
            (quote!(&#before), quote!(&#after), quote!(self.#field.flushed(self.#groups.flushed(cx)?);))
        }
    };
    stage.add_method(quote! {
        #[doc = " Emits what has become of the groups that have changed."]
        fn flush(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
            while let Some(changed) = self.#groups.next_changed(cx) {
                let batch = self.#groups.changes(&changed, #before, #after);
                if batch.rows > 0 {
                    self.pass_on(batch, cx)?;
                }
            }
            if !cx.more {
                #flushed
            }
            Ok(())
        }
    });
    stage.set_on_watermark(quote! {
        match watermark {
            i64::MAX => self.flush(cx),
            _ => Ok(()),
        }
    });
}

/// `on_timer`, `on_barrier`, `snapshot`, `restore`, `memory` and `evict`; `put_states` and `thaw`.
fn checkpoints(stage: &mut StageCode, updating: &Updating, slots: &[Slot], groups: &Ident, states: Option<&States>) {
    let schema = updating.state_schema();
    let (saved, put, memory, thaw, keep) = match states {
        None => (
            quote!(Vec::new()),
            TokenStream::new(),
            TokenStream::new(),
            quote!(while self.#groups.next_thawed().is_some() {}),
            quote!(self.#groups.freeze(cold, states)?;),
        ),
        Some(states) => {
            let field = &states.field;
            let mut scope = Scope::new(&schema);
            let merges = aggregate::merges(&mut scope, slots, updating.keys.len());
            let bindings = scope.bindings();
            stage.add_method(quote! {
                #[doc = " Replaces the states of the groups that were found."]
                fn put_states(&mut self, batch: &Batch) {
                    #bindings
                    let states = self.#field.restore(&self.#groups);
                    for (row, group) in self.#groups.pairs() {
                        let state = &mut states[group];
                        *state = Default::default();
                        #merges
                    }
                }
            });
            let heap = aggregate::heap(slots);
            (
                states.state_columns(&quote!(&self.#field.saved(&saved))),
                quote!(self.put_states(batch);),
                quote!(+ self.#field.memory(#heap)),
                quote!(while let Some(batch) = self.#groups.next_thawed() {
                    self.put_states(&batch);
                }),
                quote!(self.#field.keep(self.#groups.freeze(cold, states)?);),
            )
        }
    };
    let cold = match states {
        None => quote!(Vec::new()),
        Some(states) => {
            let field = &states.field;
            states.state_columns(&quote!(&self.#field.saved(&cold)))
        }
    };
    stage.add_method(quote! {
        #[doc = " Takes the states of groups that come back from disk."]
        fn thaw(&mut self) { #thaw }
    });
    stage.set_checkpoints(quote! {
        fn on_timer(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
            self.flush(cx)
        }
        fn on_barrier(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
            self.flush(cx)
        }
        fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
            let mut table = TableRows::default();
            while let Some(saved) = self.#groups.next_unsaved(&mut table)? {
                let states = #saved;
                table.keep(saved.batch(states));
            }
            Ok(vec![table])
        }
        fn restore(&mut self, _table: usize, batch: &Batch, _watermark: Option<i64>) -> Result<(), TaskError> {
            self.#groups.restore(batch)?;
            #put
            Ok(())
        }
        fn memory(&self) -> usize {
            self.#groups.memory() #memory
        }
        fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
            self.flush(cx)?;
            while let Some(cold) = self.#groups.next_cold(portion, cx)? {
                let states = #cold;
                #keep
            }
            Ok(())
        }
    });
}
