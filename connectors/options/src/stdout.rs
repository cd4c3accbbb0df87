//! `stdout`: a sink that prints its rows as lines.

use formats::{Format, JsonOptions};
use schema::Schema;
use serde::{Deserialize, Serialize};

use crate::format::{Carrier, take_writing};
use crate::options::{OptionError, Options};
use crate::{Connector, Validated};

pub struct Stdout;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StdoutSink {
    /// How rows are printed: a line format, JSON unless said otherwise.
    pub format: Format,
}

impl Connector for Stdout {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn sink(&self, options: &mut Options, schema: &Schema) -> Option<Result<Validated, OptionError>> {
        let format = take_writing(options, schema, Carrier::Lines, Some(Format::Json(JsonOptions::default())));
        Some(format.and_then(|format| {
            let updates = format.has_updates();
            Ok(Validated::new(&StdoutSink { format }, Some(1))?.with_updates(updates))
        }))
    }
}
