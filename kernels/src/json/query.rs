//! The functions that take a JSONPath, which must be a constant: it is parsed, and refused, when the kernel is made.
//!
//! | function | returns |
//! |---|---|
//! | `get_first_json_object(json, path)` | the JSON text of the first value selected, or null |
//! | `extract_json(json, path)` | the JSON texts of all of them, in document order |
//! | `extract_json_string(json, path)` | what the first one says, if it is a string, or null |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::json::get::{coerce_json, list_of_text};
use crate::json::jsonpath::JsonPath;
use crate::json::scan::unquote;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Want {
    First,
    All,
    FirstString,
}

pub(crate) fn get_first_json_object() -> Arc<ScalarUDF> {
    query("get_first_json_object", &[], Want::First)
}

pub(crate) fn extract_json() -> Arc<ScalarUDF> {
    query("extract_json", &["get_json_objects"], Want::All)
}

pub(crate) fn extract_json_string() -> Arc<ScalarUDF> {
    query("extract_json_string", &["json_extract_string"], Want::FirstString)
}

fn query(name: &'static str, aliases: &[&str], want: Want) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(JsonQuery {
        name,
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        want,
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonQuery {
    name: &'static str,
    aliases: Vec<String>,
    want: Want,
    signature: Signature,
}

impl ScalarUDFImpl for JsonQuery {
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
        match types {
            [json, path] => Ok(vec![coerce_json(self.name, json)?, coerce_json(self.name, path)?]),
            _ => plan_err!("{} takes a JSON text and a path", self.name),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.want {
            Want::First | Want::FirstString => DataType::Utf8,
            Want::All => list_of_text(),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        // Refuses a wrong path when the query is planned.
        if let [_, Some(path)] = args.scalar_arguments {
            self.path(path)?;
        }
        Ok(Arc::new(Field::new(self.name, self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [json, ColumnarValue::Scalar(path)] = &args.args[..] else {
            return exec_err!("{}: the path must be a constant", self.name);
        };
        let path = self.path(path)?;
        let constant = matches!(json, ColumnarValue::Scalar(_));
        let json = json.to_array(if constant { 1 } else { args.number_rows })?;
        let result = select(self.want, json.as_string::<i32>(), path.as_ref());
        match constant {
            true => ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}

impl JsonQuery {
    /// `None` for a null path.
    fn path(&self, path: &ScalarValue) -> Result<Option<JsonPath>> {
        match path.try_as_str() {
            Some(Some(text)) => match JsonPath::parse(text) {
                Ok(path) => Ok(Some(path)),
                Err(error) => plan_err!("{error}"),
            },
            _ if path.is_null() => Ok(None),
            _ => plan_err!("{}: a path is text, not {path}", self.name),
        }
    }
}

fn select(want: Want, json: &StringArray, path: Option<&JsonPath>) -> ArrayRef {
    let mut found = json.iter().map(|json| Some(path?.select(json?)));
    match want {
        Want::First | Want::FirstString => {
            let mut out = StringBuilder::with_capacity(json.len(), json.len() * 8);
            for values in found {
                let first = values.and_then(|values| values.first().copied());
                match want {
                    Want::FirstString => out.append_option(first.and_then(unquote)),
                    _ => out.append_option(first),
                }
            }
            Arc::new(out.finish())
        }
        Want::All => {
            let mut out = ListBuilder::new(StringBuilder::new());
            found.by_ref().for_each(|values| {
                let known = values.is_some();
                values.into_iter().flatten().for_each(|value| out.values().append_value(value));
                out.append(known);
            });
            Arc::new(out.finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kernel, Param, ScalarType, function};

    #[test]
    fn first_all_and_string() {
        let rows = vec![Some(r#"{"a": [{"b": "x"}, {"b": 2}]}"#), Some("{}"), Some("oops"), None];
        let column: ArrayRef = Arc::new(StringArray::from(rows));
        let params = [Param::column(ScalarType::Json, true), Param::utf8("$.a[*].b")];
        let of = |function, ret: ScalarType| {
            Kernel::new(function, &params, &ret).unwrap().call(std::slice::from_ref(&column), 4)
        };
        let first = of(function::get_first_json_object, ScalarType::Utf8).unwrap();
        assert_eq!(first.as_string::<i32>(), &StringArray::from(vec![Some("\"x\""), None, None, None]));
        let said = of(function::extract_json_string, ScalarType::Utf8).unwrap();
        assert_eq!(said.as_string::<i32>(), &StringArray::from(vec![Some("x"), None, None, None]));
        let all = of(function::extract_json, ScalarType::List(Box::new(ScalarType::Utf8))).unwrap();
        let all = all.as_list::<i32>();
        let texts =
            |row: usize| all.value(row).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(texts(0), ["\"x\"", "2"]);
        assert!(texts(1).is_empty() && all.is_valid(2) && all.is_null(3));
    }

    #[test]
    fn a_wrong_path_is_refused_when_the_kernel_is_made() {
        let params = [Param::column(ScalarType::Json, true), Param::utf8("a.b")];
        let error = Kernel::new(function::extract_json, &params, &ScalarType::Utf8).unwrap_err();
        assert_eq!(error, "JSON path \"a.b\": must begin with $");
    }
}
