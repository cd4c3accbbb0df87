//! Every registered function, called through a kernel.
//!
//! A case is a call with constant arguments and the text of its result (`*`: any). The test also calls the function without the
//! façade, and with columns in place of the constants, with a null among their rows; all must agree. A function
//! without a case fails the test, so that one that a new version of DataFusion brings is looked at.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{Field as ArrowField, FieldRef};
use arrow::util::display::ArrayFormatter;
use datafusion_common::ScalarValue;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};
use schema::{Field, ScalarType};

use crate::function::{self, Body};
use crate::represent::{STRICT, represent};
use crate::{Kernel, Param};

#[derive(Clone)]
struct Arg {
    param: Param,
    /// The function insists on a literal.
    literal: bool,
}

fn arg(param: Param) -> Arg {
    Arg { param, literal: false }
}

fn t(text: &str) -> Arg {
    arg(Param::utf8(text))
}

fn i(value: i64) -> Arg {
    arg(Param::int(ScalarType::Int64, value))
}

fn i32(value: i64) -> Arg {
    arg(Param::int(ScalarType::Int32, value))
}

fn f(value: f64) -> Arg {
    arg(Param::float(ScalarType::Float64, value))
}

/// 2023-11-14T22:13:20.123456789
fn ts() -> Arg {
    arg(Param::int(ScalarType::TIMESTAMP_NS, 1_700_000_000_123_456_789))
}

fn lit(arg: Arg) -> Arg {
    Arg { literal: true, ..arg }
}

fn ints(values: &[i64]) -> Arg {
    arg(Param::list(ScalarType::Int64, values.iter().map(|value| i(*value).param).collect()))
}

fn floats(values: &[f64]) -> Arg {
    arg(Param::list(ScalarType::Float64, values.iter().map(|value| f(*value).param).collect()))
}

fn texts(values: &[&str]) -> Arg {
    arg(Param::list(ScalarType::Utf8, values.iter().map(|value| t(value).param).collect()))
}

fn pair() -> Arg {
    let ty =
        ScalarType::Struct(vec![Field::new("x", ScalarType::Int64, true), Field::new("y", ScalarType::Utf8, true)]);
    arg(Param::structure(ty, vec![i(1).param, t("one").param]))
}

/// `{a: 1, b: 2}`, made by the function itself since the IR has no literal of it.
fn map() -> Arg {
    let ty = ScalarType::Map { key: Box::new(ScalarType::Utf8), value: Box::new(ScalarType::Int64) };
    let args = [texts(&["a", "b"]).param, ints(&[1, 2]).param];
    let value = Kernel::new(function::map, &args, &ty).unwrap().call(&[], 1);
    arg(Param { ty, nullable: false, constant: Some(value) })
}

fn json() -> Arg {
    t(r#"{"a": [1, "x"], "b": {"c": 2.5}, "d": true}"#)
}

/// Calls without a value that could be written here; see the test below for each.
const UNWRITTEN: &[&str] =
    &["now", "current_date", "current_time", "random", "uuid", "version", "union_extract", "union_tag", "arrow_field"];

fn cases() -> Vec<(&'static str, Vec<Arg>, &'static str)> {
    vec![
        ("arrow_metadata", vec![i(1)], "*"),
        ("with_metadata", vec![i(1), lit(t("k")), lit(t("v"))], "1"),
        ("overlay", vec![t("Txxxxas"), t("hom"), i(2), i(4)], "Thomas"),
        ("arrow_typeof", vec![i(1)], "Int64"),
        ("struct", vec![i(1), t("a")], "{c0: 1, c1: a}"),
        ("named_struct", vec![lit(t("k")), i(1), lit(t("l")), t("a")], "{k: 1, l: a}"),
        ("get_field", vec![pair(), lit(t("y"))], "one"),
        ("greatest", vec![i(1), i(3), i(2)], "3"),
        ("least", vec![t("b"), t("a")], "a"),
        (
            "date_bin",
            vec![
                lit(arg(Param::interval(0, 0, 3_600_000_000_000))),
                ts(),
                lit(arg(Param::int(ScalarType::TIMESTAMP_NS, 0))),
            ],
            "2023-11-14T22:00:00",
        ),
        ("date_part", vec![lit(t("year")), ts()], "2023"),
        ("date_trunc", vec![lit(t("hour")), ts()], "2023-11-14T22:00:00"),
        ("from_unixtime", vec![i(1_700_000_000)], "2023-11-14T22:13:20"),
        ("make_date", vec![i32(2024), i32(2), i32(29)], "2024-02-29"),
        ("make_time", vec![i32(13), i32(2), i32(3)], "13:02:03"),
        ("to_char", vec![ts(), lit(t("%Y/%m/%d"))], "2023/11/14"),
        ("to_date", vec![t("2024-02-29")], "2024-02-29"),
        ("to_local_time", vec![ts()], "2023-11-14T22:13:20.123456789"),
        ("to_time", vec![t("12:34:56")], "12:34:56"),
        ("to_unixtime", vec![t("2023-11-14T22:13:20")], "1700000000"),
        ("to_timestamp", vec![t("2023-11-14T22:13:20.5")], "2023-11-14T22:13:20.500"),
        ("to_timestamp_seconds", vec![t("2023-11-14T22:13:20.5")], "2023-11-14T22:13:20"),
        ("to_timestamp_millis", vec![i(1_700_000_000_123)], "2023-11-14T22:13:20.123"),
        ("to_timestamp_micros", vec![i(1_700_000_000_123_456)], "2023-11-14T22:13:20.123456"),
        ("to_timestamp_nanos", vec![i(1_700_000_000_123_456_789)], "2023-11-14T22:13:20.123456789"),
        ("encode", vec![t("hi"), lit(t("hex"))], "6869"),
        ("decode", vec![t("6869"), lit(t("hex"))], "6869"),
        ("abs", vec![i(-3)], "3"),
        ("acos", vec![f(1.0)], "0.0"),
        ("acosh", vec![f(1.0)], "0.0"),
        ("asin", vec![f(0.0)], "0.0"),
        ("asinh", vec![f(0.0)], "0.0"),
        ("atan", vec![f(0.0)], "0.0"),
        ("atan2", vec![f(0.0), f(1.0)], "0.0"),
        ("atanh", vec![f(0.0)], "0.0"),
        ("cbrt", vec![f(27.0)], "3.0"),
        ("ceil", vec![f(1.2)], "2.0"),
        ("cos", vec![f(0.0)], "1.0"),
        ("cosh", vec![f(0.0)], "1.0"),
        ("cot", vec![f(1.0)], "*"),
        ("degrees", vec![f(0.0)], "0.0"),
        ("exp", vec![f(0.0)], "1.0"),
        ("factorial", vec![i(5)], "120"),
        ("floor", vec![f(-1.2)], "-2.0"),
        ("gcd", vec![i(12), i(18)], "6"),
        ("isnan", vec![f(f64::NAN)], "true"),
        ("iszero", vec![f(-0.0)], "true"),
        ("lcm", vec![i(4), i(6)], "12"),
        ("ln", vec![f(1.0)], "0.0"),
        ("log", vec![f(2.0), f(8.0)], "3.0"),
        ("log2", vec![f(8.0)], "3.0"),
        ("log10", vec![f(1000.0)], "3.0"),
        ("nanvl", vec![f(f64::NAN), f(2.0)], "2.0"),
        ("pi", vec![], "3.141592653589793"),
        ("power", vec![f(2.0), f(10.0)], "1024.0"),
        ("radians", vec![f(0.0)], "0.0"),
        ("signum", vec![f(-2.5)], "-1.0"),
        ("sin", vec![f(0.0)], "0.0"),
        ("sinh", vec![f(0.0)], "0.0"),
        ("sqrt", vec![f(16.0)], "4.0"),
        ("tan", vec![f(0.0)], "0.0"),
        ("tanh", vec![f(0.0)], "0.0"),
        ("round", vec![f(2.567), lit(i32(2))], "2.57"),
        ("trunc", vec![f(-2.567), lit(i(1))], "-2.5"),
        ("regexp_count", vec![t("abcabc"), lit(t("b"))], "2"),
        ("regexp_match", vec![t("foobar"), lit(t("(o+)(b)"))], "[oo, b]"),
        ("regexp_instr", vec![t("foobar"), lit(t("b"))], "4"),
        ("regexp_like", vec![t("Foo"), lit(t("^f")), lit(t("i"))], "true"),
        ("regexp_replace", vec![t("aXbX"), lit(t("X")), lit(t("-")), lit(t("g"))], "a-b-"),
        ("digest", vec![t("a"), lit(t("md5"))], "0cc175b9c0f1b6a831c399e269772661"),
        ("md5", vec![t("a")], "0cc175b9c0f1b6a831c399e269772661"),
        ("sha224", vec![t("a")], "abd37534c7d9a2efb9465de931cd7055ffdb8879563ae98078d6d6d5"),
        ("sha256", vec![t("a")], "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        (
            "sha384",
            vec![t("a")],
            "54a59b9f22b0b80880d8427e548b7c23abd873486e1f035dce9cd697e85175033caa88e6d57bc35efae0b5afd3145f31",
        ),
        (
            "sha512",
            vec![t("a")],
            "1f40fc92da241694750979ee6cf582f2d5d7d28e18335de05abc54d0560e0f5302860c652bf08d560252aa5e74210546f369fbbbce8c12cfc7957b2652fe9a75",
        ),
        ("character_length", vec![t("né")], "2"),
        ("find_in_set", vec![t("b"), t("a,b,c")], "2"),
        ("initcap", vec![t("hello wORLD")], "Hello World"),
        ("left", vec![t("héllo"), i(2)], "hé"),
        ("lpad", vec![t("x"), i(3), t("ab")], "abx"),
        ("reverse", vec![t("abé")], "éba"),
        ("right", vec![t("héllo"), i(-3)], "lo"),
        ("rpad", vec![t("x"), i(3), t("ab")], "xab"),
        ("strpos", vec![t("hello"), t("l")], "3"),
        ("substr", vec![t("héllo"), i(2), i(3)], "éll"),
        ("substr_index", vec![t("a.b.c"), t("."), i(2)], "a.b"),
        ("translate", vec![t("12345"), t("143"), t("ax")], "a2x5"),
        ("ascii", vec![t("é")], "233"),
        ("bit_length", vec![t("é")], "16"),
        ("btrim", vec![t("xxaxx"), t("x")], "a"),
        ("chr", vec![i(233)], "é"),
        ("concat", vec![t("a"), t("b"), i(1)], "ab1"),
        ("concat_ws", vec![t("-"), t("a"), t("b")], "a-b"),
        ("ends_with", vec![t("hello"), t("lo")], "true"),
        ("levenshtein", vec![t("kitten"), t("sitting")], "3"),
        ("lower", vec![t("ÀB")], "àb"),
        ("ltrim", vec![t("  a ")], "a "),
        ("octet_length", vec![t("é")], "2"),
        ("repeat", vec![t("ab"), i(3)], "ababab"),
        ("replace", vec![t("aXb"), t("X"), t("--")], "a--b"),
        ("rtrim", vec![t(" a  ")], " a"),
        ("split_part", vec![t("a,b,c"), t(","), i(-1)], "c"),
        ("starts_with", vec![t("hello"), t("he")], "true"),
        ("to_hex", vec![i(255)], "ff"),
        ("upper", vec![t("aé")], "AÉ"),
        ("contains", vec![t("hello"), t("ell")], "true"),
        (
            "array_compact",
            vec![arg(Param::list(ScalarType::Int64, vec![i(1).param, Param::null(ScalarType::Int64)]))],
            "[1]",
        ),
        ("array_to_string", vec![ints(&[1, 2]), lit(t("-"))], "1-2"),
        ("string_to_array", vec![t("a,b"), lit(t(","))], "[a, b]"),
        ("range", vec![i(0), i(5), i(2)], "[0, 2, 4]"),
        ("generate_series", vec![i(1), i(3), i(1)], "[1, 2, 3]"),
        ("array_dims", vec![ints(&[1, 2])], "[2]"),
        ("cardinality", vec![ints(&[1, 2])], "2"),
        ("array_ndims", vec![ints(&[1, 2])], "1"),
        ("array_append", vec![ints(&[1]), i(2)], "[1, 2]"),
        ("array_prepend", vec![i(0), ints(&[1])], "[0, 1]"),
        ("array_concat", vec![ints(&[1]), ints(&[2])], "[1, 2]"),
        ("array_except", vec![ints(&[1, 2]), ints(&[2])], "[1]"),
        ("array_element", vec![ints(&[5, 6]), i(-1)], "6"),
        ("array_pop_back", vec![ints(&[1, 2])], "[1]"),
        ("array_pop_front", vec![ints(&[1, 2])], "[2]"),
        ("array_slice", vec![ints(&[1, 2, 3]), i(2), i(3)], "[2, 3]"),
        ("array_any_value", vec![ints(&[4, 5])], "4"),
        ("make_array", vec![i(1), i(2)], "[1, 2]"),
        ("array_has", vec![ints(&[1, 2]), i(2)], "true"),
        ("array_has_all", vec![ints(&[1, 2]), ints(&[2])], "true"),
        ("array_has_any", vec![ints(&[1, 2]), ints(&[3])], "false"),
        ("empty", vec![ints(&[])], "true"),
        ("array_length", vec![ints(&[1, 2])], "2"),
        ("array_normalize", vec![floats(&[3.0, 4.0])], "[0.6, 0.8]"),
        ("array_add", vec![floats(&[1.0]), floats(&[2.0])], "[3.0]"),
        ("array_avg", vec![floats(&[1.0, 2.0])], "1.5"),
        ("array_product", vec![floats(&[2.0, 3.0])], "6.0"),
        ("array_scale", vec![floats(&[1.0, 2.0]), f(3.0)], "[3.0, 6.0]"),
        ("array_subtract", vec![floats(&[3.0]), floats(&[1.0])], "[2.0]"),
        ("array_sum", vec![floats(&[1.0, 2.0])], "3.0"),
        ("cosine_distance", vec![floats(&[1.0, 0.0]), floats(&[0.0, 1.0])], "1.0"),
        ("inner_product", vec![floats(&[1.0, 2.0]), floats(&[3.0, 4.0])], "11.0"),
        ("array_distance", vec![floats(&[0.0, 0.0]), floats(&[3.0, 4.0])], "5.0"),
        (
            "flatten",
            vec![arg(Param::list(
                ScalarType::List(Box::new(ScalarType::Int64)),
                vec![ints(&[1]).param, ints(&[2]).param],
            ))],
            "[1, 2]",
        ),
        ("array_max", vec![ints(&[1, 3, 2])], "3"),
        ("array_min", vec![ints(&[3, 1, 2])], "1"),
        ("array_sort", vec![ints(&[3, 1, 2]), lit(t("DESC"))], "[3, 2, 1]"),
        ("array_repeat", vec![t("a"), i(2)], "[a, a]"),
        ("array_resize", vec![ints(&[1]), i(3), i(0)], "[1, 0, 0]"),
        ("array_reverse", vec![ints(&[1, 2])], "[2, 1]"),
        ("array_distinct", vec![ints(&[1, 1, 2])], "[1, 2]"),
        ("array_intersect", vec![ints(&[1, 2]), ints(&[2, 3])], "[2]"),
        ("array_union", vec![ints(&[1]), ints(&[2])], "[1, 2]"),
        ("arrays_zip", vec![ints(&[1, 2]), texts(&["a", "b"])], "*"),
        ("array_position", vec![texts(&["a", "b"]), t("b")], "2"),
        ("array_positions", vec![ints(&[1, 2, 1]), i(1)], "[1, 3]"),
        ("array_remove", vec![ints(&[1, 2, 1]), i(1)], "[2, 1]"),
        ("array_remove_all", vec![ints(&[1, 2, 1]), i(1)], "[2]"),
        ("array_remove_n", vec![ints(&[1, 1, 1]), i(1), i(2)], "[1]"),
        ("array_replace_n", vec![ints(&[1, 1, 1]), i(1), i(9), i(2)], "[9, 9, 1]"),
        ("array_replace_all", vec![ints(&[1, 2, 1]), i(1), i(9)], "[9, 2, 9]"),
        ("array_replace", vec![ints(&[1, 2, 1]), i(1), i(9)], "[9, 2, 1]"),
        ("map", vec![texts(&["a"]), ints(&[1])], "{a: 1}"),
        ("map_entries", vec![map()], "[{key: a, value: 1}, {key: b, value: 2}]"),
        ("map_extract", vec![map(), t("b")], "[2]"),
        ("map_keys", vec![map()], "[a, b]"),
        ("map_values", vec![map()], "[1, 2]"),
        ("json_get", vec![json(), lit(t("b"))], "{\"c\": 2.5}"),
        ("json_get_str", vec![json(), lit(t("a")), lit(i(1))], "x"),
        ("json_get_int", vec![json(), lit(t("a")), lit(i(0))], "1"),
        ("json_get_float", vec![json(), lit(t("b")), lit(t("c"))], "2.5"),
        ("json_get_bool", vec![json(), lit(t("d"))], "true"),
        ("json_get_json", vec![json(), lit(t("a"))], "[1, \"x\"]"),
        ("json_get_array", vec![json(), lit(t("a"))], "[1, \"x\"]"),
        ("json_as_text", vec![json(), lit(t("a")), lit(i(1))], "x"),
        ("json_contains", vec![json(), t("zz")], "false"),
        ("json_length", vec![json()], "3"),
        ("json_object_keys", vec![json()], "[a, b, d]"),
        ("get_first_json_object", vec![json(), lit(t("$.a[1]"))], "\"x\""),
        ("extract_json", vec![json(), lit(t("$.a[*]"))], "[1, \"x\"]"),
        ("extract_json_string", vec![json(), lit(t("$.a[1]"))], "x"),
        ("multi_hash", vec![t("a"), i(1)], "*"),
    ]
}

fn show(array: &ArrayRef, row: usize) -> String {
    let options = STRICT.format_options.with_null("NULL");
    ArrayFormatter::try_new(array, &options).unwrap().value(row).to_string()
}

/// The function as DataFusion calls it, and the type that it says its result has.
fn direct(udf: &ScalarUDF, args: &[(Param, Option<ArrayRef>)], rows: usize) -> Result<(ScalarType, ArrayRef), String> {
    let fields: Vec<FieldRef> =
        args.iter().map(|(param, _)| Arc::new(ArrowField::new("x", param.ty.to_arrow(), true)) as FieldRef).collect();
    let fields = fields_with_udf(&fields, udf).map_err(|error| error.to_string())?;
    let mut values = vec![];
    for ((param, column), field) in args.iter().zip(&fields) {
        values.push(match column {
            Some(column) => ColumnarValue::Array(represent(column, field.data_type())?),
            None => {
                let value = represent(param.constant.as_ref().unwrap().as_ref().unwrap(), field.data_type())?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&value, 0).unwrap())
            }
        });
    }
    let scalars: Vec<_> = values
        .iter()
        .map(|value| match value {
            ColumnarValue::Scalar(scalar) => Some(scalar),
            ColumnarValue::Array(_) => None,
        })
        .collect();
    let return_field = udf
        .return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars })
        .map_err(|error| error.to_string())?;
    let ret = ScalarType::from_arrow(return_field.data_type()).map_err(|error| error.to_string())?;
    let config_options = Arc::new(ConfigOptions::default());
    let args = ScalarFunctionArgs { args: values, arg_fields: fields, number_rows: rows, return_field, config_options };
    let result = udf.invoke_with_args(args).map_err(|error| error.to_string())?;
    let result = result.into_array(rows).map_err(|error| error.to_string())?;
    Ok((ret.clone(), represent(&result, &ret.to_arrow())?))
}

/// What is wrong with a case, if anything is.
fn check(udf: &ScalarUDF, args: &[Arg], expected: &str) -> Result<(), String> {
    let of = function::by_name(udf.name()).ok_or("no kernel of that name")?;
    let agrees = |found: &str| expected == "*" || found == expected;
    let params: Vec<Param> = args.iter().map(|arg| arg.param.clone()).collect();
    let constants: Vec<_> = params.iter().map(|param| (param.clone(), None)).collect();
    let (ret, plain) = direct(udf, &constants, 1)?;
    let kernel = Kernel::new(of, &params, &ret)?;
    for rows in [1, 3] {
        let got = kernel.call(&[], rows)?;
        let found = show(&got, rows - 1);
        if got.len() != rows || found != show(&plain, 0) || !agrees(&found) {
            return Err(format!("expected {expected}, got {} and {} directly", show(&got, 0), show(&plain, 0)));
        }
    }

    let column = |arg: &Arg| {
        let value = arg.param.constant.clone().unwrap().unwrap();
        let null = new_null_array(value.data_type(), 1);
        concat(&[&value, &null, &value]).unwrap()
    };
    let with_columns: Vec<_> = args
        .iter()
        .map(|arg| match arg.literal {
            true => (arg.param.clone(), None),
            false => (Param::column(arg.param.ty.clone(), true), Some(column(arg))),
        })
        .collect();
    let columns: Vec<ArrayRef> = with_columns.iter().filter_map(|(_, column)| column.clone()).collect();
    if columns.is_empty() {
        return Ok(());
    }
    let params: Vec<Param> = with_columns.iter().map(|(param, _)| param.clone()).collect();
    let got = Kernel::new(of, &params, &ret)?.call(&columns, 3)?;
    let (_, plain) = direct(udf, &with_columns, 3)?;
    for row in 0..3 {
        if show(&got, row) != show(&plain, row) {
            return Err(format!("row {row} of columns: {} here, {} directly", show(&got, row), show(&plain, row)));
        }
    }
    match agrees(&show(&got, 2)) {
        true => Ok(()),
        false => Err(format!("expected {expected}, got {} of columns", show(&got, 2))),
    }
}

#[test]
fn every_function_works_through_a_kernel() {
    let cases = cases();
    let by_name: HashMap<_, _> =
        crate::scalar_functions().into_iter().map(|udf| (udf.name().to_owned(), udf)).collect();
    let mut wrong = vec![];
    for name in by_name.keys() {
        // Functions whose body is an operator of ours are tested beside it.
        if matches!(function::by_name(name).map(|of| of().0), Some(Body::Own(_))) {
            continue;
        }
        if !UNWRITTEN.contains(&name.as_str()) && !cases.iter().any(|(case, ..)| case == name) {
            wrong.push(format!("{name}: has no case"));
        }
    }
    for (name, args, expected) in &cases {
        let Some(udf) = by_name.get(*name) else {
            wrong.push(format!("{name}: is not registered"));
            continue;
        };
        if let Err(error) = check(udf, args, expected) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn every_name_and_alias_has_a_kernel() {
    let mut missing = vec![];
    for udf in crate::scalar_functions() {
        for name in std::iter::once(udf.name()).chain(udf.aliases().iter().map(String::as_str)) {
            let Some(function) = function::by_name(name) else {
                missing.push(format!("{name} (of {})", udf.name()));
                continue;
            };
            if let Body::Udf(found) = function().0 {
                assert_eq!(found.name(), udf.name(), "{name} leads elsewhere");
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    let mut names: Vec<_> = function::ALL.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn functions_without_a_written_case() {
    let uuid = Kernel::new(function::uuid, &[], &ScalarType::Utf8).unwrap().call(&[], 3).unwrap();
    assert_eq!((show(&uuid, 0).len(), show(&uuid, 0) == show(&uuid, 1)), (36, false));
    let random = Kernel::new(function::random, &[], &ScalarType::Float64).unwrap().call(&[], 3).unwrap();
    assert!(show(&random, 0) != show(&random, 1));
    let version = Kernel::new(function::version, &[], &ScalarType::Utf8).unwrap().call(&[], 2).unwrap();
    assert!(show(&version, 1).contains("DataFusion"));
    // No column is a union, so there is nothing to call these two with.
    let text = [Param::column(ScalarType::Utf8, true)];
    let column: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    for function in [function::union_tag, function::union_extract] {
        let kernel = Kernel::new(function, &text, &ScalarType::Utf8);
        assert!(kernel.and_then(|kernel| kernel.call(std::slice::from_ref(&column), 1)).is_err());
    }
}

#[test]
fn empty_blocks_give_empty_columns() {
    for (name, args, _) in cases() {
        let Some(udf) = crate::scalar_functions().into_iter().find(|udf| udf.name() == name) else { continue };
        let constants: Vec<_> = args.iter().map(|arg| (arg.param.clone(), None)).collect();
        let Ok((ret, _)) = direct(&udf, &constants, 1) else { continue };
        let params: Vec<_> = args.iter().map(|arg| arg.param.clone()).collect();
        let got = Kernel::named(name, &params, &ret).unwrap().call(&[], 0).unwrap();
        assert_eq!((got.len(), got.data_type()), (0, &ret.to_arrow()), "{name}");
    }
}
