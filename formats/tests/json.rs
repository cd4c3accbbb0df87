//! JSON lines: what is read, what is refused and why, and that writing and reading are inverse.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType};
use formats::{BadData, BadRow, Decoder, Encoder, Format, JsonOptions, Reading};
use proptest::prelude::*;
use schema::{Field, ScalarType, Schema, TimeUnit};

fn schema(fields: &[(&str, ScalarType)]) -> Schema {
    Schema::new(fields.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true)).collect())
}

fn reading(bad_data: BadData) -> Reading {
    Reading { format: Format::Json(JsonOptions::default()), bad_data, max_line_bytes: None }
}

fn decode(schema: &Schema, input: &[u8]) -> Result<Vec<ArrayRef>, BadRow> {
    let mut decoder = Decoder::new(&reading(BadData::Fail), schema).unwrap();
    assert_eq!(decoder.decode(input, true, usize::MAX)?, input.len());
    Ok(decoder.take().unwrap())
}

/// The single column of `ty` named `a` that the lines have.
fn column(ty: ScalarType, input: &str) -> Result<ArrayRef, String> {
    let columns = decode(&schema(&[("a", ty)]), input.as_bytes());
    columns.map(|columns| columns[0].clone()).map_err(|bad| bad.to_string())
}

/// What the decoded columns look like when they are written again.
fn rewrite(schema: &Schema, input: &[u8]) -> Result<String, String> {
    let columns = decode(schema, input).map_err(|bad| bad.to_string())?;
    let rows = columns.first().map_or(0, |column| column.len());
    let mut out = Vec::new();
    let encoder = Encoder::new(&Format::Json(JsonOptions::default()), schema).unwrap();
    encoder.encode(&columns, rows, &mut out).unwrap();
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn wanted_fields_are_read_in_any_order_and_others_skipped() {
    let schema = schema(&[("b", ScalarType::Utf8), ("a", ScalarType::Int64)]);
    let input = concat!(
        "{\"a\":1,\"skip\":{\"a\":[1,{\"b\":\"}\"}],\"c\":\"\\\"]\"},\"b\":\"one\"}\n",
        "\n",
        " { \"b\" : \"two\" ,\t\"a\" : 2 } \r\n",
        "{\"skip\":[[],{},[{}]],\"a\":3}\n",
        "{}\n",
        "{\"b\":null,\"a\":-5,\"a\":5}"
    );
    let expected = concat!(
        "{\"b\":\"one\",\"a\":1}\n",
        "{\"b\":\"two\",\"a\":2}\n",
        "{\"b\":null,\"a\":3}\n",
        "{\"b\":null,\"a\":null}\n",
        "{\"b\":null,\"a\":5}\n"
    );
    assert_eq!(rewrite(&schema, input.as_bytes()).unwrap(), expected);
}

#[test]
fn long_and_escaped_keys_are_found() {
    let long = "a key of more than sixteen bytes";
    let schema = schema(&[(long, ScalarType::Int64), ("b", ScalarType::Int64)]);
    let line = format!("{{\"{long}\":1,\"\\u0062\":2}}\n");
    let other = format!("{{\"{long}r\":7,\"b\":2,\"{long}\":1}}\n");
    let input = format!("{line}{line}{other}{other}{line}");
    let expected = format!("{{\"{long}\":1,\"b\":2}}\n").repeat(5);
    assert_eq!(rewrite(&schema, input.as_bytes()).unwrap(), expected);
}

#[test]
fn keys_in_another_case_are_found() {
    let place = ScalarType::Struct(vec![Field::new("zipCode", ScalarType::Int64, true)]);
    let schema = schema(&[("userId", ScalarType::Int64), ("place", place)]);
    let input = concat!(
        "{\"userid\":1,\"Place\":{\"ZIPCODE\":7}}\n",
        "{\"userid\":2,\"Place\":{\"ZIPCODE\":8}}\n",
        // The name to the letter wins, wherever it stands, and whatever its value is.
        "{\"userid\":0,\"userId\":3}\n",
        "{\"userId\":4,\"userid\":0,\"USERID\":{}}\n",
        "{\"userId\":null,\"userid\":0}\n",
        "{\"user_id\":0}\n",
    );
    let expected = concat!(
        "{\"userId\":1,\"place\":{\"zipCode\":7}}\n",
        "{\"userId\":2,\"place\":{\"zipCode\":8}}\n",
        "{\"userId\":3,\"place\":null}\n",
        "{\"userId\":4,\"place\":null}\n",
        "{\"userId\":null,\"place\":null}\n",
        "{\"userId\":null,\"place\":null}\n",
    );
    assert_eq!(rewrite(&schema, input.as_bytes()).unwrap(), expected);
}

#[test]
fn keys_of_columns_that_differ_in_case_alone_are_exact() {
    let both = schema(&[("id", ScalarType::Int64), ("ID", ScalarType::Int64)]);
    let lines = "{\"ID\":1,\"id\":2}\n{\"Id\":3}\n";
    assert_eq!(rewrite(&both, lines.as_bytes()).unwrap(), "{\"id\":2,\"ID\":1}\n{\"id\":null,\"ID\":null}\n");
    // Where the other column is not read, the planner says that there is one.
    let options = JsonOptions { exact_keys: true, ..JsonOptions::default() };
    let reading = Reading { format: Format::Json(options), ..reading(BadData::Fail) };
    let mut decoder = Decoder::new(&reading, &schema(&[("id", ScalarType::Int64)])).unwrap();
    decoder.decode(b"{\"ID\":1}\n", true, usize::MAX).unwrap();
    assert!(decoder.take().unwrap()[0].is_null(0));
}

#[test]
fn strings_are_unescaped() {
    let texts = column(ScalarType::Utf8, "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00é\"}").unwrap();
    assert_eq!(texts.as_string::<i32>().value(0), "\"\\/\u{8}\u{c}\n\r\tä😀é");
}

#[test]
fn numbers_are_the_nearest_ones() {
    let texts = ["0", "-0.0", "1e0", "123456789.125", "0.1", "1e23", "2.2250738585072014e-308", "5e-324", "1E+2"];
    let lines: String = texts.iter().map(|text| format!("{{\"a\":{text}}}\n")).collect();
    let values = column(ScalarType::Float64, &lines).unwrap();
    for (value, text) in values.as_primitive::<Float64Type>().values().iter().zip(texts) {
        assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
    let ends = column(ScalarType::Int64, "{\"a\":-9223372036854775808}\n{\"a\":9223372036854775807}").unwrap();
    assert_eq!(ends.as_primitive::<Int64Type>().values(), &[i64::MIN, i64::MAX]);
    let largest = schema(&[("a", ScalarType::UInt64)]);
    let line = "{\"a\":18446744073709551615}\n";
    assert_eq!(rewrite(&largest, line.as_bytes()).unwrap(), line);
}

#[test]
fn numbers_may_stand_in_quotes() {
    let decimal = ScalarType::Decimal { precision: 6, scale: 2 };
    let schema = schema(&[
        ("d", ScalarType::Float64),
        ("r", ScalarType::Float32),
        ("b", ScalarType::Int64),
        ("u", ScalarType::UInt64),
        ("t", ScalarType::Int8),
        ("m", decimal),
    ]);
    let quoted = concat!(
        "{\"d\":\"1.5\",\"r\":\"-2.5e0\",\"b\":\"-9223372036854775808\",\"u\":\"18446744073709551615\",",
        "\"t\":\"\\u0031\",\"m\":\"12.50\"}\n"
    );
    let plain = concat!(
        "{\"d\":1.5,\"r\":-2.5,\"b\":-9223372036854775808,\"u\":18446744073709551615,",
        "\"t\":1,\"m\":12.50}\n"
    );
    assert_eq!(rewrite(&schema, quoted.as_bytes()).unwrap(), plain);
    for text in ["", " 1", "1 ", "+1", "01", "1.", ".5", "0x1", "NaN", "1,5", "1_000", "-", "true", "1e", "\\\"1"] {
        let found = column(ScalarType::Float64, &format!("{{\"a\":\"{text}\"}}"));
        assert!(found.is_err_and(|reason| reason.contains("DOUBLE expected, found \"")), "{text}");
    }
}

#[test]
fn timestamps_are_text_or_milliseconds() {
    let input = "{\"a\":\"2013-01-01T10:15:00Z\"}\n{\"a\":1357035300000}\n{\"a\":\"2013-01-01 12:15:00+02:00\"}";
    let values = column(ScalarType::TIMESTAMP_NS, input).unwrap();
    assert_eq!(values.as_primitive::<TimestampNanosecondType>().values(), &[1_357_035_300_000_000_000; 3]);
    let zoned = ScalarType::Timestamp { unit: TimeUnit::Millisecond, zone: Some("Europe/Paris".to_owned()) };
    assert!(column(zoned.clone(), "{\"a\":\"2013-01-01T10:15:00\"}").is_err());
    let written = rewrite(&schema(&[("a", zoned)]), b"{\"a\":\"2013-01-01T12:15:00.5+02:00\"}").unwrap();
    assert_eq!(written, "{\"a\":\"2013-01-01T10:15:00.500Z\"}\n");
}

#[test]
fn json_columns_keep_their_text() {
    let schema = schema(&[("a", ScalarType::Json)]);
    let input = "{\"a\": {\"x\": [1, \"\\u0041\"]} }\n{\"a\":\"s\"}\n{\"a\":1.50}\n{\"a\":null}\n";
    let expected = "{\"a\":{\"x\": [1, \"\\u0041\"]}}\n{\"a\":\"s\"}\n{\"a\":1.50}\n{\"a\":null}\n";
    assert_eq!(rewrite(&schema, input.as_bytes()).unwrap(), expected);
}

#[test]
fn mistakes_name_line_column_and_reason() {
    let cases = [
        (ScalarType::Int64, "{\"a\":\"x\"}", "line 1, column 6: column \"a\": BIGINT expected, found \"x\""),
        (ScalarType::Int64, "{\"a\":\"1.5\"}", "line 1, column 6: column \"a\": BIGINT expected, found number 1.5"),
        (ScalarType::Int8, "{\"a\":\"128\"}", "line 1, column 6: column \"a\": 128 is out of range for TINYINT"),
        (ScalarType::Bool, "{\"a\":\"true\"}", "line 1, column 6: column \"a\": BOOLEAN expected, found a string"),
        (ScalarType::Int64, "{}\n{\"a\":1.0}", "line 2, column 6: column \"a\": BIGINT expected, found number 1.0"),
        (ScalarType::Int8, "{\"a\":128}", "line 1, column 6: column \"a\": 128 is out of range for TINYINT"),
        (
            ScalarType::Int64,
            "{\"a\":9223372036854775808}",
            "line 1, column 6: column \"a\": 9223372036854775808 is out of range for BIGINT",
        ),
        (ScalarType::Float64, "{\"a\":1e999}", "line 1, column 6: column \"a\": 1e999 is out of range for DOUBLE"),
        (ScalarType::Utf8, "{\"a\":5}", "line 1, column 6: column \"a\": TEXT expected, found number 5"),
        (
            ScalarType::Utf8,
            "{\"a\":\"\\ud800\"}",
            "line 1, column 7: column \"a\": half of a surrogate pair in a string",
        ),
        (ScalarType::Utf8, "{\"a\":\"x}\n", "line 1, column 6: column \"a\": a string is not closed"),
        (ScalarType::Bool, "{\"a\":tru}", "line 1, column 6: column \"a\": a JSON value expected, found 't'"),
        (
            ScalarType::Decimal { precision: 4, scale: 2 },
            "{\"a\":1.005}",
            "line 1, column 6: column \"a\": '1.005' has more decimal places than DECIMAL(4,2)",
        ),
        (ScalarType::Date, "{\"a\":\"x\"}", "line 1, column 6: column \"a\": DATE expected, found 'x'"),
        (
            ScalarType::List(Box::new(ScalarType::Struct(vec![Field::new("m", ScalarType::Bool, false)]))),
            "{\"a\":[{\"m\":true},{}]}",
            "line 1, column 18: column \"a.m\": missing, and the column is NOT NULL",
        ),
        (ScalarType::Int64, "{\"a\":1} x", "line 1, column 9: the end of the line expected, found 'x'"),
        (ScalarType::Int64, "{\"a\":1", "line 1, column 7: ',' or '}' expected, found the end of the line"),
        (ScalarType::Int64, "[1]", "line 1, column 1: an object expected, found a list"),
        (ScalarType::Int64, "{\"b\":01}", "line 1, column 7: ',' or '}' expected, found number 1"),
    ];
    for (ty, input, message) in cases {
        assert_eq!(column(ty, input).unwrap_err(), message, "{input}");
    }
    let bad = decode(&schema(&[]), b"{\"b\":\"\xff\"}\n").unwrap_err();
    assert_eq!(bad.to_string(), "line 1, column 7: text is not valid UTF-8");
}

#[test]
fn bad_rows_are_dropped_whole() {
    let ty = ScalarType::List(Box::new(ScalarType::Struct(vec![Field::new("m", ScalarType::Utf8, true)])));
    let schema = schema(&[("a", ScalarType::Utf8), ("b", ty), ("c", ScalarType::Bool)]);
    let good = "{\"a\":\"x\",\"b\":[{\"m\":\"y\"},{\"m\":null},null],\"c\":true}\n";
    let bad = [
        &b"{\"a\":\"no\",\"b\":[{\"m\":\"no\"},{\"m\":1}],\"c\":true}\n"[..],
        b"{\"a\":\"no\",\"b\":null,\"c\":0}\n",
        b"{\"a\":\"no\xff\"}\n",
        b"garbage\n",
    ];
    let mut input = Vec::new();
    for line in bad {
        input.extend_from_slice(good.as_bytes());
        input.extend_from_slice(line);
    }
    let mut decoder = Decoder::new(&reading(BadData::Drop), &schema).unwrap();
    decoder.decode(&input, true, usize::MAX).unwrap();
    assert_eq!((decoder.rows(), decoder.bad_rows()), (4, 4));
    let columns = decoder.take().unwrap();
    let mut out = Vec::new();
    let encoder = Encoder::new(&Format::Json(JsonOptions::default()), &schema).unwrap();
    encoder.encode(&columns, 4, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), good.repeat(4));
}

#[test]
fn every_cut_and_batch_size_gives_the_same_rows() {
    let schema = schema(&[("a", ScalarType::Int64)]);
    let input = b"{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}\n{\"a\":4}";
    for cut in 0..input.len() {
        for max_rows in 1..5 {
            let mut decoder = Decoder::new(&reading(BadData::Fail), &schema).unwrap();
            let mut values = Vec::new();
            let mut at = 0;
            for (end, last) in [(cut, false), (input.len(), true)] {
                loop {
                    at += decoder.decode(&input[at..end], last, max_rows).unwrap();
                    let columns = decoder.take().unwrap();
                    if columns[0].is_empty() {
                        break;
                    }
                    values.extend_from_slice(columns[0].as_primitive::<Int64Type>().values());
                }
            }
            assert_eq!(values, [1, 2, 3, 4], "cut at {cut}, {max_rows} rows");
        }
    }
}

#[test]
fn unstructured_and_enveloped_documents() {
    let unstructured = Format::Json(JsonOptions { unstructured: true, ..JsonOptions::default() });
    let one = schema(&[("value", ScalarType::Json)]);
    let reading = |format| Reading { format, bad_data: BadData::Fail, max_line_bytes: None };
    let mut decoder = Decoder::new(&reading(unstructured.clone()), &one).unwrap();
    let input = b" {\"x\": 1}\n[2]\n";
    decoder.decode(input, true, 10).unwrap();
    let columns = decoder.take().unwrap();
    let mut out = Vec::new();
    Encoder::new(&unstructured, &one).unwrap().encode(&columns, 2, &mut out).unwrap();
    assert_eq!(out, b"{\"x\": 1}\n[2]\n");
    let enveloped = Format::Json(JsonOptions { include_schema: true, ..JsonOptions::default() });
    let mut decoder = Decoder::new(&reading(enveloped), &schema(&[("a", ScalarType::Int64)])).unwrap();
    decoder.decode(b"{\"schema\":{\"type\":\"struct\"},\"payload\":{\"a\":7}}\n", true, 10).unwrap();
    assert_eq!(decoder.take().unwrap()[0].as_primitive::<Int64Type>().values(), &[7]);
}

#[test]
fn a_line_over_the_limit_is_a_bad_row() {
    let reading = Reading { max_line_bytes: Some(8), ..reading(BadData::Drop) };
    let mut decoder = Decoder::new(&reading, &schema(&[("a", ScalarType::Int64)])).unwrap();
    decoder.decode(b"{\"a\":12}\n{\"a\":123}\n", true, 10).unwrap();
    assert_eq!((decoder.rows(), decoder.bad_rows()), (1, 1));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{{\"b\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let schema = schema(&[("a", ScalarType::Int64)]);
    assert!(decode(&schema, nested(127).as_bytes()).is_ok());
    assert!(decode(&schema, nested(128).as_bytes()).is_err());
    assert!(decode(&schema, "[".repeat(100_000).as_bytes()).is_err());
}

/// Any JSON document as text, with white space in places.
fn document() -> impl Strategy<Value = String> {
    let text = prop_oneof![".{0,20}".boxed(), "[a-z\\\\\"\u{0}-\u{1f}é😀]{0,12}".boxed()];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
        text.prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<u16>().prop_map(|unit| format!("\"\\u{unit:04x}\"")),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::vec(("[a-d]{1,2}", inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\" :{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// serde_json's opinion of one line: is it an object whose member `a`, if any, is text or null?
fn reference(line: &[u8]) -> Option<Option<String>> {
    let text = std::str::from_utf8(line).ok()?;
    let members: std::collections::HashMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(text).ok()?;
    match members.get("a") {
        None => Some(None),
        Some(raw) => serde_json::from_str::<Option<String>>(raw.get()).ok(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Valid and mangled documents are accepted exactly when serde_json accepts them, with the same text.
    #[test]
    fn reads_what_serde_json_reads(
        members in proptest::collection::vec(("[ab]{1,2}", document()), 0..4),
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>(), 0..3u8)),
    ) {
        let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        let mut line = format!("{{{}}}", members.join(" , ")).into_bytes();
        if let Some((index, byte, kind)) = damage {
            let at = index.index(line.len());
            match kind {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                _ => drop(line.remove(at)),
            }
        }
        line.retain(|byte| *byte != b'\n');
        let ours = decode(&schema(&[("a", ScalarType::Utf8)]), &line);
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            prop_assert!(ours.is_ok());
        } else {
            let ours = ours.ok().map(|columns| {
                let texts = columns[0].as_string::<i32>();
                texts.is_valid(0).then(|| texts.value(0).to_owned())
            });
            // A key given twice has its last value with us, and no earlier one is looked at by serde_json. Nor does it
            // take a key in another case, which a damaged byte may make.
            let twice = members.iter().filter(|member| member.starts_with("\"a\":")).count() > 1;
            let other_case = line.windows(3).any(|key| key == b"\"A\"");
            if !twice && !other_case {
                prop_assert_eq!(ours, reference(&line), "{}", String::from_utf8_lossy(&line));
            }
        }
    }

    /// No bytes at all make the decoder panic, whatever the column's type.
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), ty in scalar_type()) {
        let mut decoder = Decoder::new(&reading(BadData::Drop), &schema(&[("a", ty)])).unwrap();
        let mut line = b"{\"a\":".to_vec();
        line.extend_from_slice(&bytes);
        for input in [&bytes, &line] {
            decoder.start();
            decoder.decode(input, true, usize::MAX).unwrap();
        }
        decoder.take().unwrap();
    }

    /// What is written reads back as the same values.
    #[test]
    fn written_batches_read_back((schema, columns) in batch()) {
        let rows = columns[0].len();
        for format in formats_of_json() {
            let encoder = Encoder::new(&format, &schema).unwrap();
            let mut out = Vec::new();
            encoder.encode(&columns, rows, &mut out).unwrap();
            for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok(), "{}", String::from_utf8_lossy(line));
            }
            let reading = Reading { format, bad_data: BadData::Fail, max_line_bytes: None };
            let mut decoder = Decoder::new(&reading, &schema).unwrap();
            decoder.decode(&out, true, usize::MAX).unwrap();
            let back = decoder.take().unwrap();
            let batch = |columns| RecordBatch::try_new(schema.to_arrow(), columns).unwrap();
            prop_assert_eq!(batch(columns.clone()), batch(back), "{}", String::from_utf8_lossy(&out));
        }
    }
}

fn formats_of_json() -> [Format; 3] {
    use formats::DecimalEncoding::{Bytes, Number, String};
    [Number, String, Bytes]
        .map(|decimal_encoding| Format::Json(JsonOptions { decimal_encoding, ..JsonOptions::default() }))
}

fn scalar_type() -> impl Strategy<Value = ScalarType> {
    let leaf = prop_oneof![
        Just(ScalarType::Bool),
        Just(ScalarType::Int8),
        Just(ScalarType::Int16),
        Just(ScalarType::Int32),
        Just(ScalarType::Int64),
        Just(ScalarType::UInt8),
        Just(ScalarType::UInt16),
        Just(ScalarType::UInt32),
        Just(ScalarType::UInt64),
        Just(ScalarType::Float32),
        Just(ScalarType::Float64),
        (1..=38u8)
            .prop_flat_map(|precision| (0..=precision.cast_signed())
                .prop_map(move |scale| ScalarType::Decimal { precision, scale })),
        Just(ScalarType::Utf8),
        Just(ScalarType::Json),
        Just(ScalarType::Binary),
        Just(ScalarType::Date),
        Just(ScalarType::Time),
        Just(ScalarType::TIMESTAMP_NS),
        Just(ScalarType::Timestamp { unit: TimeUnit::Microsecond, zone: Some("UTC".to_owned()) }),
        Just(ScalarType::Interval),
        Just(ScalarType::Duration { unit: TimeUnit::Nanosecond }),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|item| ScalarType::List(Box::new(item))),
            inner.clone().prop_map(|value| ScalarType::Map { key: Box::new(ScalarType::Utf8), value: Box::new(value) }),
            proptest::collection::vec(inner, 1..3).prop_map(|types| {
                let member = |(i, ty)| Field::new(format!("m{i}"), ty, true);
                ScalarType::Struct(types.into_iter().enumerate().map(member).collect())
            }),
        ]
    })
}

/// Random columns, made of one or two values of each type and nulls.
fn batch() -> impl Strategy<Value = (Schema, Vec<ArrayRef>)> {
    (proptest::collection::vec(scalar_type(), 1..4), 0..6usize, any::<u64>()).prop_map(|(types, rows, seed)| {
        let fields = types.iter().enumerate().map(|(i, ty)| Field::new(format!("c{i}"), ty.clone(), true)).collect();
        let mut random = Random(seed);
        let columns = types.iter().map(|ty| random_array(ty, rows, &mut random)).collect();
        (Schema::new(fields), columns)
    })
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn text(&mut self) -> String {
        let pieces = ["", "a", "\"", "\\", "\n", "\u{0}", "é", "😀", "plain text of some length", "\u{7f}", "\u{2028}"];
        (0..self.next() % 4).map(|_| pieces[self.next() as usize % pieces.len()]).collect()
    }
}

fn random_array(ty: &ScalarType, rows: usize, random: &mut Random) -> ArrayRef {
    use arrow::array::*;
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::datatypes::*;

    let nulls: Vec<bool> = (0..rows).map(|_| !random.next().is_multiple_of(4)).collect();
    let null_buffer = nulls.iter().any(|valid| !valid).then(|| NullBuffer::from(nulls.clone()));
    macro_rules! numbers {
        ($arrow:ty, $value:expr) => {{
            let values = (0..rows).map(|i| nulls[i].then(|| $value)).collect::<Vec<_>>();
            Arc::new(PrimitiveArray::<$arrow>::from_iter(values).with_data_type(ty.to_arrow())) as ArrayRef
        }};
    }
    match ty {
        ScalarType::Bool => {
            Arc::new((0..rows).map(|i| nulls[i].then(|| random.next().is_multiple_of(2))).collect::<BooleanArray>())
        }
        ScalarType::Int8 => numbers!(Int8Type, random.next() as i8),
        ScalarType::Int16 => numbers!(Int16Type, random.next() as i16),
        ScalarType::Int32 => numbers!(Int32Type, random.next() as i32),
        ScalarType::Int64 => numbers!(Int64Type, random.next() as i64 >> (random.next() % 64)),
        ScalarType::UInt8 => numbers!(UInt8Type, random.next() as u8),
        ScalarType::UInt16 => numbers!(UInt16Type, random.next() as u16),
        ScalarType::UInt32 => numbers!(UInt32Type, random.next() as u32),
        ScalarType::UInt64 => numbers!(UInt64Type, random.next() >> (random.next() % 64)),
        ScalarType::Float32 => numbers!(
            Float32Type,
            Some(f32::from_bits(random.next() as u32)).filter(|value| value.is_finite()).unwrap_or(-0.0)
        ),
        ScalarType::Float64 => {
            numbers!(Float64Type, Some(f64::from_bits(random.next())).filter(|value| value.is_finite()).unwrap_or(-0.0))
        }
        ScalarType::Decimal { precision, .. } => {
            let limit = 10i128.pow(u32::from(*precision));
            numbers!(Decimal128Type, (i128::from(random.next() as i64) * i128::from(random.next())) % limit)
        }
        ScalarType::Utf8 => Arc::new((0..rows).map(|i| nulls[i].then(|| random.text())).collect::<StringArray>()),
        ScalarType::Json => {
            let text = |random: &mut Random| serde_json::to_string(&vec![random.text()]).unwrap();
            Arc::new((0..rows).map(|i| nulls[i].then(|| text(random))).collect::<StringArray>())
        }
        ScalarType::Binary => {
            Arc::new((0..rows).map(|i| nulls[i].then(|| random.text().into_bytes())).collect::<BinaryArray>())
        }
        ScalarType::Date => numbers!(Date32Type, random.next() as i32),
        ScalarType::Time => numbers!(Time64NanosecondType, (random.next() % 86_400_000_000_000) as i64),
        ScalarType::Timestamp { unit: schema::TimeUnit::Microsecond, .. } => {
            numbers!(TimestampMicrosecondType, random.next() as i64)
        }
        ScalarType::Timestamp { .. } => numbers!(TimestampNanosecondType, random.next() as i64),
        ScalarType::Interval => numbers!(
            IntervalMonthDayNanoType,
            IntervalMonthDayNano::new(random.next() as i32, random.next() as i32, random.next() as i64)
        ),
        ScalarType::Duration { .. } => numbers!(DurationNanosecondType, random.next() as i64),
        ScalarType::List(item) => {
            let lengths: Vec<usize> =
                (0..rows).map(|i| if nulls[i] { random.next() as usize % 3 } else { 0 }).collect();
            let items = random_array(item, lengths.iter().sum(), random);
            let DataType::List(field) = ty.to_arrow() else { panic!("a list") };
            Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), items, null_buffer))
        }
        ScalarType::Struct(fields) => {
            let members = fields.iter().map(|field| random_array(&field.ty, rows, random)).collect();
            let DataType::Struct(fields) = ty.to_arrow() else { panic!("a struct") };
            Arc::new(StructArray::new(fields, members, null_buffer))
        }
        ScalarType::Map { value, .. } => {
            let lengths: Vec<usize> =
                (0..rows).map(|i| if nulls[i] { random.next() as usize % 3 } else { 0 }).collect();
            let entries = lengths.iter().sum();
            let keys: ArrayRef = Arc::new((0..entries).map(|_| Some(random.text())).collect::<StringArray>());
            let values = random_array(value, entries, random);
            let DataType::Map(field, _) = ty.to_arrow() else { panic!("a map") };
            let DataType::Struct(fields) = field.data_type().clone() else { panic!("entries") };
            let entries = StructArray::new(fields, vec![keys, values], None);
            Arc::new(MapArray::new(field, OffsetBuffer::from_lengths(lengths), entries, null_buffer, false))
        }
        _ => arrow::array::new_null_array(&ty.to_arrow(), rows),
    }
}
