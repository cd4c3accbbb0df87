//! A kernel: a function bound to the types and constants of one call site.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, Datum, Scalar, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::ScalarValue;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};
use schema::ScalarType;

use crate::function::{self, Body, Function};
use crate::param::Param;
use crate::represent::{message, repeat, represent};

/// DataFusion's defaults: no time zone, so text without one means UTC.
static CONFIG: LazyLock<Arc<ConfigOptions>> = LazyLock::new(|| Arc::new(ConfigOptions::default()));

/// A block as an operator of ours sees one of its arguments.
pub(crate) enum Value {
    Column(ArrayRef),
    Constant(Scalar<ArrayRef>),
}

impl Value {
    /// For Arrow's kernels, which take either.
    pub(crate) fn datum(&self) -> &dyn Datum {
        match self {
            Value::Column(array) => array,
            Value::Constant(scalar) => scalar,
        }
    }

    pub(crate) fn data_type(&self) -> &DataType {
        self.datum().get().0.data_type()
    }

    /// One value for each row.
    pub(crate) fn array(&self, rows: usize) -> Result<ArrayRef, String> {
        match self {
            Value::Column(array) => Ok(Arc::clone(array)),
            Value::Constant(scalar) => repeat(&scalar.clone().into_inner(), rows),
        }
    }

    /// Replaces the array and keeps whether it is a constant.
    pub(crate) fn map(&self, change: &dyn Fn(&ArrayRef) -> Result<ArrayRef, String>) -> Result<Value, String> {
        Ok(match self {
            Value::Column(array) => Value::Column(change(array)?),
            Value::Constant(scalar) => Value::Constant(Scalar::new(change(&scalar.clone().into_inner())?)),
        })
    }
}

/// The body of an operator of ours: the arguments of a block of so many rows to its result.
pub(crate) type Block = Box<dyn Fn(&[Value], usize) -> Result<ArrayRef, String> + Send + Sync>;

/// A function bound to the types and constants of one call site.
pub struct Kernel {
    /// In the order of the function's arguments: `None` for a column.
    constants: Vec<Option<ArrayRef>>,
    columns: usize,
    code: Code,
    /// Representation of the result.
    ret: DataType,
}

enum Code {
    Udf(Udf),
    Own(Block),
}

struct Udf {
    function: Arc<ScalarUDF>,
    /// As the function wants them.
    arg_fields: Vec<FieldRef>,
    scalars: Vec<Option<ScalarValue>>,
    return_field: FieldRef,
}

impl Kernel {
    /// Binds a function to its arguments. `ret` is the type of the result, as the planner has decided it; for casts it
    /// is the target.
    ///
    /// # Errors
    /// When the function does not accept arguments of these types or one of the constants.
    pub fn new(function: fn() -> Function, params: &[Param], ret: &ScalarType) -> Result<Kernel, String> {
        let mut constants = Vec::with_capacity(params.len());
        for param in params {
            constants.push(param.constant.clone().transpose()?);
        }
        let code = match function().0 {
            Body::Udf(udf) => Code::Udf(Udf::bind(udf, params, &constants)?),
            Body::Own(bind) => Code::Own(bind(params, ret)?),
        };
        let columns = constants.iter().filter(|constant| constant.is_none()).count();
        Ok(Kernel { constants, columns, code, ret: ret.to_arrow() })
    }

    /// [`Kernel::new`] by the function's name. Keeps every function in the binary, so it is not for generated code.
    ///
    /// # Errors
    /// Also when there is no kernel of that name.
    pub fn named(name: &str, params: &[Param], ret: &ScalarType) -> Result<Kernel, String> {
        let function = function::by_name(name).ok_or_else(|| format!("function {name} does not exist"))?;
        Kernel::new(function, params, ret)
    }

    /// Evaluates a block. `columns` are the arguments that are not constants, in order, each of `rows` rows; so is the
    /// result.
    ///
    /// # Errors
    /// What the function says about a value that it cannot take.
    pub fn call(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, String> {
        if columns.len() != self.columns {
            return Err(format!("a kernel of {} columns was called with {}", self.columns, columns.len()));
        }
        if rows == 0 {
            return Ok(new_empty_array(&self.ret));
        }
        let result = match &self.code {
            Code::Udf(udf) => udf.call(columns, rows)?,
            Code::Own(block) => self.call_own(block, columns, rows)?,
        };
        let result = represent(&result, &self.ret)?;
        if result.len() != rows {
            return Err(format!("a kernel returned {} rows for a block of {rows}", result.len()));
        }
        Ok(result)
    }

    fn call_own(&self, block: &Block, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, String> {
        let mut columns = columns.iter();
        let mut values = Vec::with_capacity(self.constants.len());
        for constant in &self.constants {
            values.push(match constant {
                Some(value) => Value::Constant(Scalar::new(Arc::clone(value))),
                None => Value::Column(Arc::clone(columns.next().expect("as many columns as were counted"))),
            });
        }
        // Arrow's kernels give one row for constants only.
        if self.columns == 0 { repeat(&block(&values, 1)?, rows) } else { block(&values, rows) }
    }
}

impl Udf {
    fn bind(function: Arc<ScalarUDF>, params: &[Param], constants: &[Option<ArrayRef>]) -> Result<Udf, String> {
        let fields: Vec<FieldRef> = params
            .iter()
            .enumerate()
            .map(|(i, param)| Arc::new(Field::new(format!("arg_{i}"), param.ty.to_arrow(), param.nullable)))
            .collect();
        let arg_fields = fields_with_udf(&fields, function.as_ref()).map_err(message)?;
        let mut scalars = Vec::with_capacity(constants.len());
        for (constant, field) in constants.iter().zip(&arg_fields) {
            scalars.push(match constant {
                Some(value) => {
                    let value = represent(value, field.data_type())?;
                    Some(ScalarValue::try_from_array(&value, 0).map_err(message)?)
                }
                None => None,
            });
        }
        let scalar_arguments: Vec<_> = scalars.iter().map(Option::as_ref).collect();
        let args = ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalar_arguments };
        let return_field = function.return_field_from_args(args).map_err(message)?;
        Ok(Udf { function, arg_fields, scalars, return_field })
    }

    fn call(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, String> {
        let mut columns = columns.iter();
        let mut args = Vec::with_capacity(self.scalars.len());
        for (scalar, field) in self.scalars.iter().zip(&self.arg_fields) {
            args.push(match scalar {
                Some(value) => ColumnarValue::Scalar(value.clone()),
                None => {
                    let column = columns.next().expect("as many columns as were counted");
                    ColumnarValue::Array(represent(column, field.data_type())?)
                }
            });
        }
        let args = ScalarFunctionArgs {
            args,
            arg_fields: self.arg_fields.clone(),
            number_rows: rows,
            return_field: Arc::clone(&self.return_field),
            config_options: Arc::clone(&CONFIG),
        };
        match self.function.invoke_with_args(args).map_err(message)? {
            ColumnarValue::Array(array) if array.len() == 1 && rows != 1 => repeat(&array, rows),
            ColumnarValue::Array(array) => Ok(array),
            ColumnarValue::Scalar(value) => value.to_array_of_size(rows).map_err(message),
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.code {
            Code::Udf(udf) => udf.function.name(),
            Code::Own(_) => "operator",
        };
        write!(f, "Kernel({name}, {} columns -> {})", self.columns, self.ret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    fn text(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn constants_stay_constants_and_columns_come_in_order() {
        let params = [Param::column(ScalarType::Utf8, true), Param::utf8("(b+)"), Param::utf8("<$1>")];
        let kernel = Kernel::new(function::regexp_replace, &params, &ScalarType::Utf8).unwrap();
        let got = kernel.call(&[text(&[Some("abbc"), None, Some("x")])], 3).unwrap();
        assert_eq!(&got, &text(&[Some("a<bb>c"), None, Some("x")]));
        assert!(kernel.call(&[], 3).is_err());
    }

    #[test]
    fn only_constants_give_a_block_too() {
        let kernel = Kernel::new(function::upper, &[Param::utf8("a")], &ScalarType::Utf8).unwrap();
        assert_eq!(&kernel.call(&[], 2).unwrap(), &text(&[Some("A"), Some("A")]));
        let kernel = Kernel::new(
            function::op_add,
            &[Param::int(ScalarType::Int64, 1), Param::int(ScalarType::Int64, 2)],
            &ScalarType::Int64,
        );
        assert_eq!(kernel.unwrap().call(&[], 3).unwrap().as_primitive::<Int64Type>().values(), &[3, 3, 3]);
        let kernel = Kernel::new(function::now, &[], &ScalarType::TIMESTAMP_NS).unwrap();
        assert_eq!(kernel.call(&[], 4).unwrap().len(), 4);
    }

    #[test]
    fn a_row_that_fails_fails_the_block() {
        let params = [Param::column(ScalarType::Int64, true), Param::column(ScalarType::Int64, true)];
        let kernel = Kernel::new(function::op_divide, &params, &ScalarType::Int64).unwrap();
        let left: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30]));
        let right: ArrayRef = Arc::new(Int64Array::from(vec![5, 0, 3]));
        assert_eq!(kernel.call(&[left, right], 3).unwrap_err(), "division by zero");
    }

    #[test]
    fn what_a_function_does_not_take_is_said_when_the_kernel_is_made() {
        assert!(Kernel::named("no_such", &[], &ScalarType::Utf8).unwrap_err().contains("no_such"));
        let wrong = Kernel::new(function::sqrt, &[Param::column(ScalarType::window(), true)], &ScalarType::Float64);
        assert!(wrong.is_err());
    }
}
