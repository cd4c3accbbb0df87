//! `Tumble`: groups rows by window and keys, and aggregates.
//!
//! ```text
//!  on_batch      add_rows: assign rows to groups (precompiled), then one loop `for (row, group)` over the states
//!                merge_states, in phase Final: the same loop over partial states
//!  on_watermark  for each closed window, in chunks: results ──▶ the rest of the stage
//!  on_barrier    in phase Partial: for each open window, the same
//!  snapshot      otherwise: states of the changed groups of each open window; restore: merge_states into fresh groups
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
    if takes_rows(phase) {
        let add = add_rows(stage, tumble, &slots, &windows, states.as_ref(), schema, &note);
        stage.consume(&add);
    }
    if phase != Phase::Partial {
        let merge = merge_states(stage, tumble, &slots, &windows, states.as_ref(), &note);
        if !takes_rows(phase) {
            stage.step(quote!(self.#merge(&batch, false, cx)));
            stage.end_with_last_step();
        }
        checkpoints(stage, tumble, &slots, &windows, states.as_ref(), &merge);
    }
    let fallible = results(stage, &slots, phase, states.as_ref());
    flush(stage, &slots, phase, fallible, &windows, states.as_ref());
    if phase != Phase::Partial {
        stage.begin_results();
    }
}

// --- rows and states in --------------------------------------------------------------------------------------------

fn add_rows(
    stage: &mut StageCode,
    tumble: &Tumble,
    slots: &[Slot],
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
    let (parameter, bindings, check) = (rows.parameter(), scope.bindings(), scope.check());
    stage.add_method(quote! {
        #[doc = #note]
        fn #name(&mut self, batch: &Batch #parameter, cx: &mut StageContext) -> Result<(), TaskError> {
            #prepare
            self.#windows.assign(#all, #event_time, &[#(#keys),*], cx)?;
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
fn merge_states(
    stage: &mut StageCode,
    tumble: &Tumble,
    slots: &[Slot],
    windows: &Ident,
    states: Option<&States>,
    note: &str,
) -> Ident {
    let name = stage.function_name("merge_states");
    let schema = tumble.state_schema();
    let mut scope = Scope::new(&schema);
    let assign = assign_states(tumble, windows, &quote!(cx));
    let updates = aggregate::merges(&mut scope, slots, tumble.keys.len() + 1);
    let replace = quote!(if replace {
        *state = Default::default();
    });
    let body = group_loop(windows, states, &quote!(#replace #updates), &TokenStream::new());
    let bindings = scope.bindings();
    let more =
        if states.is_some() { " Partial states; `replace`: what the groups had before is forgotten." } else { "" };
    let parameter = if states.is_some() { quote!(replace) } else { quote!(_replace) };
    stage.add_method(quote! {
        #[doc = #note]
        #[doc = ""]
        #[doc = #more]
        fn #name(&mut self, batch: &Batch, #parameter: bool, cx: &mut StageContext) -> Result<(), TaskError> {
            #assign
            #bindings
            #body
            Ok(())
        }
    });
    name
}

/// `self.tumble.assign(...)?` for rows that begin with keys and the window's start.
fn assign_states(tumble: &Tumble, windows: &Ident, cx: &TokenStream) -> TokenStream {
    let keys = (0..tumble.keys.len()).map(Token::usize_unsuffixed).map(|key| quote!(Input::row(batch.array(#key))));
    let start = Token::usize_unsuffixed(tumble.keys.len());
    quote!(self.#windows.assign(Rows::All(batch.rows), Input::row(batch.array(#start)), &[#(#keys),*], #cx)?;)
}

// --- checkpoints ---------------------------------------------------------------------------------------------------

/// `snapshot`, `restore` and `restored`. Table 0 has the states of groups, the others the values of one distinct
/// aggregate each.
fn checkpoints(
    stage: &mut StageCode,
    tumble: &Tumble,
    slots: &[Slot],
    windows: &Ident,
    states: Option<&States>,
    merge: &Ident,
) {
    let sets: Vec<&Ident> = slots.iter().filter(|slot| slot.aggregate.distinct).map(|slot| &slot.name).collect();
    let columns = match states {
        None => quote!(Vec::new()),
        Some(states) => {
            let field = &states.field;
            states.state_columns(&quote!(&self.#field.changed(&changed)))
        }
    };
    let tables = Token::usize_unsuffixed(1 + sets.len());
    let numbers = (1..=sets.len()).map(Token::usize_unsuffixed);
    let pushes = numbers
        .zip(&sets)
        .map(|(table, set)| quote!(tables[#table].push(self.#set.changed(&changed, &self.#windows), changed.end);));
    let restore = if sets.is_empty() {
        quote!(self.#merge(batch, true, &mut cx))
    } else {
        let numbers = (1..=sets.len()).map(Token::usize_unsuffixed);
        let value = Token::usize_unsuffixed(tumble.keys.len() + 1);
        let assign = assign_states(tumble, windows, &quote!(&mut cx));
        let arms = numbers.zip(&sets).map(|(table, set)| {
            quote! {
                #table => self.#set.assign(
                    part.bin, self.#windows.rows_of(part), self.#windows.groups_of(part), batch.array(#value), None,
                ),
            }
        });
        quote! {
            if table == 0 {
                return self.#merge(batch, true, &mut cx);
            }
            #assign
            for part in self.#windows.parts() {
                match table {
                    #(#arms)*
                    _ => {}
                }
            }
            Ok(())
        }
    };
    let table = if sets.is_empty() { quote!(_table) } else { quote!(table) };
    stage.set_checkpoints(quote! {
        fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
            let mut tables = vec![TableRows::default(); #tables];
            for changed in self.#windows.changed() {
                let states = #columns;
                tables[0].push(changed.states(states), changed.end);
                #(#pushes)*
            }
            Ok(tables)
        }
        fn restore(&mut self, #table: usize, batch: &Batch, watermark: Option<i64>) -> Result<(), TaskError> {
            let mut cx = StageContext::default();
            self.#windows.begin_restore(watermark);
            #restore
        }
        fn restored(&mut self, watermark: i64) {
            self.#windows.restored(watermark);
            #(self.#sets.restored();)*
        }
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
    let set = quote! {
        self.#name.assign(part.bin, self.#windows.rows_of(part), self.#windows.groups_of(part), &#local, #keep);
    };
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
) {
    let question = fallible.then(|| quote!(?));
    let release = states.map(|States { field, .. }| quote!(self.#field.release(&closed);));
    let release_open = states.map(|States { field, .. }| quote!(self.#field.release(&open);));
    let sets = slots.iter().filter(|slot| slot.aggregate.distinct).map(|slot| &slot.name);
    let pass = if phase == Phase::Partial { quote!(cx.emit(batch);) } else { quote!(self.pass_on(batch, cx)?;) };
    stage.set_on_watermark(quote! {
        while let Some(closed) = self.#windows.next_closed(watermark) {
            let batch = self.results(&closed) #question;
            #release
            #(self.#sets.release(&closed);)*
            #pass
        }
        Ok(())
    });
    if phase == Phase::Partial {
        stage.set_checkpoints(quote! {
            fn on_barrier(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
                while let Some(open) = self.#windows.next_open() {
                    let batch = self.results(&open);
                    #release_open
                    cx.emit(batch);
                }
                Ok(())
            }
        });
    }
}
