//! The tables and views of a script.
//!
//! A table with a connector is read or written, not both; which, its use decides where `type` does not say. A table
//! without one is *memory*: a name for the rows that one INSERT gives it. A view is a bound query.
//!
//! Not here: what connectors mean (they validate their own options), and how a table is lowered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use connectors_options::{Connector, OptionError, Options, Validated};
use datafusion_common::{DFSchema, TableReference};
use datafusion_expr::{Expr as DfExpr, LogicalPlan, TableSource};
use schema::{EVENT_TIME, Field, ScalarType, Schema};
use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, Span, code, did_you_mean};
use crate::parse::OptionDef;

/// The names of a script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) relations: BTreeMap<String, Relation>,
}

#[derive(Clone, Debug)]
pub(crate) enum Relation {
    Table(Arc<Table>),
    Memory {
        schema: Schema,
        rows: Option<LogicalPlan>,
    },
    View(LogicalPlan),
    /// Its definition has errors, which have been told: what refers to it is not bound.
    Broken,
}

/// A table with a connector.
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) span: Option<Span>,
    pub(crate) connector: &'static dyn Connector,
    pub(crate) options: Vec<OptionDef>,
    pub(crate) direction: Option<Direction>,
    /// Empty: a sink that takes the columns of its INSERT.
    pub(crate) columns: Vec<Column>,
    /// The column that is the event time; `None`: the source tells it beside the columns.
    pub(crate) event_time: Option<usize>,
    /// Over all columns; `None`: the event time less a second.
    pub(crate) watermark: Option<DfExpr>,
    pub(crate) idle_micros: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Source,
    Sink,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) field: Field,
    pub(crate) origin: Origin,
}

#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Data,
    Metadata(String),
    /// Computed at the source, from columns that are not.
    Virtual(DfExpr),
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({}, {})", self.name, self.connector.name())
    }
}

/// Options that every table has, whatever its connector.
pub(crate) const COMMON_OPTIONS: &[&str] = &["connector", "type", "event_time_field", "watermark_field", "idle_micros"];

impl Table {
    pub(crate) fn schema(&self) -> Schema {
        Schema::new(self.columns.iter().map(|column| column.field.clone()).collect())
    }

    /// The columns that the source gives: no virtual ones.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, column)| !matches!(column.origin, Origin::Virtual(_)))
    }

    /// Names for expressions over all columns.
    pub(crate) fn df_schema(&self) -> DFSchema {
        qualified(&self.name, &self.schema())
    }

    /// Names for the expressions of virtual columns.
    pub(crate) fn stored_df_schema(&self) -> DFSchema {
        let fields = self.stored().map(|(_, column)| column.field.clone()).collect();
        qualified(&self.name, &Schema::new(fields))
    }

    fn connector_options(&self) -> Options {
        let own = self.options.iter().filter(|option| !COMMON_OPTIONS.contains(&option.key.as_str()));
        Options::new(own.map(|option| (option.key.clone(), option.value.clone())))
    }

    /// Validates the options for a direction. `columns`: what a sink writes.
    pub(crate) fn validate(&self, direction: Direction, columns: &Schema) -> Result<Validated, Vec<Diagnostic>> {
        let mut options = self.connector_options();
        let (result, wrong) = match direction {
            Direction::Source => {
                let data = self.columns.iter().filter(|column| matches!(column.origin, Origin::Data));
                let schema = Schema::new(data.map(|column| column.field.clone()).collect());
                (self.connector.source(&mut options, &schema), "read from table")
            }
            Direction::Sink => (self.connector.sink(&mut options, columns), "insert into table"),
        };
        let Some(result) = result else {
            let is = if direction == Direction::Source { "source" } else { "sink" };
            let message = format!("attempted to {wrong} \"{}\", but {} is no {is}", self.name, self.connector.name());
            return Err(vec![Diagnostic::error(code::DIRECTION, self.span, message)]);
        };
        let validated = result.map_err(|error| vec![self.option_error(error)])?;
        let unknown: Vec<&str> = options.unknown().collect();
        if unknown.is_empty() {
            return Ok(validated);
        }
        Err(vec![self.unknown_options(&unknown)])
    }

    fn option_error(&self, error: OptionError) -> Diagnostic {
        let option = self.options.iter().find(|option| Some(&option.key) == error.key.as_ref());
        let span = option.and_then(|option| option.value_span).or(self.span);
        Diagnostic::error(code::OPTION, span, error.message).with_hint_opt(error.hint)
    }

    fn unknown_options(&self, unknown: &[&str]) -> Diagnostic {
        let first = self.options.iter().find(|option| unknown.contains(&option.key.as_str()));
        let span = first.and_then(|option| option.key_span).or(self.span);
        let list = unknown.iter().map(|key| format!("\"{key}\"")).collect::<Vec<_>>().join(", ");
        let hint = unknown.iter().find_map(|key| did_you_mean(key, COMMON_OPTIONS.iter().copied()));
        Diagnostic::error(code::OPTION, span, format!("unknown options provided in WITH clause: {list}"))
            .with_hint_opt(hint)
    }
}

/// Name of the hidden event time column; no column may have it.
pub(crate) fn hidden_event_time() -> Field {
    Field::new(EVENT_TIME, ScalarType::TIMESTAMP_NS, false)
}

pub(crate) fn qualified(name: &str, schema: &Schema) -> DFSchema {
    DFSchema::try_from_qualified_schema(TableReference::bare(name), schema.to_arrow().as_ref())
        .expect("the names of a table's columns are unique")
}

impl Catalog {
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.relations.keys().cloned().collect()
    }
}

/// A relation as DataFusion's planner sees it: columns, and for views the plan.
pub(crate) struct RelationSource {
    pub(crate) schema: SchemaRef,
    pub(crate) plan: Option<LogicalPlan>,
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        self.plan.as_ref().map(Cow::Borrowed)
    }
}

/// The connector of that name.
pub(crate) fn find_connector(name: &str) -> Option<&'static dyn Connector> {
    // Unit tests have connectors of their own, whose options and columns do not change under them.
    #[cfg(test)]
    if let Some(connector) = crate::tests::connector(name) {
        return Some(connector);
    }
    connectors_options::find(name)
}
