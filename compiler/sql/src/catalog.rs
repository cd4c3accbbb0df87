//! The tables and views of a script.
//!
//! A table with a connector is read or written, not both; which, its use decides where `type` does not say. A table
//! without one is *memory*: a name for the rows that one INSERT gives it. A view is a bound query.
//!
//! Not here: what connectors mean (they validate their own options), and how a table is lowered.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use connectors_options::{CONNECTORS, Connector, OptionError, Options, Validated};
use datafusion_common::{DFSchema, TableReference};
use datafusion_expr::{Expr as DfExpr, LogicalPlan, TableSource};
use schema::{EVENT_TIME, Field, ScalarType, Schema};
use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, Span, code, did_you_mean, listed, nearest};
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
    /// What of its definition has no effect if it is a sink.
    pub(crate) sink_warnings: Vec<Diagnostic>,
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

    /// Validates the options for a direction. `columns`: what a sink writes. Those without effect are added to
    /// `warnings`.
    pub(crate) fn validate(
        &self,
        direction: Direction,
        columns: &Schema,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Validated, Vec<Diagnostic>> {
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
            let hint = format!("docs/connectors.md says which connectors are {is}s");
            return Err(vec![Diagnostic::error(code::DIRECTION, self.span, message).with_hint(hint)]);
        };
        let validated = result.map_err(|error| vec![self.option_error(error, columns)])?;
        let unknown: Vec<&str> = options.unknown().collect();
        if unknown.is_empty() {
            warnings.extend(options.warnings().iter().map(|warning| self.option_warning(warning)));
            return Ok(validated);
        }
        let known: Vec<&str> = COMMON_OPTIONS.iter().copied().chain(options.asked()).collect();
        Err(vec![self.unknown_options(&unknown, &known)])
    }

    fn option_error(&self, error: OptionError, columns: &Schema) -> Diagnostic {
        let option = self.options.iter().find(|option| Some(&option.key) == error.key.as_ref());
        let span = option.and_then(|option| option.value_span).or(self.span);
        let remedy = error.key.as_ref().map(|key| self.option_remedy(key, &error.message, columns));
        Diagnostic::error(code::OPTION, span, error.message).with_hint_opt(error.hint.or(remedy))
    }

    /// What to do about an option of which the connector says only what is wrong with it.
    fn option_remedy(&self, key: &str, message: &str, columns: &Schema) -> String {
        let assigned = |value: &str| match key.contains('.') {
            true => format!("'{key}' = '{value}'"),
            false => format!("{key} = '{value}'"),
        };
        if message.ends_with("is required") {
            let given = self.options.iter().map(|option| option.key.as_str());
            return match nearest(key, given.filter(|given| !COMMON_OPTIONS.contains(given))) {
                Some(near) => format!("Did you mean \"{key}\" in place of \"{near}\"?"),
                None => format!("add {} to the WITH clause", assigned("...")),
            };
        }
        if message.ends_with("is not supported yet") {
            return match key {
                "format" => format!("write {}", assigned("json")),
                _ => "leave it out".to_owned(),
            };
        }
        let choice = message.split_once(" must be one of ").and_then(|(_, rest)| rest.split_once(", not "));
        if let Some((choices, given)) = choice {
            let choices: Vec<&str> = choices.split(", ").map(|choice| choice.trim_matches('\'')).collect();
            return match nearest(given.trim_matches('\''), choices.iter().copied()) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => format!("write {}, or another of them", assigned(choices[0])),
            };
        }
        if let Some((name, _)) = message.strip_prefix("column \"").and_then(|rest| rest.split_once("\" in option ")) {
            let names = columns.fields.iter().map(|field| field.name.as_str());
            return match nearest(name, names.clone()) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => format!("columns are {}", listed(names)),
            };
        }
        if message.contains("must be true or false") {
            return format!("write {}", assigned("true"));
        }
        if message.contains(" number") {
            return format!("write a number: {}", assigned("1000"));
        }
        "docs/connectors.md describes the options".to_owned()
    }

    fn option_warning(&self, warning: &OptionError) -> Diagnostic {
        let option = self.options.iter().find(|option| Some(&option.key) == warning.key.as_ref());
        let span = option.and_then(|option| option.key_span).or(self.span);
        Diagnostic::warning(code::NO_EFFECT, span, &warning.message).with_hint_opt(warning.hint.clone())
    }

    fn unknown_options(&self, unknown: &[&str], known: &[&str]) -> Diagnostic {
        let first = self.options.iter().find(|option| unknown.contains(&option.key.as_str()));
        let span = first.and_then(|option| option.key_span).or(self.span);
        let list = unknown.iter().map(|key| format!("\"{key}\"")).collect::<Vec<_>>().join(", ");
        let hint = unknown.iter().find_map(|key| did_you_mean(key, known.iter().copied()));
        let hint = hint.unwrap_or_else(|| {
            let own = known.iter().copied().filter(|key| !COMMON_OPTIONS.contains(key));
            match listed(own) {
                own if own.is_empty() => format!("{} has no options of its own", self.connector.name()),
                own => format!("options of {} are {own}", self.connector.name()),
            }
        });
        Diagnostic::error(code::OPTION, span, format!("unknown options provided in WITH clause: {list}"))
            .with_hint(hint)
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

/// Connectors that users know from elsewhere.
const NOT_YET: &[&str] = &[
    "confluent",
    "delta",
    "fluvio",
    "iceberg",
    "kafka",
    "kinesis",
    "mqtt",
    "mysql",
    "nats",
    "polling_http",
    "postgres",
    "pulsar",
    "rabbitmq",
    "redis",
    "sse",
    "webhook",
    "websocket",
];

/// A connector that is not there, or not there yet.
pub(crate) fn unknown_connector(name: &str, span: Option<Span>) -> Diagnostic {
    let names = CONNECTORS.iter().map(|connector| connector.name());
    let all = || format!("connectors are {}", listed(names.clone()));
    if NOT_YET.contains(&name.to_lowercase().as_str()) {
        let message = format!("connector \"{name}\" is not supported yet");
        return Diagnostic::error(code::OPTION, span, message).with_hint(all());
    }
    let hint = did_you_mean(name, names.clone()).unwrap_or_else(all);
    Diagnostic::error(code::OPTION, span, format!("connector \"{name}\" does not exist")).with_hint(hint)
}
