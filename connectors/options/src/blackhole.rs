//! `blackhole`: a sink that forgets its rows.

use schema::Schema;
use serde::{Deserialize, Serialize};

use crate::options::{OptionError, Options};
use crate::{Connector, Validated};

pub struct Blackhole;

/// Nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlackholeSink {}

impl Connector for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn sink(&self, options: &mut Options, _schema: &Schema) -> Option<Result<Validated, OptionError>> {
        // A sink that is swapped for this one may keep its format, with all that belongs to it.
        for key in ["format", "bad_data", "framing"] {
            options.take(key);
        }
        for prefix in ["framing.", "json.", "csv.", "parquet.", "avro.", "protobuf."] {
            options.take_all(prefix);
        }
        Some(Validated::new(&BlackholeSink {}, None).map(|validated| validated.with_updates(true)))
    }
}
