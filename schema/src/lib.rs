//! Column types and schemas, as every room of Streamwright names them.
//!
//! The compiler, the connectors and the worker all speak about columns. They share this leaf crate so that a
//! type is never a string and never the full Arrow `DataType`, most of whose variants no SQL column can have.
//!
//! Invariants: every [`ScalarType`] has exactly one Arrow representation ([`ScalarType::to_arrow`]), and
//! [`ScalarType::from_arrow`] is its left inverse.
//!
//! Not here: SQL type names (the front end parses those), values, and event time.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Fields, IntervalUnit};
use serde::{Deserialize, Serialize};

pub use arrow::datatypes::TimeUnit as ArrowTimeUnit;

/// Name of the hidden column that carries a row's event time, in nanoseconds since the Unix epoch.
pub const EVENT_TIME: &str = "_timestamp";

/// Name of the first column of a changelog ([`Changelog`]), a `BOOLEAN` that is never null.
pub const RETRACT: &str = "_retract";

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalarType {
    /// The type of a bare `NULL`.
    Null,
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    /// Up to 38 decimal digits, stored as an `i128` scaled by `10^scale`.
    Decimal {
        precision: u8,
        scale: i8,
    },
    Utf8,
    /// JSON text; stored as UTF-8.
    Json,
    Binary,
    /// Days since the Unix epoch, `i32`.
    Date,
    /// Nanoseconds since midnight, `i64`.
    Time,
    /// Ticks of `unit` since the Unix epoch, `i64`; with a zone it is an instant shown in that zone.
    Timestamp {
        unit: TimeUnit,
        zone: Option<String>,
    },
    /// Months, days and nanoseconds.
    Interval,
    /// Ticks of `unit`, `i64`.
    Duration {
        unit: TimeUnit,
    },
    List(Box<ScalarType>),
    Struct(Vec<Field>),
    Map {
        key: Box<ScalarType>,
        value: Box<ScalarType>,
    },
}

/// The tick of a timestamp or duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl TimeUnit {
    /// Nanoseconds in one tick.
    pub const fn nanos(self) -> i64 {
        match self {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        }
    }

    pub const fn to_arrow(self) -> ArrowTimeUnit {
        match self {
            TimeUnit::Second => ArrowTimeUnit::Second,
            TimeUnit::Millisecond => ArrowTimeUnit::Millisecond,
            TimeUnit::Microsecond => ArrowTimeUnit::Microsecond,
            TimeUnit::Nanosecond => ArrowTimeUnit::Nanosecond,
        }
    }

    pub const fn from_arrow(unit: ArrowTimeUnit) -> Self {
        match unit {
            ArrowTimeUnit::Second => TimeUnit::Second,
            ArrowTimeUnit::Millisecond => TimeUnit::Millisecond,
            ArrowTimeUnit::Microsecond => TimeUnit::Microsecond,
            ArrowTimeUnit::Nanosecond => TimeUnit::Nanosecond,
        }
    }
}

/// A column of a [`Schema`] or a member of a struct.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: ScalarType,
    pub nullable: bool,
}

impl Field {
    pub fn new(name: impl Into<String>, ty: ScalarType, nullable: bool) -> Self {
        Field { name: name.into(), ty, nullable }
    }

    /// Whether rows without this column can be read as if it had nothing in it: null, none counted, false.
    pub fn can_be_empty(&self) -> bool {
        self.nullable || matches!(self.ty, ScalarType::Int64 | ScalarType::Bool)
    }
}

/// The columns of a relation, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    pub fields: Vec<Field>,
}

/// Rows that change what was said before, as a sink has to know them. The first column, [`RETRACT`], is true for a row that
/// takes back an earlier one with the same values in all other columns, and false for a row that is new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changelog {
    /// Columns that tell rows apart: a row that is taken back and the new one directly behind it, with the same values in
    /// these columns, are the old and the new form of one row. `None`: nothing tells which row takes the place of which.
    pub key: Option<Vec<usize>>,
}

impl Changelog {
    /// The first column.
    pub fn retract_field() -> Field {
        Field::new(RETRACT, ScalarType::Bool, false)
    }
}

impl Schema {
    pub fn new(fields: Vec<Field>) -> Self {
        Schema { fields }
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Index of the column of that exact name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// Index of the column that users mean by that name: see [`find_name`].
    pub fn find(&self, name: &str) -> Option<usize> {
        find_name(self.fields.iter().map(|field| field.name.as_str()), name)
    }

    pub fn to_arrow(&self) -> arrow::datatypes::SchemaRef {
        Arc::new(arrow::datatypes::Schema::new(arrow_fields(&self.fields)))
    }

    /// # Errors
    /// The Arrow type of the first column that has no [`ScalarType`].
    pub fn from_arrow(schema: &arrow::datatypes::Schema) -> Result<Self, UnsupportedType> {
        let fields = schema.fields().iter().map(|field| field_from_arrow(field)).collect::<Result<_, _>>()?;
        Ok(Schema { fields })
    }
}

/// Index of the name that is `wanted`; else of the only one that differs from it in case alone.
pub fn find_name<'a>(names: impl IntoIterator<Item = &'a str>, wanted: &str) -> Option<usize> {
    let folded = wanted.to_lowercase();
    let (mut alike, mut several) = (None, false);
    for (index, name) in names.into_iter().enumerate() {
        if name == wanted {
            return Some(index);
        }
        if name.to_lowercase() == folded {
            several |= alike.is_some();
            alike = Some(index);
        }
    }
    if several { None } else { alike }
}

/// An Arrow type that no column can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedType(pub DataType);

impl fmt::Display for UnsupportedType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type {} is not supported", self.0)
    }
}

impl std::error::Error for UnsupportedType {}

fn arrow_fields(fields: &[Field]) -> Fields {
    fields.iter().map(|field| ArrowField::new(&field.name, field.ty.to_arrow(), field.nullable)).collect()
}

fn field_from_arrow(field: &ArrowField) -> Result<Field, UnsupportedType> {
    Ok(Field::new(field.name(), ScalarType::from_arrow(field.data_type())?, field.is_nullable()))
}

impl ScalarType {
    /// `TIMESTAMP` as SQL means it when it names no precision.
    pub const TIMESTAMP_NS: ScalarType = ScalarType::Timestamp { unit: TimeUnit::Nanosecond, zone: None };

    /// The value of `tumble(...)`: `window.start` and `window.end`, in nanoseconds.
    pub fn window() -> ScalarType {
        ScalarType::Struct(vec![
            Field::new("start", ScalarType::TIMESTAMP_NS, false),
            Field::new("end", ScalarType::TIMESTAMP_NS, false),
        ])
    }

    /// The Arrow type that columns of this type have in every batch.
    pub fn to_arrow(&self) -> DataType {
        match self {
            ScalarType::Null => DataType::Null,
            ScalarType::Bool => DataType::Boolean,
            ScalarType::Int8 => DataType::Int8,
            ScalarType::Int16 => DataType::Int16,
            ScalarType::Int32 => DataType::Int32,
            ScalarType::Int64 => DataType::Int64,
            ScalarType::UInt8 => DataType::UInt8,
            ScalarType::UInt16 => DataType::UInt16,
            ScalarType::UInt32 => DataType::UInt32,
            ScalarType::UInt64 => DataType::UInt64,
            ScalarType::Float32 => DataType::Float32,
            ScalarType::Float64 => DataType::Float64,
            ScalarType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            ScalarType::Utf8 | ScalarType::Json => DataType::Utf8,
            ScalarType::Binary => DataType::Binary,
            ScalarType::Date => DataType::Date32,
            ScalarType::Time => DataType::Time64(ArrowTimeUnit::Nanosecond),
            ScalarType::Timestamp { unit, zone } => {
                DataType::Timestamp(unit.to_arrow(), zone.as_deref().map(Into::into))
            }
            ScalarType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            ScalarType::Duration { unit } => DataType::Duration(unit.to_arrow()),
            ScalarType::List(item) => DataType::List(Arc::new(ArrowField::new_list_field(item.to_arrow(), true))),
            ScalarType::Struct(fields) => DataType::Struct(arrow_fields(fields)),
            ScalarType::Map { key, value } => {
                let entries = DataType::Struct(Fields::from(vec![
                    ArrowField::new("key", key.to_arrow(), false),
                    ArrowField::new("value", value.to_arrow(), true),
                ]));
                DataType::Map(Arc::new(ArrowField::new("entries", entries, false)), false)
            }
        }
    }

    /// The column type for an Arrow type. Representations of the same values (large and view strings, large
    /// lists, dictionaries, `Date64`, short times and intervals) map to the one that [`Self::to_arrow`] gives,
    /// so a value of the Arrow type may have to be cast.
    ///
    /// # Errors
    /// The Arrow type, when no column can have it.
    pub fn from_arrow(ty: &DataType) -> Result<Self, UnsupportedType> {
        Ok(match ty {
            DataType::Null => ScalarType::Null,
            DataType::Boolean => ScalarType::Bool,
            DataType::Int8 => ScalarType::Int8,
            DataType::Int16 => ScalarType::Int16,
            DataType::Int32 => ScalarType::Int32,
            DataType::Int64 => ScalarType::Int64,
            DataType::UInt8 => ScalarType::UInt8,
            DataType::UInt16 => ScalarType::UInt16,
            DataType::UInt32 => ScalarType::UInt32,
            DataType::UInt64 => ScalarType::UInt64,
            DataType::Float16 | DataType::Float32 => ScalarType::Float32,
            DataType::Float64 => ScalarType::Float64,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale) => ScalarType::Decimal { precision: *precision, scale: *scale },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ScalarType::Utf8,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                ScalarType::Binary
            }
            DataType::Date32 | DataType::Date64 => ScalarType::Date,
            DataType::Time32(_) | DataType::Time64(_) => ScalarType::Time,
            DataType::Timestamp(unit, zone) => {
                ScalarType::Timestamp { unit: TimeUnit::from_arrow(*unit), zone: zone.as_deref().map(str::to_owned) }
            }
            DataType::Interval(_) => ScalarType::Interval,
            DataType::Duration(unit) => ScalarType::Duration { unit: TimeUnit::from_arrow(*unit) },
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => ScalarType::List(Box::new(ScalarType::from_arrow(item.data_type())?)),
            DataType::Struct(fields) => {
                ScalarType::Struct(fields.iter().map(|field| field_from_arrow(field)).collect::<Result<_, _>>()?)
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => ScalarType::Map {
                    key: Box::new(ScalarType::from_arrow(fields[0].data_type())?),
                    value: Box::new(ScalarType::from_arrow(fields[1].data_type())?),
                },
                _ => return Err(UnsupportedType(ty.clone())),
            },
            DataType::Dictionary(_, value) => ScalarType::from_arrow(value)?,
            DataType::Decimal256(..) | DataType::Union(..) | DataType::RunEndEncoded(..) => {
                return Err(UnsupportedType(ty.clone()));
            }
        })
    }

    /// Whether each value is one of `to` as it is: the same type, a wider integer or float, a decimal of more digits.
    pub fn widens_to(&self, to: &ScalarType) -> bool {
        use ScalarType::*;
        let bits = |ty: &ScalarType| match ty {
            Int8 | UInt8 => 8,
            Int16 | UInt16 => 16,
            Int32 | UInt32 => 32,
            _ => 64,
        };
        match (self, to) {
            (from, to) if from == to => true,
            (Float32, Float64) => true,
            (Decimal { precision: from, scale: a }, Decimal { precision: to, scale: b }) => a == b && from <= to,
            (from, to) if from.is_integer() && to.is_integer() => {
                match (from.is_signed_integer(), to.is_signed_integer()) {
                    (true, true) | (false, false) => bits(from) <= bits(to),
                    (false, true) => bits(from) < bits(to),
                    (true, false) => false,
                }
            }
            _ => false,
        }
    }

    pub fn is_integer(&self) -> bool {
        self.is_signed_integer() || self.is_unsigned_integer()
    }

    pub fn is_signed_integer(&self) -> bool {
        matches!(self, ScalarType::Int8 | ScalarType::Int16 | ScalarType::Int32 | ScalarType::Int64)
    }

    pub fn is_unsigned_integer(&self) -> bool {
        matches!(self, ScalarType::UInt8 | ScalarType::UInt16 | ScalarType::UInt32 | ScalarType::UInt64)
    }

    pub fn is_float(&self) -> bool {
        matches!(self, ScalarType::Float32 | ScalarType::Float64)
    }

    pub fn is_text(&self) -> bool {
        matches!(self, ScalarType::Utf8 | ScalarType::Json)
    }
}

/// The SQL spelling, as diagnostics and EXPLAIN print it: `BIGINT`, `STRUCT<a TEXT, b BIGINT NOT NULL>`.
impl fmt::Display for ScalarType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScalarType::Null => f.write_str("NULL"),
            ScalarType::Bool => f.write_str("BOOLEAN"),
            ScalarType::Int8 => f.write_str("TINYINT"),
            ScalarType::Int16 => f.write_str("SMALLINT"),
            ScalarType::Int32 => f.write_str("INT"),
            ScalarType::Int64 => f.write_str("BIGINT"),
            ScalarType::UInt8 => f.write_str("TINYINT UNSIGNED"),
            ScalarType::UInt16 => f.write_str("SMALLINT UNSIGNED"),
            ScalarType::UInt32 => f.write_str("INT UNSIGNED"),
            ScalarType::UInt64 => f.write_str("BIGINT UNSIGNED"),
            ScalarType::Float32 => f.write_str("REAL"),
            ScalarType::Float64 => f.write_str("DOUBLE"),
            ScalarType::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            ScalarType::Utf8 => f.write_str("TEXT"),
            ScalarType::Json => f.write_str("JSON"),
            ScalarType::Binary => f.write_str("BYTEA"),
            ScalarType::Date => f.write_str("DATE"),
            ScalarType::Time => f.write_str("TIME"),
            ScalarType::Timestamp { unit, zone } => {
                match unit {
                    TimeUnit::Second => f.write_str("TIMESTAMP(0)")?,
                    TimeUnit::Millisecond => f.write_str("TIMESTAMP(3)")?,
                    TimeUnit::Microsecond => f.write_str("TIMESTAMP(6)")?,
                    TimeUnit::Nanosecond => f.write_str("TIMESTAMP")?,
                }
                match zone {
                    Some(zone) => write!(f, " WITH TIME ZONE '{zone}'"),
                    None => Ok(()),
                }
            }
            ScalarType::Interval => f.write_str("INTERVAL"),
            ScalarType::Duration { unit } => write!(
                f,
                "DURATION({})",
                match unit {
                    TimeUnit::Second => 0,
                    TimeUnit::Millisecond => 3,
                    TimeUnit::Microsecond => 6,
                    TimeUnit::Nanosecond => 9,
                }
            ),
            ScalarType::List(item) => write!(f, "{item}[]"),
            ScalarType::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(">")
            }
            ScalarType::Map { key, value } => write!(f, "MAP<{key}, {value}>"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.name, self.ty, if self.nullable { "" } else { " NOT NULL" })
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, field) in self.fields.iter().enumerate() {
            write!(f, "{}{field}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_exactly_then_in_any_case() {
        let find = |wanted| find_name(["userId", "userid", "At", "größe"], wanted);
        assert_eq!((find("userid"), find("userId"), find("USERID")), (Some(1), Some(0), None));
        assert_eq!((find("at"), find("GRÖSSE"), find("GRÖßE"), find("a")), (Some(2), None, Some(3), None));
    }

    #[test]
    fn types_widen_where_no_value_changes() {
        use ScalarType::*;
        let decimal = |precision, scale| Decimal { precision, scale };
        for (from, to, widens) in [
            (Int32, Int64, true),
            (Int64, Int32, false),
            (UInt32, Int64, true),
            (UInt64, Int64, false),
            (Int8, UInt64, false),
            (Float32, Float64, true),
            (Int32, Float64, false),
            (decimal(10, 2), decimal(12, 2), true),
            (decimal(10, 2), decimal(12, 3), false),
            (Utf8, Utf8, true),
            (Utf8, Json, false),
        ] {
            assert_eq!(from.widens_to(&to), widens, "{from} to {to}");
        }
    }

    #[test]
    fn every_type_survives_arrow_and_json() {
        let types = [
            ScalarType::Bool,
            ScalarType::Decimal { precision: 38, scale: 10 },
            ScalarType::Timestamp { unit: TimeUnit::Microsecond, zone: Some("UTC".into()) },
            ScalarType::List(Box::new(ScalarType::window())),
            ScalarType::Map { key: Box::new(ScalarType::Utf8), value: Box::new(ScalarType::Interval) },
        ];
        for ty in types {
            assert_eq!(ScalarType::from_arrow(&ty.to_arrow()), Ok(ty.clone()));
            let json = serde_json::to_string(&ty).expect("types serialise");
            assert_eq!(serde_json::from_str::<ScalarType>(&json).expect("and come back"), ty);
        }
    }
}
