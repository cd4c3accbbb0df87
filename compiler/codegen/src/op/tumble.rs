//! `Tumble`: groups rows by window and keys, and aggregates.
//!
//! ```text
//!  on_batch      add_rows: assign rows to groups (precompiled), then one loop `for (row, group)` over the states
//!                merge_states, in phase Final: the same loop over partial states
//!  on_watermark  for each closed window, in chunks: results ──▶ the rest of the stage
//!  on_barrier    in phase Partial: for each open window, the same
//!  snapshot      otherwise: changed_states, for each open window; restore: merge_states into fresh groups
//! ```
//!
//! The state of a group is a generated struct with a member for each aggregate; distinct counts, which need sets,
//! stand beside it as fields of the stage.

use compiler_ir::{Aggregate, AggregateFn, Column, Expr, ExprKind, Phase, ScalarType, Schema, Tumble, UnaryOp};
use proc_macro2::{Ident, Literal as Token, TokenStream};
use quote::quote;

use crate::column::{self, Rows, doc_text};
use crate::expr::{Reading, Scope, Value};
use crate::names::Names;
use crate::stage::{StageCode, takes_rows};
use crate::types::{self, Register};

/// What an aggregate is in the generated code.
struct Slot<'a> {
    aggregate: &'a Aggregate,
    /// Member of the state, or field of the stage when it is distinct.
    name: Ident,
    /// `Sum<i64>`
    ty: TokenStream,
    /// Each group has a value, as no row can be null or filtered.
    total: bool,
}

pub(crate) fn generate(stage: &mut StageCode, tumble: &Tumble, phase: Phase, schema: &Schema, note: &str) {
    let slots = slots(stage, tumble, phase);
    let key_types = tumble.keys.iter().map(|key| types::scalar_type(&key.expr.ty));
    let width = types::signed(tumble.width);
    let windows = stage.add_field("tumble", quote!(Tumble), quote!(Tumble::new(#width, &[#(#key_types),*])));
    let states = add_states(stage, &slots);

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
    results(stage, &slots, phase, states.as_ref());
    flush(stage, &slots, phase, &windows, states.as_ref());
    if phase != Phase::Partial {
        stage.begin_results();
    }
}

fn slots<'a>(stage: &mut StageCode, tumble: &'a Tumble, phase: Phase) -> Vec<Slot<'a>> {
    let mut members = Names::default();
    let mut slots = Vec::new();
    for aggregate in &tumble.aggregates {
        let total = takes_rows(phase)
            && aggregate.filter.is_none()
            && aggregate.function == AggregateFn::Sum
            && aggregate.arg.as_ref().is_some_and(|arg| !arg.nullable);
        let name = if aggregate.distinct {
            let arg = aggregate.arg.as_ref().map_or(&ScalarType::Null, |arg| &arg.ty);
            let arg = types::scalar_type(arg);
            stage.add_field(&aggregate.name, quote!(Distinct), quote!(Distinct::new(&#arg)))
        } else {
            members.fresh(&aggregate.name)
        };
        slots.push(Slot { aggregate, name, ty: state_type(aggregate, total), total });
    }
    slots
}

fn state_type(aggregate: &Aggregate, total: bool) -> TokenStream {
    let arg = aggregate.arg.as_ref().map_or(&ScalarType::Int64, |arg| &arg.ty);
    let value = types::value(arg);
    match (aggregate.function, types::register(arg)) {
        (AggregateFn::Count, _) => quote!(Count),
        (AggregateFn::Sum, _) => {
            let value = types::value(&aggregate.ty);
            if total { quote!(Total<#value>) } else { quote!(Sum<#value>) }
        }
        (AggregateFn::Avg, _) if matches!(arg, ScalarType::Decimal { .. }) => quote!(AvgDecimal),
        (AggregateFn::Avg, _) => quote!(Avg),
        (AggregateFn::Min, Register::Text) => quote!(MinText),
        (AggregateFn::Min, Register::Binary) => quote!(MinBinary),
        (AggregateFn::Min, _) => quote!(Min<#value>),
        (AggregateFn::Max, Register::Text) => quote!(MaxText),
        (AggregateFn::Max, Register::Binary) => quote!(MaxBinary),
        (AggregateFn::Max, _) => quote!(Max<#value>),
    }
}

/// The struct of a group's state and the field that holds them all; none without aggregates that need one.
fn add_states(stage: &mut StageCode, slots: &[Slot]) -> Option<Ident> {
    let merged: Vec<&Slot> = slots.iter().filter(|slot| !slot.aggregate.distinct).collect();
    if merged.is_empty() {
        return None;
    }
    let state = quote::format_ident!("{}State", stage.type_name());
    let (names, types): (Vec<_>, Vec<_>) = merged.iter().map(|slot| (&slot.name, &slot.ty)).unzip();
    stage.add_type(quote! {
        #[doc = " What is kept for a group."]
        #[derive(Clone, Default)]
        struct #state { #(#names: #types),* }
    });
    Some(stage.add_field("states", quote!(States<#state>), quote!(States::new())))
}

// --- rows and states in --------------------------------------------------------------------------------------------

fn add_rows(
    stage: &mut StageCode,
    tumble: &Tumble,
    slots: &[Slot],
    windows: &Ident,
    states: Option<&Ident>,
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
            updates.extend(update(&mut scope, slot));
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
    states: Option<&Ident>,
    note: &str,
) -> Ident {
    let name = stage.function_name("merge_states");
    let schema = tumble.state_schema();
    let mut scope = Scope::new(&schema);
    let assign = assign_states(tumble, windows, &quote!(cx));
    let mut updates = TokenStream::new();
    let mut next = tumble.keys.len() + 1;
    for slot in slots.iter().filter(|slot| !slot.aggregate.distinct) {
        let mut values = Vec::new();
        for field in slot.aggregate.state_fields() {
            let value = scope.value(&Expr::column(next, field.ty, field.nullable), Reading::Options);
            values.push(value.tokens);
            next += 1;
        }
        let member = &slot.name;
        updates.extend(quote!(state.#member.merge(#(#values),*);));
    }
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
    states: Option<&Ident>,
    merge: &Ident,
) {
    let sets: Vec<&Ident> = slots.iter().filter(|slot| slot.aggregate.distinct).map(|slot| &slot.name).collect();
    let columns = state_columns(slots, &mut false);
    let of_groups = states.map(|states| quote!(let states = self.#states.changed(changed);));
    stage.add_method(quote! {
        #[doc = " States of the groups of a window that have changed since the last checkpoint."]
        fn changed_states(&self, changed: &Changed) -> Batch {
            let rows = changed.groups.len();
            #of_groups
            let mut columns = changed.keys.clone();
            columns.push(changed.window_start());
            #columns
            Batch::new(columns, rows)
        }
    });
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
                tables[0].push(self.changed_states(&changed), changed.end);
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

/// Statements that push the state of each aggregate that is no distinct one, as columns, out of `states`.
fn state_columns(slots: &[Slot], fallible: &mut bool) -> TokenStream {
    let mut columns = TokenStream::new();
    for slot in slots.iter().filter(|slot| !slot.aggregate.distinct) {
        push_outputs(slot, true, fallible, &mut columns);
    }
    columns
}

/// Statements that push the columns that an aggregate emits.
fn push_outputs(slot: &Slot, partial: bool, fallible: &mut bool, columns: &mut TokenStream) {
    let run = |kind: &str, body: &TokenStream, nulls: Option<&TokenStream>| {
        let function = crate::names::ident(&format!("dense{kind}"));
        let nulls = nulls.map(|nulls| quote!(, #nulls));
        quote!(column::#function(rows, |row| #body #nulls))
    };
    let name = &slot.name;
    for (body, nullable, ty) in outputs(slot, partial, fallible) {
        let value = Value { tokens: quote!(states[row].#name.#body), nullable };
        let (prepare, array) = column::array(value, &quote!(None), &ty, &run);
        columns.extend(quote!(#prepare columns.push(#array);));
    }
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
fn group_loop(windows: &Ident, states: Option<&Ident>, updates: &TokenStream, sets: &TokenStream) -> TokenStream {
    let over_states = states.map(|states| {
        let row = column::row_parameter(updates);
        quote! {
            let states = self.#states.of(part.bin, part.groups);
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

/// Statements that add row `row` to `state`.
fn update(scope: &mut Scope, slot: &Slot) -> TokenStream {
    let (aggregate, member) = (slot.aggregate, &slot.name);
    let add = match &aggregate.arg {
        None => quote!(state.#member.add();),
        Some(arg) if aggregate.function == AggregateFn::Count => {
            if arg.nullable {
                let kind = ExprKind::Unary { op: UnaryOp::IsNotNull, arg: Box::new(arg.clone()) };
                let test = Expr { kind, ty: ScalarType::Bool, nullable: false };
                let test = scope.value(&test, Reading::Options).into_test(true);
                quote!(if #test { state.#member.add(); })
            } else {
                quote!(state.#member.add();)
            }
        }
        Some(arg) => {
            let Value { tokens, nullable } = scope.value(&widened(arg, aggregate), Reading::Options);
            if nullable {
                quote!(if let Some(value) = #tokens { state.#member.add(value); })
            } else {
                quote!(state.#member.add(#tokens);)
            }
        }
    };
    match &aggregate.filter {
        Some(filter) => {
            let test = scope.value(filter, Reading::Options).into_test(true);
            quote!(if #test { #add })
        }
        None => add,
    }
}

/// Sums are of a wider type than what they add.
fn widened(arg: &Expr, aggregate: &Aggregate) -> Expr {
    let number = arg.ty.is_integer() || arg.ty.is_float();
    if aggregate.function != AggregateFn::Sum || !number || arg.ty == aggregate.ty {
        return arg.clone();
    }
    let kind = ExprKind::Cast { arg: Box::new(arg.clone()), fallible_as_null: false };
    Expr { kind, ty: aggregate.ty.clone(), nullable: arg.nullable }
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

/// The method `results`: the output columns of a chunk of closed groups.
fn results(stage: &mut StageCode, slots: &[Slot], phase: Phase, states: Option<&Ident>) {
    let partial = phase == Phase::Partial;
    let mut columns = TokenStream::new();
    let mut fallible = false;
    for slot in slots {
        let name = &slot.name;
        if slot.aggregate.distinct {
            columns.extend(quote!(columns.push(column::from_i64(self.#name.finish(closed), None));));
        } else {
            push_outputs(slot, partial, &mut fallible, &mut columns);
        }
    }
    let states = states.map(|states| quote!(let states = self.#states.closed(closed);));
    let window = if partial { quote!(window_start) } else { quote!(window) };
    let doc = if partial { " Partial states of closed windows." } else { " Results of closed windows." };
    let (output, errors, result) = if fallible {
        (
            quote!(Result<Batch, TaskError>),
            quote!(let errors = Errors::new();),
            quote!(errors.check()?; Ok(Batch::new(columns, rows))),
        )
    } else {
        (quote!(Batch), quote!(), quote!(Batch::new(columns, rows)))
    };
    stage.add_method(quote! {
        #[doc = #doc]
        fn results(&self, closed: &Closed) -> #output {
            let rows = closed.groups.len();
            #states
            #errors
            let mut columns = closed.keys.clone();
            columns.push(closed.#window());
            #columns
            #result
        }
    });
}

/// The columns that an aggregate emits: a call on its state, whether that is an `Option`, its type.
fn outputs(slot: &Slot, partial: bool, fallible: &mut bool) -> Vec<(TokenStream, bool, ScalarType)> {
    let aggregate = slot.aggregate;
    match aggregate.function {
        AggregateFn::Avg if partial => {
            let mut fields = aggregate.state_fields().into_iter().map(|field| field.ty);
            let mut next = || fields.next().expect("the state of an average is two columns");
            vec![(quote!(sum()), true, next()), (quote!(count()), false, next())]
        }
        AggregateFn::Avg => match (aggregate.arg.as_ref().map(|arg| &arg.ty), &aggregate.ty) {
            (Some(ScalarType::Decimal { scale: from, .. }), ScalarType::Decimal { precision, scale }) => {
                *fallible = true;
                let (from, to) = (types::signed(i64::from(*from)), types::signed(i64::from(*scale)));
                let precision = Token::u8_unsuffixed(*precision);
                vec![(quote!(finish(#from, #precision, #to, &errors)), true, aggregate.ty.clone())]
            }
            _ => vec![(quote!(finish()), true, aggregate.ty.clone())],
        },
        AggregateFn::Count => vec![(quote!(finish()), false, aggregate.ty.clone())],
        AggregateFn::Sum | AggregateFn::Min | AggregateFn::Max => match aggregate.ty {
            ScalarType::Decimal { precision, scale } if !partial && aggregate.function == AggregateFn::Sum => {
                *fallible = true;
                let (precision, scale) = (Token::u8_unsuffixed(precision), types::signed(i64::from(scale)));
                vec![(quote!(finish_decimal(#precision, #scale, &errors)), true, aggregate.ty.clone())]
            }
            _ => vec![(quote!(finish()), !slot.total, aggregate.ty.clone())],
        },
    }
}

/// `on_watermark`: results of every window that is closed now.
fn flush(stage: &mut StageCode, slots: &[Slot], phase: Phase, windows: &Ident, states: Option<&Ident>) {
    let decimal = |slot: &Slot| {
        matches!(slot.aggregate.function, AggregateFn::Avg | AggregateFn::Sum)
            && matches!(slot.aggregate.ty, ScalarType::Decimal { .. })
    };
    let question = (phase != Phase::Partial && slots.iter().any(decimal)).then(|| quote!(?));
    let release = states.map(|states| quote!(self.#states.release(&closed);));
    let release_open = states.map(|states| quote!(self.#states.release(&open);));
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
