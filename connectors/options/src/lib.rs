//! What every connector accepts: options, formats and their validation, without any client.
//!
//! The planner and the UI know a connector from here; its runtime lives in `connectors/<name>`. A connector is one
//! file here (its options), one crate there (its runtime), and one line in [`CONNECTORS`].
//!
//! Validation turns the strings of a `WITH (...)` clause into a typed struct, which travels to the worker as JSON
//! and is read there into the same struct. Nothing is validated twice and no string is parsed at run time.

pub mod options;

use schema::{ScalarType, Schema};

pub use options::{OptionError, Options};

/// The planner's half of a connector.
pub trait Connector: Sync {
    /// As in `connector = '...'`.
    fn name(&self) -> &'static str;

    /// The columns of a generator, which a `CREATE TABLE` need not (but may) list.
    fn schema(&self) -> Option<Schema> {
        None
    }

    /// Keys for `METADATA FROM 'key'`, and their types.
    fn metadata(&self) -> &'static [(&'static str, ScalarType)] {
        &[]
    }

    /// Validates the options of a source, taking those that it knows from `options`. `schema` has the columns that
    /// are read (no virtual ones, no metadata). `None`: this connector is no source.
    fn source(&self, _options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        None
    }

    /// The same for a sink; `schema` has the columns that are written.
    fn sink(&self, _options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        None
    }
}

/// Options that have been understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// The connector's own options struct, for its runtime.
    pub config: serde_json::Value,
    /// Most tasks that may run at once; `None`: any number.
    pub max_parallelism: Option<usize>,
}

/// All connectors, in alphabetical order.
pub static CONNECTORS: &[&dyn Connector] = &[];

/// The connector of that name.
pub fn find(name: &str) -> Option<&'static dyn Connector> {
    CONNECTORS.iter().copied().find(|connector| connector.name() == name)
}
