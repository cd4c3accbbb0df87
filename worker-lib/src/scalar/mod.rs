//! What scalar operators and functions mean, one value at a time.
//!
//! Generated loops call these functions; there is no meaning inside generated code. Each agrees with the Arrow kernel
//! or DataFusion function of the same name (see `docs/architecture.md`, "Semantics fixed everywhere"), so a query gives
//! the same result whether a call is fused or goes through a kernel.
//!
//! A function that can fail takes [`Errors`], notes the error there, and returns a harmless value; the stage checks
//! after the loop. So a loop has no early exit, and may be vectorised.
//!
//! Not here: functions over other types than those of `NativeFn`; they go through the `kernels` crate.

mod cast;
mod decimal;
mod errors;
mod number;
mod text;
mod time;

pub use cast::{
    Number, cast, cast_date, cast_unit, date_to_timestamp, timestamp_to_date, try_cast, try_cast_date, try_cast_unit,
    try_date_to_timestamp,
};
pub use decimal::{
    Integer, decimal_add, decimal_cast, decimal_div, decimal_from_f64, decimal_from_int, decimal_mul, decimal_order,
    decimal_rem, decimal_sub, decimal_to_f64, decimal_to_int, try_decimal_cast, try_decimal_from_f64,
    try_decimal_from_int, try_decimal_to_int,
};
pub use errors::Errors;
pub use number::{
    Abs, Divide, Float, Order, abs, and, ceil, distinct, div, eq, exp, floor, ge, greatest, gt, le, least, ln, log2,
    log10, lt, ne, null_if, or, order, power, rem, round, shl, shr, sqrt, trunc, zip, zip3,
};
pub use text::{
    char_length, contains, ends_with, left, octet_length, right, split_part, starts_with, strpos, substr, substr_len,
    trim, trim_end, trim_start,
};
pub use time::{
    add_nanos, date_part_day, date_part_days_day, date_part_days_dow, date_part_days_doy, date_part_days_epoch,
    date_part_days_month, date_part_days_quarter, date_part_days_week, date_part_days_year, date_part_dow,
    date_part_doy, date_part_epoch, date_part_hour, date_part_microsecond, date_part_millisecond, date_part_minute,
    date_part_month, date_part_nanosecond, date_part_quarter, date_part_second, date_part_week, date_part_year,
    date_trunc_day, date_trunc_days_month, date_trunc_days_quarter, date_trunc_days_week, date_trunc_days_year,
    date_trunc_hour, date_trunc_microsecond, date_trunc_millisecond, date_trunc_minute, date_trunc_month,
    date_trunc_quarter, date_trunc_second, date_trunc_week, date_trunc_year,
};
