//! What DataFusion's planner asks us while it binds: tables, functions, types, options.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion_sql::planner::ParserOptions;
use sqlparser::ast::DataType as SqlType;

use crate::catalog::{Catalog, Relation, RelationSource};
use crate::functions::registry;
use crate::types::scalar_type;

pub(crate) struct Context<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) options: &'a ConfigOptions,
}

/// Strings are `Utf8` everywhere, numbers with a point are floats, and columns know where they stand in the text.
pub(crate) fn parser_options() -> ParserOptions {
    ParserOptions::new().with_collect_spans(true).with_map_string_types_to_utf8view(false)
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let source = match self.catalog.relations.get(name.table()) {
            Some(Relation::Table(table)) => RelationSource { schema: table.schema().to_arrow(), plan: None },
            Some(Relation::View(plan) | Relation::Memory { rows: Some(plan), .. }) => {
                RelationSource { schema: Arc::clone(plan.schema().inner()), plan: Some(plan.clone()) }
            }
            Some(Relation::Memory { rows: None, .. } | Relation::Broken) | None => {
                return plan_err!("table \"{}\" does not exist", name.table());
            }
        };
        Ok(Arc::new(source))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &registry().planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        registry().scalars.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        registry().aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.options
    }

    fn udf_names(&self) -> Vec<String> {
        registry().scalars.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        vec![]
    }

    fn udaf_names(&self) -> Vec<String> {
        registry().aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        vec![]
    }
}

/// The types of CAST are those of columns.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, ty: &SqlType) -> Result<Option<FieldRef>> {
        match scalar_type(ty) {
            Ok(ty) => Ok(Some(Arc::new(Field::new("", ty.to_arrow(), true)))),
            Err(message) => plan_err!("{message}"),
        }
    }
}
