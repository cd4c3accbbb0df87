//! What the aggregates of a group are in generated code: a state, how a row changes it, the columns that come of it.
//!
//! The state of a group is a generated struct with a member for each aggregate, [`Slot`]. Here is what does not depend on
//! how groups are found and when they leave.

use compiler_ir::{Aggregate, AggregateFn, Expr, ExprKind, Phase, ScalarType, UnaryOp};
use proc_macro2::{Ident, Literal as Token, TokenStream};
use quote::quote;

use crate::column;
use crate::expr::{Reading, Scope, Value};
use crate::names::Names;
use crate::stage::StageCode;
use crate::types::{self, Register};

/// What an aggregate is in the generated code.
pub(super) struct Slot<'a> {
    pub(super) aggregate: &'a Aggregate,
    /// Member of the state, or field of the stage when it is distinct.
    pub(super) name: Ident,
    /// `Sum<i64>`
    ty: TokenStream,
    /// Each group has a value, as no row can be null or filtered.
    total: bool,
}

/// `takes_rows`: rows are added, not states. Sets of distinct values are fields of the stage.
pub(super) fn slots<'a>(stage: &mut StageCode, aggregates: &'a [Aggregate], takes_rows: bool) -> Vec<Slot<'a>> {
    let mut members = Names::default();
    let mut slots = Vec::new();
    for aggregate in aggregates {
        let total = takes_rows
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

/// The states of all groups: a field, and the functions that make columns of some of them.
pub(super) struct States {
    pub(super) field: Ident,
    /// Makes what a table keeps, or what leaves before it is merged.
    state_columns: Ident,
    /// Makes what leaves in the end.
    result_columns: Ident,
    /// That can fail.
    pub(super) fallible: bool,
}

impl States {
    /// The columns of `states`, a slice.
    pub(super) fn state_columns(&self, states: &TokenStream) -> TokenStream {
        let function = &self.state_columns;
        quote!(#function(#states))
    }

    /// The results of `states`, a slice.
    pub(super) fn result_columns(&self, states: &TokenStream) -> TokenStream {
        let function = &self.result_columns;
        let question = self.fallible.then(|| quote!(?));
        quote!(#function(#states) #question)
    }
}

/// The field, a `container`, with the functions and the type of a state; none without aggregates that need one.
pub(super) fn add_states(stage: &mut StageCode, slots: &[Slot], container: &str, phase: Phase) -> Option<States> {
    let state = add_state(stage, slots)?;
    let container = crate::names::ident(container);
    let field = stage.add_field("states", quote!(#container<#state>), quote!(#container::new()));
    let mut columns = [TokenStream::new(), TokenStream::new()];
    let mut fallible = false;
    for slot in slots.iter().filter(|slot| !slot.aggregate.distinct) {
        push_outputs(slot, true, &mut false, &mut columns[0]);
        push_outputs(slot, phase == Phase::Partial, &mut fallible, &mut columns[1]);
    }
    let [of_states, of_results] = columns;
    if of_states.to_string() == of_results.to_string() {
        let name = add_columns(stage, "group_columns", " Aggregates of groups, as columns.", &state, &of_states, false);
        return Some(States { field, state_columns: name.clone(), result_columns: name, fallible });
    }
    let state_columns = add_columns(stage, "state_columns", " States of groups.", &state, &of_states, false);
    let result_columns = add_columns(stage, "result_columns", " Results of groups.", &state, &of_results, fallible);
    Some(States { field, state_columns, result_columns, fallible })
}

/// The function `name`: columns of states.
fn add_columns(
    stage: &mut StageCode,
    name: &str,
    doc: &str,
    state: &Ident,
    columns: &TokenStream,
    fallible: bool,
) -> Ident {
    let name = crate::names::ident(name);
    let (output, errors, result) = if fallible {
        (
            quote!(Result<Vec<ArrayRef>, TaskError>),
            quote!(let errors = Errors::new();),
            quote!(errors.check()?; Ok(columns)),
        )
    } else {
        (quote!(Vec<ArrayRef>), quote!(), quote!(columns))
    };
    stage.add_function(quote! {
        #[doc = #doc]
        fn #name(states: &[#state]) -> #output {
            let rows = states.len();
            #errors
            let mut columns = Vec::new();
            #columns
            #result
        }
    });
    name
}

/// The struct of a group's state.
fn add_state(stage: &mut StageCode, slots: &[Slot]) -> Option<Ident> {
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
    Some(state)
}

/// A function of a state: the bytes that it occupies besides itself.
pub(super) fn heap(slots: &[Slot]) -> TokenStream {
    let owns = |slot: &&Slot| {
        let extreme = matches!(slot.aggregate.function, AggregateFn::Min | AggregateFn::Max);
        let arg = slot.aggregate.arg.as_ref().map(|arg| types::register(&arg.ty));
        extreme && !slot.aggregate.distinct && matches!(arg, Some(Register::Text | Register::Binary))
    };
    let owners: Vec<&Ident> = slots.iter().filter(owns).map(|slot| &slot.name).collect();
    match owners.as_slice() {
        [] => quote!(|_| 0),
        owners => quote!(|state| #(state.#owners.heap())+*),
    }
}

/// Statements that merge row `row` of partial states, from column `next` on, into `state`.
pub(super) fn merges(scope: &mut Scope, slots: &[Slot], mut next: usize) -> TokenStream {
    let mut merges = TokenStream::new();
    for slot in slots.iter().filter(|slot| !slot.aggregate.distinct) {
        let mut values = Vec::new();
        for field in slot.aggregate.state_fields() {
            let value = scope.value(&Expr::column(next, field.ty, field.nullable), Reading::Options);
            values.push(value.tokens);
            next += 1;
        }
        let member = &slot.name;
        merges.extend(quote!(state.#member.merge(#(#values),*);));
    }
    merges
}

/// Statements that add row `row` to `state`.
pub(super) fn update(scope: &mut Scope, slot: &Slot) -> TokenStream {
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
