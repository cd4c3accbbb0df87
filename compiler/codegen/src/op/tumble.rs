//! `Tumble`: groups rows by window and keys, and aggregates.
//!
//! ```text
//!  on_batch      add_rows: assign rows to groups (precompiled), then one loop `for (row, group)` over the states
//!                merge_states, in phase Final: the same loop over partial states (put_states)
//!                thaw, between the two: put_states of the groups that come back from disk
//!  on_watermark  for each closed window, in chunks: results ──▶ the rest of the stage
//!  on_barrier    in phase Partial: for each open window, the same; so does evict
//!  snapshot      otherwise: states of the changed groups of each open window; restore: put_states into fresh groups
//!  evict         states of the groups that leave memory
//! ```
//!
//! The state of a group is a generated struct with a member for each aggregate; distinct counts, which need sets,
//! stand beside it as fields of the stage.

use compiler_ir::{Column, Expr, Phase, Schema, Tumble};
use proc_macro2::{Ident, Literal as Token, TokenStream};
use quote::quote;

use crate::column::{self, Rows, doc_text};
use crate::expr::{Reading, Scope};
use crate::op::aggregate::{self, Slot, States};
use crate::stage::{StageCode, takes_rows};
use crate::types;

pub(crate) fn generate(stage: &mut StageCode, tumble: &Tumble, phase: Phase, schema: &Schema, note: &str) {
    let slots = aggregate::slots(stage, &tumble.aggregates, takes_rows(phase));
    let key_types = tumble.keys.iter().map(|key| types::scalar_type(&key.expr.ty));
    let width = types::signed(tumble.width);
    let windows = stage.add_field("tumble", quote!(Tumble), quote!(Tumble::new(#width, &[#(#key_types),*])));
    let states = aggregate::add_states(stage, &slots, "States", phase);

    let note = doc_text(&format!("`{note}`"));
    let memory = memory(&slots, &windows, states.as_ref());
    if takes_rows(phase) {
        let add = add_rows(stage, tumble, &slots, phase, &windows, states.as_ref(), schema, &note);
        stage.consume(&add);
    }
    if phase != Phase::Partial {
        if !takes_rows(phase) {
            let merge = merge_states(stage, tumble, &windows, states.as_ref(), &note);
            stage.step(quote!(self.#merge(&batch, cx)));
            stage.end_with_last_step();
        }
        put_states(stage, tumble, &slots, &windows, states.as_ref());
        checkpoints(stage, tumble, &slots, &windows, states.as_ref(), &memory);
    }
    let fallible = results(stage, &slots, phase, states.as_ref());
    flush(stage, &slots, phase, fallible, &windows, states.as_ref(), &memory);
    if phase != Phase::Partial {
        stage.begin_results();
    }
}

/// `memory`, of `impl Stage`.
fn memory(slots: &[Slot], windows: &Ident, states: Option<&States>) -> TokenStream {
    let states = states.map(|States { field, .. }| {
        let heap = aggregate::heap(slots);
        quote!(+ self.#field.memory(#heap))
    });
    let sets = slots.iter().filter(|slot| slot.aggregate.distinct).map(|slot| &slot.name);
    quote! {
        fn memory(&self) -> usize {
            self.#windows.memory() #states #(+ self.#sets.memory())*
        }
    }
}

// --- rows and states in --------------------------------------------------------------------------------------------

#[expect(clippy::too_many_arguments, reason = "all that a tumble is")]
fn add_rows(
    stage: &mut StageCode,
    tumble: &Tumble,
    slots: &[Slot],
    phase: Phase,
    windows: &Ident,
    states: Option<&States>,
    schema: &Schema,
    note: &str,
) -> Ident {
    let rows = stage.rows();
    let name = stage.function_name("add_rows");
    let mut scope = Scope::new(schema);
    let mut prepare = TokenStream::new();
    let event_time = input(stage, &mut scope, &mut prepare, "event_time", &tumble.event_time, schema, rows);
    let mut keys = Vec::new();
    for Column { name, expr } in &tumble.keys {
        keys.push(input(stage, &mut scope, &mut prepare, name, expr, schema, rows));
    }
    let mut updates = TokenStream::new();
    let mut sets = TokenStream::new();
    let mut masks = TokenStream::new();
    for slot in slots {
        if slot.aggregate.distinct {
            let (mask, set) = assign_distinct(&mut scope, slot, windows, schema);
            masks.extend(mask);
            sets.extend(set);
        } else {
            updates.extend(aggregate::update(&mut scope, slot));
        }
    }
    let all = match rows {
        Rows::All => quote!(Rows::All(batch.rows)),
        Rows::Selected => quote!(selection.rows()),
    };
    let body = group_loop(windows, states, &updates, &sets);
    let thaw = (phase != Phase::Partial).then(|| quote!(self.thaw();));
    let (parameter, bindings, check) = (rows.parameter(), scope.bindings(), scope.check());
    stage.add_method(quote! {
        #[doc = #note]
        fn #name(&mut self, batch: &Batch #parameter, cx: &mut StageContext) -> Result<(), TaskError> {
            #prepare
            self.#windows.assign(#all, #event_time, &[#(#keys),*], cx)?;
            #thaw
            #bindings
            #masks
            #body
            #check
            Ok(())
        }
    });
    name
}

/// The method that takes partial states: the columns of [`Tumble::state_schema`].
fn merge_states(stage: &mut StageCode, tumble: &Tumble, windows: &Ident, states: Option<&States>, note: &str) -> Ident {
    let name = stage.function_name("merge_states");
    let assign = assign_states(tumble, windows, &quote!(cx));
    let put = states.map(|_| quote!(self.put_states(batch, false);));
    stage.add_method(quote! {
        #[doc = #note]
        fn #name(&mut self, batch: &Batch, cx: &mut StageContext) -> Result<(), TaskError> {
            #assign
            self.thaw();
            #put
            Ok(())
        }
    });
    name
}

/// `put_states`: the loop over partial states whose groups have been assigned. `thaw`: the same for groups that come back,
/// with the counts of their sets behind.
fn put_states(stage: &mut StageCode, tumble: &Tumble, slots: &[Slot], windows: &Ident, states: Option<&States>) {
    let schema = tumble.state_schema();
    let put = states.map(|states| {
        let mut scope = Scope::new(&schema);
        let merges = aggregate::merges(&mut scope, slots, tumble.keys.len() + 1);
        let replace = quote!(if replace {
            *state = Default::default();
        });
        let body = group_loop(windows, Some(states), &quote!(#replace #merges), &TokenStream::new());
        let bindings = scope.bindings();
        stage.add_method(quote! {
            #[doc = " Partial states of the groups that were found; `replace`: what the groups had before is forgotten."]
            fn put_states(&mut self, batch: &Batch, replace: bool) {
                #bindings
                #body
            }
        });
        quote!(self.put_states(&batch, true);)
    });
    let sets = slots.iter().filter(|slot| slot.aggregate.distinct).enumerate().map(|(number, slot)| {
        let (set, counts) = (&slot.name, Token::usize_unsuffixed(schema.fields.len() + number));
        quote!(self.#set.put_counts(&self.#windows, batch.array(#counts));)
    });
    let takes = quote!(#put #(#sets)*);
    let body = match takes.is_empty() {
        true => quote!(while self.#windows.next_thawed().is_some() {}),
        false => quote!(while let Some(batch) = self.#windows.next_thawed() { #takes }),
    };
    stage.add_method(quote! {
        #[doc = " Takes the states of groups that come back from disk."]
        fn thaw(&mut self) { #body }
    });
}

/// `self.tumble.assign(...)?` for rows that begin with keys and the window's start.
fn assign_states(tumble: &Tumble, windows: &Ident, cx: &TokenStream) -> TokenStream {
    let keys = (0..tumble.keys.len()).map(Token::usize_unsuffixed).map(|key| quote!(Input::row(batch.array(#key))));
    let start = Token::usize_unsuffixed(tumble.keys.len());
    quote!(self.#windows.assign(Rows::All(batch.rows), Input::row(batch.array(#start)), &[#(#keys),*], #cx)?;)
}

// --- checkpoints ---------------------------------------------------------------------------------------------------

/// `snapshot`, `restore`, `restored`, `memory` and `evict`. Table 0 has the states of groups, the others the values of one
/// distinct aggregate each.
fn checkpoints(
    stage: &mut StageCode,
    tumble: &Tumble,
    slots: &[Slot],
    windows: &Ident,
    states: Option<&States>,
    memory: &TokenStream,
) {
    let sets: Vec<&Ident> = slots.iter().filter(|slot| slot.aggregate.distinct).map(|slot| &slot.name).collect();
    let columns = match states {
        None => quote!(Vec::new()),
        Some(states) => {
            let field = &states.field;
            states.state_columns(&quote!(&self.#field.changed(changed)))
        }
    };
    stage.add_method(quote! {
        #[doc = " Rows of the groups of a window: keys, window, states."]
        fn state_rows(&self, changed: &Changed) -> Batch {
            changed.states(#columns)
        }
    });
    let tables = Token::usize_unsuffixed(1 + sets.len());
    let numbers = (1..=sets.len()).map(Token::usize_unsuffixed);
    let pushes = numbers
        .zip(&sets)
        .map(|(table, set)| quote!(self.#set.changed(&changed, &self.#windows, &mut tables[#table])?;));
    let assign = assign_states(tumble, windows, &quote!(&mut cx));
    let put = states.map(|_| quote!(self.put_states(batch, true);));
    let restore = if sets.is_empty() {
        put.clone().unwrap_or_default()
    } else {
        let numbers = (1..=sets.len()).map(Token::usize_unsuffixed);
        let value = Token::usize_unsuffixed(tumble.keys.len() + 1);
        let put = put.as_ref().map(|_| {
            quote! {
                if table == 0 {
                    self.put_states(batch, true);
                }
            }
        });
        let arms = numbers
            .zip(&sets)
            .map(|(table, set)| quote!(#table => self.#set.assign(part, &self.#windows, batch.array(#value), None)?,));
        quote! {
            #put
            for part in self.#windows.parts() {
                match table {
                    #(#arms)*
                    _ => {}
                }
            }
        }
    };
    let table = if sets.is_empty() { quote!(_table) } else { quote!(table) };
    let counts = match sets.as_slice() {
        [] => quote!(&[]),
        sets => quote!(&[#(self.#sets.counts(&cold)),*]),
    };
    let keepers: Vec<&Ident> = states.map(|states| &states.field).into_iter().chain(sets.iter().copied()).collect();
    let keep = match keepers.as_slice() {
        [] => quote!(self.#windows.freeze(&cold, &rows, &[])?;),
        keepers => quote! {
            #(self.#sets.freeze(&cold, &self.#windows, cx)?;)*
            let kept = self.#windows.freeze(&cold, &rows, #counts)?;
            #(self.#keepers.keep(cold.bin, kept.as_deref());)*
        },
    };
    let evict = quote! {
        fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
            while let Some(cold) = self.#windows.next_cold(portion, cx)? {
                let rows = self.state_rows(&cold);
                #keep
            }
            Ok(())
        }
    };
    stage.set_checkpoints(quote! {
        fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
            let mut tables = TableRows::of_tables(#tables);
            for changed in self.#windows.changed(&mut tables[0])? {
                tables[0].push(self.state_rows(&changed), changed.end);
                #(#pushes)*
            }
            Ok(tables)
        }
        fn restore(&mut self, #table: usize, batch: &Batch, watermark: Option<i64>) -> Result<(), TaskError> {
            let mut cx = StageContext::default();
            self.#windows.begin_restore(watermark);
            #assign
            self.thaw();
            #restore
            Ok(())
        }
        fn restored(&mut self, watermark: i64) {
            self.#windows.restored(watermark);
            #(self.#sets.restored();)*
        }
        #memory
        #evict
    });
}

/// A key or the event time: a column of the batch, or one computed for the rows.
fn input(
    stage: &mut StageCode,
    scope: &mut Scope,
    prepare: &mut TokenStream,
    wish: &str,
    expr: &Expr,
    schema: &Schema,
    rows: Rows,
) -> TokenStream {
    match crate::expr::leaf(expr, schema) {
        Some((path, _)) if path.len() == 1 => {
            let index = Token::usize_unsuffixed(path[0]);
            quote!(Input::row(batch.array(#index)))
        }
        Some((path, name)) => {
            let (local, path) = (scope.local(&name), crate::expr::path_tokens(&path));
            prepare.extend(quote!(let #local = batch.path(&#path);));
            quote!(Input::row(&#local))
        }
        None => {
            // It is called below the variables of the inputs before it.
            let mut function_name = stage.function_name(wish);
            while scope.hides(&function_name) {
                function_name = stage.function_name(wish);
            }
            let function = column::function(function_name, "", expr, schema, rows);
            let (local, call) = (scope.local(wish), function.call(rows));
            stage.add_function(function.item);
            prepare.extend(quote!(let #local = #call;));
            quote!(Input::position(&#local))
        }
    }
}

/// The loop over the groups of the rows that were assigned.
fn group_loop(windows: &Ident, states: Option<&States>, updates: &TokenStream, sets: &TokenStream) -> TokenStream {
    let over_states = states.map(|States { field, .. }| {
        let row = column::row_parameter(updates);
        quote! {
            let states = self.#field.of(part.bin, part.groups);
            for (#row, group) in self.#windows.pairs(part) {
                let state = &mut states[group];
                #updates
            }
        }
    });
    if over_states.is_none() && sets.is_empty() {
        return TokenStream::new();
    }
    quote! {
        for part in self.#windows.parts() {
            #over_states
            #sets
        }
    }
}

/// Statements before the loop, and in it for each part.
fn assign_distinct(scope: &mut Scope, slot: &Slot, windows: &Ident, schema: &Schema) -> (TokenStream, TokenStream) {
    let (aggregate, name) = (slot.aggregate, &slot.name);
    let arg = aggregate.arg.as_ref().expect("the verifier wants an argument of a distinct aggregate");
    // Placement sends the arguments of what it cannot merge as columns.
    let passed = column::passed(arg, schema).expect("the argument of a distinct aggregate is a column");
    let local = scope.local(&aggregate.name);
    let array = passed.owned;
    let mut before = quote!(let #local = #array;);
    let keep = match &aggregate.filter {
        Some(filter) => {
            let keep = scope.local("keep");
            let test = scope.value(filter, Reading::Options).into_test(true);
            before.extend(quote!(let #keep = column::dense_bool(batch.rows, |row| #test);));
            quote!(Some(&#keep))
        }
        None => quote!(None),
    };
    let set = quote!(self.#name.assign(part, &self.#windows, &#local, #keep)?;);
    (before, set)
}

// --- results out ---------------------------------------------------------------------------------------------------

/// The method `results`: a chunk of closed groups. Whether it can fail.
fn results(stage: &mut StageCode, slots: &[Slot], phase: Phase, states: Option<&States>) -> bool {
    let fallible = states.is_some_and(|states| states.fallible);
    let distinct = slots.iter().enumerate().filter(|(_, slot)| slot.aggregate.distinct).map(|(at, slot)| {
        let name = &slot.name;
        (Token::usize_unsuffixed(at), quote!(column::from_i64(self.#name.finish(closed), None)))
    });
    let (places, counts): (Vec<_>, Vec<_>) = distinct.unzip();
    let (before, columns) = match states {
        None => (TokenStream::new(), quote!(vec![#(#counts),*])),
        Some(states) => {
            let field = &states.field;
            let columns = states.result_columns(&quote!(self.#field.closed(closed)));
            match counts.is_empty() {
                true => (TokenStream::new(), columns),
                false => {
                    let insert = quote!(let mut columns = #columns; #(columns.insert(#places, #counts);)*);
                    (insert, quote!(columns))
                }
            }
        }
    };
    let (doc, batch) = match phase {
        Phase::Partial => (" Partial states of closed windows.", quote!(closed.states(#columns))),
        Phase::Single | Phase::Final => (" Results of closed windows.", quote!(closed.results(#columns))),
    };
    let (output, batch) = match fallible {
        true => (quote!(Result<Batch, TaskError>), quote!(Ok(#batch))),
        false => (quote!(Batch), batch),
    };
    stage.add_method(quote! {
        #[doc = #doc]
        fn results(&self, closed: &Closed) -> #output {
            #before
            #batch
        }
    });
    fallible
}

/// `on_watermark`: results of every window that is closed now.
fn flush(
    stage: &mut StageCode,
    slots: &[Slot],
    phase: Phase,
    fallible: bool,
    windows: &Ident,
    states: Option<&States>,
    memory: &TokenStream,
) {
    let question = fallible.then(|| quote!(?));
    let release = states.map(|States { field, .. }| quote!(self.#field.release(&closed);));
    let release_open = states.map(|States { field, .. }| quote!(self.#field.release(&open);));
    let sets = slots.iter().filter(|slot| slot.aggregate.distinct).map(|slot| &slot.name);
    let (thaw, pass) = if phase == Phase::Partial {
        (quote!(), quote!(cx.emit(batch);))
    } else {
        (quote!(self.thaw();), quote!(self.pass_on(batch, cx)?;))
    };
    stage.set_on_watermark(quote! {
        while let Some(closed) = self.#windows.next_closed(watermark, cx)? {
            #thaw
            let batch = self.results(&closed) #question;
            #release
            #(self.#sets.release(&closed)?;)*
            #pass
        }
        Ok(())
    });
    if phase == Phase::Partial {
        stage.set_checkpoints(quote! {
            fn on_barrier(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
                while let Some(open) = self.#windows.next_open(cx) {
                    let batch = self.results(&open);
                    #release_open
                    cx.emit(batch);
                }
                Ok(())
            }
            #memory
            fn evict(&mut self, _portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
                self.on_barrier(cx)
            }
        });
    }
}
