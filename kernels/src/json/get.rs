//! `json_get` and its family: a value of a JSON text by the steps that lead to it.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Array, Int64Builder, ListBuilder, StringArray,
    StringBuilder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::json::scan::{Step, elements, find, members, unquote};

/// What is made of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Want {
    /// Its text; null for a JSON null.
    Json,
    /// Its text, a JSON null too.
    RawJson,
    /// What a string says; the text of any other; null for a JSON null.
    Text,
    /// What a string says; null for any other.
    Str,
    /// A number without a fraction, or a string that spells one.
    Int,
    /// A number, or a string that spells one.
    Float,
    Bool,
    /// The texts of an array's elements.
    Array,
    /// Whether there is one; never null.
    Contains,
    /// Elements of an array, members of an object.
    Length,
    /// Names of an object's members.
    Keys,
}

macro_rules! getters {
    ($($name:ident $([$alias:literal])? => $want:ident;)*) => {$(
        pub(crate) fn $name() -> Arc<ScalarUDF> {
            let aliases: &[&str] = &[$($alias)?];
            Arc::new(ScalarUDF::new_from_impl(JsonGet {
                name: stringify!($name),
                aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
                want: Want::$want,
                signature: Signature::user_defined(Volatility::Immutable),
            }))
        }
    )*};
}

getters! {
    json_get => Json;
    json_get_str => Str;
    json_get_int => Int;
    json_get_float => Float;
    json_get_bool => Bool;
    json_get_json => RawJson;
    json_get_array => Array;
    json_as_text => Text;
    json_contains => Contains;
    json_length ["json_len"] => Length;
    json_object_keys ["json_keys"] => Keys;
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonGet {
    name: &'static str,
    aliases: Vec<String>,
    want: Want,
    signature: Signature,
}

pub(crate) fn list_of_text() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
}

/// How the planner should hand over a JSON argument.
pub(crate) fn coerce_json(function: &str, ty: &DataType) -> Result<DataType> {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Ok(DataType::Utf8),
        DataType::Dictionary(_, value) => coerce_json(function, value),
        other => plan_err!("{function} reads JSON text, not {other}"),
    }
}

impl ScalarUDFImpl for JsonGet {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let Some((json, steps)) = types.split_first() else {
            return plan_err!("{} needs a JSON text", self.name);
        };
        let mut coerced = vec![coerce_json(self.name, json)?];
        for step in steps {
            coerced.push(match step {
                ty if ty.is_integer() => DataType::Int64,
                DataType::List(item) if item.data_type().is_integer() => {
                    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))
                }
                DataType::List(item) => {
                    coerce_json(self.name, item.data_type())?;
                    list_of_text()
                }
                ty => match coerce_json(self.name, ty) {
                    Ok(ty) => ty,
                    Err(_) => return plan_err!("{}: a step is a name or an index, not {ty}", self.name),
                },
            });
        }
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.want {
            Want::Json | Want::RawJson | Want::Text | Want::Str => DataType::Utf8,
            Want::Int => DataType::Int64,
            Want::Float => DataType::Float64,
            Want::Bool | Want::Contains => DataType::Boolean,
            Want::Array | Want::Keys => list_of_text(),
            Want::Length => DataType::UInt64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((json, steps)) = args.args.split_first() else {
            return exec_err!("{} needs a JSON text", self.name);
        };
        let all_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_constant { 1 } else { args.number_rows };
        let json = json.to_array(rows)?;
        let json = json.as_string::<i32>();
        let steps = steps.iter().map(StepArg::new).collect::<Result<Vec<_>>>()?;
        let result = get(self.want, json, &steps, rows);
        match all_constant {
            true => ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}

/// An argument that is one step, or several.
enum StepArg<'a> {
    Same(Vec<Step<'static>>),
    Names(&'a StringArray),
    Indices(&'a Int64Array),
    /// Null: leads nowhere.
    Nowhere,
}

impl<'a> StepArg<'a> {
    fn new(arg: &'a ColumnarValue) -> Result<StepArg<'a>> {
        match arg {
            ColumnarValue::Array(array) => match array.data_type() {
                DataType::Utf8 => Ok(StepArg::Names(array.as_string::<i32>())),
                DataType::Int64 => Ok(StepArg::Indices(array.as_primitive::<Int64Type>())),
                other => exec_err!("a JSON step that varies by row is a name or an index, not {other}"),
            },
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))) => {
                Ok(StepArg::Same(vec![Step::Name(Cow::Owned(name.clone()))]))
            }
            ColumnarValue::Scalar(ScalarValue::Int64(Some(index))) => Ok(StepArg::Same(vec![Step::Index(*index)])),
            ColumnarValue::Scalar(ScalarValue::List(list)) if list.is_valid(0) => Ok(list_steps(&list.value(0))),
            ColumnarValue::Scalar(value) if value.is_null() => Ok(StepArg::Nowhere),
            ColumnarValue::Scalar(value) => exec_err!("a JSON step is a name or an index, not {value}"),
        }
    }

    /// Appends the steps of a row; `None` when they lead nowhere.
    fn append<'b>(&'b self, row: usize, steps: &mut Vec<Step<'b>>) -> Option<()> {
        match self {
            StepArg::Same(same) => steps.extend(same.iter().map(|step| match step {
                Step::Name(name) => Step::Name(Cow::Borrowed(name.as_ref())),
                Step::Index(index) => Step::Index(*index),
            })),
            StepArg::Names(names) if names.is_valid(row) => steps.push(Step::Name(Cow::Borrowed(names.value(row)))),
            StepArg::Indices(indices) if indices.is_valid(row) => steps.push(Step::Index(indices.value(row))),
            _ => return None,
        }
        Some(())
    }
}

fn list_steps(items: &ArrayRef) -> StepArg<'static> {
    let step = |row| match items.data_type() {
        _ if items.is_null(row) => None,
        DataType::Utf8 => Some(Step::Name(Cow::Owned(items.as_string::<i32>().value(row).to_owned()))),
        DataType::Int64 => Some(Step::Index(items.as_primitive::<Int64Type>().value(row))),
        _ => None,
    };
    match (0..items.len()).map(step).collect::<Option<Vec<_>>>() {
        Some(steps) => StepArg::Same(steps),
        None => StepArg::Nowhere,
    }
}

fn get(want: Want, json: &StringArray, args: &[StepArg<'_>], rows: usize) -> ArrayRef {
    let mut steps = Vec::new();
    let mut found = (0..rows).map(|row| {
        steps.clear();
        let json = json.is_valid(row).then(|| json.value(row))?;
        args.iter().try_for_each(|arg| arg.append(row, &mut steps))?;
        find(json, &steps)
    });
    match want {
        Want::Json | Want::RawJson | Want::Text | Want::Str => {
            let mut out = StringBuilder::with_capacity(rows, rows * 8);
            for value in found {
                match value.and_then(|value| text(want, value)) {
                    Some(text) => out.append_value(text),
                    None => out.append_null(),
                }
            }
            Arc::new(out.finish())
        }
        Want::Int => {
            let mut out = Int64Builder::with_capacity(rows);
            found.for_each(|value| out.append_option(value.and_then(integer)));
            Arc::new(out.finish())
        }
        Want::Float => {
            let mut out = Float64Builder::with_capacity(rows);
            found.for_each(|value| out.append_option(value.and_then(float)));
            Arc::new(out.finish())
        }
        Want::Bool => {
            let mut out = BooleanBuilder::with_capacity(rows);
            found.for_each(|value| out.append_option(value.and_then(|value| value.parse().ok())));
            Arc::new(out.finish())
        }
        Want::Contains => {
            let mut out = BooleanBuilder::with_capacity(rows);
            found.for_each(|value| out.append_value(value.is_some()));
            Arc::new(out.finish())
        }
        Want::Length => {
            let mut out = UInt64Builder::with_capacity(rows);
            found.for_each(|value| out.append_option(value.and_then(length)));
            Arc::new(out.finish())
        }
        Want::Array | Want::Keys => {
            let mut out = ListBuilder::new(StringBuilder::new());
            found.by_ref().for_each(|value| {
                let parts = value.and_then(|value| parts(want, value));
                let known = parts.is_some();
                parts.into_iter().flatten().for_each(|part| out.values().append_value(part));
                out.append(known);
            });
            Arc::new(out.finish())
        }
    }
}

fn text(want: Want, value: &str) -> Option<Cow<'_, str>> {
    match (want, value.as_bytes()[0]) {
        (Want::RawJson, _) => Some(Cow::Borrowed(value)),
        (_, b'n') => None,
        (Want::Text | Want::Str, b'"') => unquote(value),
        (Want::Str, _) => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

fn integer(value: &str) -> Option<i64> {
    let said = number(value)?;
    if let Ok(integer) = said.parse() {
        return Some(integer);
    }
    // `2e3` in a number is the integer 2000; in a string it is not one.
    let float: f64 = if value.starts_with('"') { return None } else { said.parse().ok()? };
    let fits = float.fract() == 0.0 && float >= i64::MIN as f64 && float < -(i64::MIN as f64);
    fits.then_some(float as i64)
}

fn float(value: &str) -> Option<f64> {
    number(value)?.parse().ok()
}

/// The characters of a number, or of a string that may spell one.
fn number(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes()[0] {
        b'"' => unquote(value),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

fn length(value: &str) -> Option<u64> {
    let mut count = 0;
    match value.as_bytes()[0] {
        b'[' => elements(value, &mut |_| count += 1)?,
        b'{' => members(value, &mut |_, _| count += 1)?,
        _ => return None,
    }
    Some(count)
}

fn parts(want: Want, value: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut parts = vec![];
    match want {
        Want::Array => elements(value, &mut |element| parts.push(Cow::Borrowed(element)))?,
        _ => members(value, &mut |name, _| parts.extend(unquote(name)))?,
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Function, Kernel, Param, ScalarType, function};

    const ROWS: [Option<&str>; 6] = [
        Some(r#"{"a": "x\"y", "n": 2e3, "b": true, "l": [1, "2", null], "o": {"k": null, "m": 1.5}}"#),
        Some(r#"{"a": null, "n": "17", "b": "true", "l": [], "o": {}}"#),
        Some("broken"),
        Some(r#"[10, {"a": 9223372036854775807}]"#),
        Some(r#""text""#),
        None,
    ];

    fn show(function: fn() -> Function, ret: ScalarType, steps: &[Param]) -> Vec<Option<String>> {
        let params = [&[Param::column(ScalarType::Json, true)], steps].concat();
        let kernel = Kernel::new(function, &params, &ret).unwrap();
        let column: ArrayRef = Arc::new(StringArray::from(ROWS.to_vec()));
        let got = kernel.call(&[column], ROWS.len()).unwrap();
        let options = arrow::util::display::FormatOptions::default();
        let formatter = arrow::util::display::ArrayFormatter::try_new(&got, &options).unwrap();
        (0..ROWS.len()).map(|row| got.is_valid(row).then(|| formatter.value(row).to_string())).collect()
    }

    fn some<const N: usize>(values: [Option<&str>; N]) -> Vec<Option<String>> {
        values.map(|value| value.map(str::to_owned)).to_vec()
    }

    #[test]
    fn values_by_name_and_index() {
        let at = |name| [Param::utf8(name)];
        let utf8 = || ScalarType::Utf8;
        let got = show(function::json_get, utf8(), &at("a"));
        assert_eq!(got, some([Some(r#""x\"y""#), None, None, None, None, None]));
        assert_eq!(show(function::json_get_json, utf8(), &at("a"))[1], Some("null".into()));
        assert_eq!(show(function::json_as_text, utf8(), &at("a"))[0], Some("x\"y".into()));
        assert_eq!(show(function::json_as_text, utf8(), &at("n"))[0], Some("2e3".into()));
        assert_eq!(show(function::json_get_str, utf8(), &at("n"))[..2], some([None, Some("17")]));
        assert_eq!(show(function::json_get_int, ScalarType::Int64, &at("n"))[..2], some([Some("2000"), Some("17")]));
        assert_eq!(show(function::json_get_bool, ScalarType::Bool, &at("b"))[..2], some([Some("true"), None]));
        let second = [Param::int(ScalarType::Int64, -1), Param::utf8("a")];
        assert_eq!(show(function::json_get_int, ScalarType::Int64, &second)[3], Some(i64::MAX.to_string()));
        let path = [Param::list(ScalarType::Utf8, vec![Param::utf8("o"), Param::utf8("m")])];
        assert_eq!(show(function::json_get_float, ScalarType::Float64, &path)[0], Some("1.5".into()));
        assert_eq!(show(function::json_get_str, utf8(), &[])[4], Some("text".into()));
    }

    #[test]
    fn shapes() {
        let list = ScalarType::List(Box::new(ScalarType::Utf8));
        let got = show(function::json_get_array, list.clone(), &[Param::utf8("l")]);
        assert_eq!(got, some([Some(r#"[1, "2", null]"#), Some("[]"), None, None, None, None]));
        let got = show(function::json_object_keys, list, &[Param::utf8("o")]);
        assert_eq!(got, some([Some("[k, m]"), Some("[]"), None, None, None, None]));
        let got = show(function::json_length, ScalarType::UInt64, &[]);
        assert_eq!(got, some([Some("5"), Some("5"), None, Some("2"), None, None]));
        let got = show(function::json_contains, ScalarType::Bool, &[Param::utf8("a")]);
        assert_eq!(got, some([Some("true"), Some("true"), Some("false"), Some("false"), Some("false"), Some("false")]));
    }

    #[test]
    fn steps_may_vary_by_row() {
        let params = [Param::utf8(r#"{"a": [5, 6], "b": 7}"#), Param::column(ScalarType::Utf8, true)];
        let kernel = Kernel::new(function::json_as_text, &params, &ScalarType::Utf8).unwrap();
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("a")]));
        let got = kernel.call(&[names], 3).unwrap();
        assert_eq!(got.as_string::<i32>(), &StringArray::from(vec![Some("7"), None, Some("[5, 6]")]));
    }

    #[test]
    fn a_step_of_another_type_is_named() {
        let params = [Param::column(ScalarType::Json, true), Param::bool(true)];
        let error = Kernel::new(function::json_get, &params, &ScalarType::Utf8).unwrap_err();
        assert!(error.contains("a step is a name or an index"), "{error}");
    }
}
