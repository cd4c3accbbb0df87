//! Changes of rows as Debezium's envelopes.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use formats::{Decoder, Encoder, Format, JsonOptions, Reading};
use schema::{Changelog, Field, ScalarType, Schema};

fn rows() -> Schema {
    Schema::new(vec![Field::new("k", ScalarType::Utf8, true), Field::new("n", ScalarType::Int64, false)])
}

fn changes() -> Schema {
    let mut fields = vec![Changelog::retract_field()];
    fields.extend(rows().fields);
    Schema::new(fields)
}

fn format() -> Format {
    Format::DebeziumJson(JsonOptions::default())
}

/// The lines for rows `(taken back, k, n)`.
fn encoded(rows: &[(bool, Option<&str>, i64)], key: Option<Vec<usize>>) -> Vec<String> {
    let columns: [ArrayRef; 3] = [
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
    ];
    let encoder = Encoder::of_changes(&format(), &changes(), Some(&Changelog { key })).unwrap();
    let mut out = Vec::new();
    encoder.encode(&columns, rows.len(), &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_row_and_the_one_in_its_place_are_an_update() {
    let rows = [
        (false, Some("a"), 1),
        (true, Some("a"), 1),
        (false, Some("a"), 2),
        (true, None, 7),
        (false, None, 8),
        // A filter has dropped what stood between these.
        (true, Some("b"), 3),
        (false, Some("c"), 4),
        (true, Some("c"), 4),
    ];
    let lines = encoded(&rows, Some(vec![1]));
    assert_eq!(
        lines,
        [
            r#"{"before":null,"after":{"k":"a","n":1},"op":"c"}"#,
            r#"{"before":{"k":"a","n":1},"after":{"k":"a","n":2},"op":"u"}"#,
            r#"{"before":{"k":null,"n":7},"after":{"k":null,"n":8},"op":"u"}"#,
            r#"{"before":{"k":"b","n":3},"after":null,"op":"d"}"#,
            r#"{"before":null,"after":{"k":"c","n":4},"op":"c"}"#,
            r#"{"before":{"k":"c","n":4},"after":null,"op":"d"}"#,
        ]
    );
    // Of one group alone every pair is one.
    assert_eq!(encoded(&rows[5..7], Some(vec![])), [r#"{"before":{"k":"b","n":3},"after":{"k":"c","n":4},"op":"u"}"#]);
}

#[test]
fn without_a_key_nothing_is_an_update() {
    let lines = encoded(&[(true, Some("a"), 1), (false, Some("a"), 2)], None);
    assert_eq!(
        lines,
        [r#"{"before":{"k":"a","n":1},"after":null,"op":"d"}"#, r#"{"before":null,"after":{"k":"a","n":2},"op":"c"}"#]
    );
}

#[test]
fn rows_that_are_only_added_are_new() {
    let columns: [ArrayRef; 2] = [Arc::new(StringArray::from(vec![Some("x")])), Arc::new(Int64Array::from(vec![5]))];
    for encoder in [Encoder::new(&format(), &rows()), Encoder::of_changes(&format(), &rows(), None)] {
        let mut out = Vec::new();
        encoder.unwrap().encode(&columns, 1, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"before\":null,\"after\":{\"k\":\"x\",\"n\":5},\"op\":\"c\"}\n");
    }
}

#[test]
fn the_options_are_those_of_json() {
    let decimal = ScalarType::Decimal { precision: 5, scale: 2 };
    let schema = Schema::new(vec![Field::new("d", decimal, true), Field::new("f", ScalarType::Float64, true)]);
    let number: ArrayRef =
        Arc::new(arrow::array::Decimal128Array::from(vec![150]).with_precision_and_scale(5, 2).unwrap());
    let options = JsonOptions { decimal_encoding: formats::DecimalEncoding::Bytes, ..JsonOptions::default() };
    let encoder = Encoder::new(&Format::DebeziumJson(options), &schema).unwrap();
    let mut out = Vec::new();
    encoder.encode(&[number, Arc::new(Float64Array::from(vec![f64::NAN]))], 1, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"before\":null,\"after\":{\"d\":\"AJY=\",\"f\":null},\"op\":\"c\"}\n"
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let changelog = Changelog { key: None };
    let refused = |format: Format| Encoder::of_changes(&format, &changes(), Some(&changelog)).unwrap_err();
    assert_eq!(refused(Format::Json(JsonOptions::default())), "format 'json' cannot take rows back");
    let unstructured = Format::DebeziumJson(JsonOptions { unstructured: true, ..JsonOptions::default() });
    assert_eq!(refused(unstructured), "json.unstructured is not supported yet for format 'debezium_json'");
    let reading = Reading { format: format(), bad_data: formats::BadData::Fail, max_line_bytes: None };
    assert_eq!(Decoder::new(&reading, &rows()).unwrap_err(), "format 'debezium_json' is not read yet");
}
