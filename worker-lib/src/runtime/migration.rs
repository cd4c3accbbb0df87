//! Rows of a table, as an older query wrote them, in the columns that a newer one has.
//!
//! Columns are found by name: one that is not there any more is left out, one whose type has become wider is widened, one
//! that was not there is empty. Whether that is what the user wants was decided before the job began
//! (`controller::compatibility`); here it is only checked that it can be done.
//!
//! Cost: a migrated table is in memory twice until the first checkpoint, which writes it whole: so all files that a
//! manifest names for a table have the same columns.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use protocol::checkpoint::TableSpec;
use schema::{Field, ScalarType};

use crate::batch::Batch;
use crate::column;

/// How to make rows of one table of those of another.
#[derive(Debug)]
pub(crate) struct Migration {
    columns: Vec<Origin>,
}

#[derive(Debug)]
enum Origin {
    /// Number in the old table, type in the new one.
    Column(usize, ScalarType),
    Empty(Field),
}

impl Migration {
    /// `None`: the rows are what they are to be.
    ///
    /// # Errors
    /// Why they cannot be made so.
    pub(crate) fn between(from: &TableSpec, to: &TableSpec) -> Result<Option<Migration>, String> {
        let same = from.kind == to.kind && from.version == to.version && to.lives_like(from);
        let keys = |spec: &TableSpec| {
            let keys = spec.columns.fields.iter().take(spec.keys);
            keys.map(|key| (key.name.clone(), key.ty.clone())).collect::<Vec<_>>()
        };
        if !same || keys(from) != keys(to) {
            return Err(format!("table \"{}\" has other keys, or is kept in another way", to.name));
        }
        if from.columns == to.columns {
            return Ok(None);
        }
        let origin = |field: &Field| match from.columns.index_of(&field.name) {
            Some(at) if from.columns.fields[at].ty.widens_to(&field.ty) => Ok(Origin::Column(at, field.ty.clone())),
            Some(at) => Err(format!(
                "column \"{}\" of table \"{}\" is {}, and was {}",
                field.name, to.name, field.ty, from.columns.fields[at].ty
            )),
            None if field.can_be_empty() => Ok(Origin::Empty(field.clone())),
            None => Err(format!("column \"{}\" of table \"{}\" was not there", field.name, to.name)),
        };
        let columns = to.columns.fields.iter().map(origin).collect::<Result<_, _>>()?;
        Ok(Some(Migration { columns }))
    }

    pub(crate) fn apply(&self, batch: &Batch) -> Batch {
        let columns = self.columns.iter().map(|origin| match origin {
            Origin::Column(at, ty) => widened(batch.array(*at), ty),
            Origin::Empty(field) => empty(field, batch.rows),
        });
        Batch::new(columns.collect(), batch.rows)
    }
}

fn empty(field: &Field, rows: usize) -> ArrayRef {
    match field.ty {
        ScalarType::Int64 if !field.nullable => column::from_i64(vec![0; rows], None),
        ScalarType::Bool if !field.nullable => column::from_bool(column::pack(&vec![false; rows]), None),
        _ => column::nulls_of(&field.ty, rows),
    }
}

/// The column in a type that its own widens to.
fn widened(array: &ArrayRef, to: &ScalarType) -> ArrayRef {
    if *array.data_type() == to.to_arrow() {
        return array.clone();
    }
    let nulls = column::nulls(array).cloned();
    macro_rules! integers {
        ($maker:ident, $native:ty) => {
            column::$maker(integers(array).iter().map(|value| *value as $native).collect(), nulls)
        };
    }
    match to {
        ScalarType::Float64 => {
            column::from_f64(column::f32(array).values.iter().map(|value| f64::from(*value)).collect(), nulls)
        }
        ScalarType::Decimal { precision, scale } => {
            column::from_decimal(column::decimal(array).values.to_vec(), nulls, *precision, *scale)
        }
        ScalarType::Int16 => integers!(from_i16, i16),
        ScalarType::Int32 => integers!(from_i32, i32),
        ScalarType::Int64 => integers!(from_i64, i64),
        ScalarType::UInt16 => integers!(from_u16, u16),
        ScalarType::UInt32 => integers!(from_u32, u32),
        ScalarType::UInt64 => integers!(from_u64, u64),
        other => unreachable!("{} does not widen to {other}", array.data_type()),
    }
}

fn integers(array: &ArrayRef) -> Vec<i128> {
    fn wide<T: Copy + Into<i128>>(values: &[T]) -> Vec<i128> {
        values.iter().map(|value| (*value).into()).collect()
    }
    match array.data_type() {
        DataType::Int8 => wide(column::i8(array).values),
        DataType::Int16 => wide(column::i16(array).values),
        DataType::Int32 => wide(column::i32(array).values),
        DataType::Int64 => wide(column::i64(array).values),
        DataType::UInt8 => wide(column::u8(array).values),
        DataType::UInt16 => wide(column::u16(array).values),
        DataType::UInt32 => wide(column::u32(array).values),
        DataType::UInt64 => wide(column::u64(array).values),
        other => unreachable!("{other} is no integer"),
    }
}

#[cfg(test)]
mod tests {
    use protocol::checkpoint::{Lifetime, Operator, TableKind};
    use schema::Schema;

    use super::*;
    use crate::column::{from_decimal, from_f32, from_i32, from_i64, from_text, from_u8, validity};

    fn table(columns: &[(&str, ScalarType, bool)]) -> TableSpec {
        let field = |(name, ty, nullable): &(&str, ScalarType, bool)| Field::new(*name, ty.clone(), *nullable);
        TableSpec {
            name: "groups".into(),
            kind: TableKind::Keyed,
            version: 1,
            keys: 1,
            columns: Schema::new(columns.iter().map(field).collect()),
            lifetime: None,
            operator: Operator::default(),
        }
    }

    const KEY: (&str, ScalarType, bool) = ("key", ScalarType::Utf8, true);

    #[test]
    fn columns_are_found_by_name_widened_dropped_and_added() {
        let decimal = |precision| ScalarType::Decimal { precision, scale: 2 };
        let from = table(&[
            KEY,
            ("sum(gone)", ScalarType::Int64, true),
            ("min(n)", ScalarType::Int32, true),
            ("max(u)", ScalarType::UInt8, false),
            ("min(x)", ScalarType::Float32, true),
            ("max(d)", decimal(10), true),
        ]);
        let to = table(&[
            KEY,
            ("max(d)", decimal(20), true),
            ("max(u)", ScalarType::Int64, false),
            ("min(n)", ScalarType::Int64, true),
            ("min(x)", ScalarType::Float64, true),
            ("count(*)", ScalarType::Int64, false),
            ("sum(new)", ScalarType::Int64, true),
        ]);
        assert!(Migration::between(&from, &from).unwrap().is_none());
        let migration = Migration::between(&from, &to).unwrap().unwrap();
        let columns = vec![
            from_text(&[Some("a"), None]),
            from_i64(vec![1, 2], None),
            from_i32(vec![-7, 0], validity(&[true, false])),
            from_u8(vec![200, 3], None),
            from_f32(vec![0.5, -1.0], None),
            from_decimal(vec![123, 456], None, 10, 2),
        ];
        let migrated = migration.apply(&Batch::new(columns, 2));
        let types: Vec<_> = migrated.columns.iter().map(|column| column.data_type().clone()).collect();
        let expected: Vec<_> = to.columns.fields.iter().map(|field| field.ty.to_arrow()).collect();
        assert_eq!(types, expected);
        assert_eq!((migrated.text(0).get(0), migrated.text(0).get(1)), (Some("a"), None));
        assert_eq!(migrated.decimal(1).values, [123, 456]);
        assert_eq!(migrated.i64(2).values, [200, 3]);
        assert_eq!((migrated.i64(3).get(0), migrated.i64(3).get(1)), (Some(-7), None));
        assert_eq!(migrated.f64(4).values, [0.5, -1.0]);
        assert_eq!(migrated.i64(5).values, [0, 0]);
        assert_eq!((migrated.i64(6).get(0), migrated.i64(6).get(1)), (None, None));
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let refusal = |from: &TableSpec, to: &TableSpec| Migration::between(from, to).unwrap_err();
        let from = table(&[KEY, ("min(n)", ScalarType::Int64, true)]);
        let narrow = table(&[KEY, ("min(n)", ScalarType::Int32, true)]);
        assert_eq!(refusal(&from, &narrow), "column \"min(n)\" of table \"groups\" is INT, and was BIGINT");
        let bare = table(&[KEY, ("f", ScalarType::Utf8, false)]);
        assert_eq!(refusal(&from, &bare), "column \"f\" of table \"groups\" was not there");
        let other_key = table(&[("other", ScalarType::Utf8, true), ("min(n)", ScalarType::Int64, true)]);
        let timed = TableSpec { lifetime: Some(Lifetime { column: 1, nanos: 5 }), ..from.clone() };
        for to in [other_key, timed, TableSpec { version: 2, ..from.clone() }] {
            assert!(refusal(&from, &to).contains("has other keys, or is kept in another way"));
        }
        // Lists of joins did not always say when their rows go.
        let list = TableSpec { kind: TableKind::List, ..from.clone() };
        let timed = TableSpec { lifetime: Some(Lifetime { column: 1, nanos: 5 }), ..list.clone() };
        assert!(Migration::between(&list, &timed).unwrap().is_none());
        assert!(Migration::between(&timed, &list).is_err());
    }
}
