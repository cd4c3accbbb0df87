//! How columns of each type are read and made, and how a type is written in Rust.

use compiler_ir::{Field, ScalarType, TimeUnit};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;

use crate::names::ident;

/// How values of a type go through native code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// A number in a vector: integers, floats, dates, times, timestamps, durations, decimals.
    Number,
    Bool,
    Text,
    Binary,
    /// Not at all: the column can only be passed on.
    Opaque,
}

pub(crate) fn register(ty: &ScalarType) -> Register {
    match ty {
        ScalarType::Bool => Register::Bool,
        ScalarType::Utf8 | ScalarType::Json => Register::Text,
        ScalarType::Binary => Register::Binary,
        ScalarType::Null
        | ScalarType::Interval
        | ScalarType::List(_)
        | ScalarType::Struct(_)
        | ScalarType::Map { .. } => Register::Opaque,
        _ => Register::Number,
    }
}

/// The name of the façade's functions that view a column of the type: `i64` of `batch.i64(0)`.
pub(crate) fn view(ty: &ScalarType) -> Ident {
    ident(match ty {
        ScalarType::Bool => "bool",
        ScalarType::Int8 => "i8",
        ScalarType::Int16 => "i16",
        ScalarType::Int32 | ScalarType::Date => "i32",
        ScalarType::Int64 | ScalarType::Time | ScalarType::Timestamp { .. } | ScalarType::Duration { .. } => "i64",
        ScalarType::UInt8 => "u8",
        ScalarType::UInt16 => "u16",
        ScalarType::UInt32 => "u32",
        ScalarType::UInt64 => "u64",
        ScalarType::Float32 => "f32",
        ScalarType::Float64 => "f64",
        ScalarType::Decimal { .. } => "decimal",
        ScalarType::Utf8 | ScalarType::Json => "text",
        ScalarType::Binary => "binary",
        ScalarType::Null
        | ScalarType::Interval
        | ScalarType::List(_)
        | ScalarType::Struct(_)
        | ScalarType::Map { .. } => "array",
    })
}

/// The Rust type of a value of a register type.
pub(crate) fn value(ty: &ScalarType) -> TokenStream {
    match register(ty) {
        Register::Text => quote!(&str),
        Register::Binary => quote!(&[u8]),
        _ if matches!(ty, ScalarType::Decimal { .. }) => quote!(i128),
        _ => {
            let name = view(ty);
            quote!(#name)
        }
    }
}

/// A call that makes a column of values and their validity; not for text and binary, whose maps make columns.
pub(crate) fn from_values(ty: &ScalarType, values: &TokenStream, nulls: &TokenStream) -> TokenStream {
    match ty {
        ScalarType::Timestamp { unit, zone } => {
            let unit = time_unit(*unit);
            let zone = zone.as_ref().map_or_else(|| quote!(None), |zone| quote!(Some(#zone)));
            quote!(column::from_timestamp(#values, #nulls, #unit, #zone))
        }
        ScalarType::Duration { unit } => {
            let unit = time_unit(*unit);
            quote!(column::from_duration(#values, #nulls, #unit))
        }
        ScalarType::Decimal { precision, scale } => {
            let (precision, scale) = (Literal::u8_unsuffixed(*precision), signed(i64::from(*scale)));
            quote!(column::from_decimal(#values, #nulls, #precision, #scale))
        }
        ScalarType::Date => quote!(column::from_date(#values, #nulls)),
        ScalarType::Time => quote!(column::from_time(#values, #nulls)),
        ScalarType::Interval => quote!(column::from_interval(#values, #nulls)),
        _ => {
            let function = ident(&format!("from_{}", view(ty)));
            quote!(column::#function(#values, #nulls))
        }
    }
}

pub(crate) fn time_unit(unit: TimeUnit) -> TokenStream {
    match unit {
        TimeUnit::Second => quote!(TimeUnit::Second),
        TimeUnit::Millisecond => quote!(TimeUnit::Millisecond),
        TimeUnit::Microsecond => quote!(TimeUnit::Microsecond),
        TimeUnit::Nanosecond => quote!(TimeUnit::Nanosecond),
    }
}

/// The type as a Rust value.
pub(crate) fn scalar_type(ty: &ScalarType) -> TokenStream {
    match ty {
        ScalarType::Null => quote!(ScalarType::Null),
        ScalarType::Bool => quote!(ScalarType::Bool),
        ScalarType::Int8 => quote!(ScalarType::Int8),
        ScalarType::Int16 => quote!(ScalarType::Int16),
        ScalarType::Int32 => quote!(ScalarType::Int32),
        ScalarType::Int64 => quote!(ScalarType::Int64),
        ScalarType::UInt8 => quote!(ScalarType::UInt8),
        ScalarType::UInt16 => quote!(ScalarType::UInt16),
        ScalarType::UInt32 => quote!(ScalarType::UInt32),
        ScalarType::UInt64 => quote!(ScalarType::UInt64),
        ScalarType::Float32 => quote!(ScalarType::Float32),
        ScalarType::Float64 => quote!(ScalarType::Float64),
        ScalarType::Decimal { precision, scale } => {
            let (precision, scale) = (Literal::u8_unsuffixed(*precision), signed(i64::from(*scale)));
            quote!(ScalarType::Decimal { precision: #precision, scale: #scale })
        }
        ScalarType::Utf8 => quote!(ScalarType::Utf8),
        ScalarType::Json => quote!(ScalarType::Json),
        ScalarType::Binary => quote!(ScalarType::Binary),
        ScalarType::Date => quote!(ScalarType::Date),
        ScalarType::Time => quote!(ScalarType::Time),
        ScalarType::Timestamp { unit: TimeUnit::Nanosecond, zone: None } => quote!(ScalarType::TIMESTAMP_NS),
        ScalarType::Timestamp { unit, zone } => {
            let unit = time_unit(*unit);
            let zone = zone.as_ref().map_or_else(|| quote!(None), |zone| quote!(Some(#zone.to_owned())));
            quote!(ScalarType::Timestamp { unit: #unit, zone: #zone })
        }
        ScalarType::Interval => quote!(ScalarType::Interval),
        ScalarType::Duration { unit } => {
            let unit = time_unit(*unit);
            quote!(ScalarType::Duration { unit: #unit })
        }
        ScalarType::List(item) => {
            let item = scalar_type(item);
            quote!(ScalarType::List(Box::new(#item)))
        }
        ty if *ty == ScalarType::window() => quote!(ScalarType::window()),
        ScalarType::Struct(fields) => {
            let fields = fields.iter().map(field);
            quote!(ScalarType::Struct(vec![#(#fields),*]))
        }
        ScalarType::Map { key, value } => {
            let (key, value) = (scalar_type(key), scalar_type(value));
            quote!(ScalarType::Map { key: Box::new(#key), value: Box::new(#value) })
        }
    }
}

fn field(field: &Field) -> TokenStream {
    let (name, ty, nullable) = (&field.name, scalar_type(&field.ty), field.nullable);
    quote!(Field::new(#name, #ty, #nullable))
}

/// An integer without a type, its sign apart, as Rust's grammar has it: `-5_000_000_000`.
pub(crate) fn signed(value: i64) -> TokenStream {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            text.push('_');
        }
        text.push(digit);
    }
    let digits: TokenStream = text.parse().expect("digits and underscores are a number");
    if value < 0 { quote!(-#digits) } else { quote!(#digits) }
}
