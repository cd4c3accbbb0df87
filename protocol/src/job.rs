//! The execution plan of a job: everything a worker needs beside the binary.
//!
//! What is here never decides what is generated: a new path, topic, parallelism or batch size starts no compiler.

use schema::{Changelog, Schema};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Outside, TableSpec};

/// A graph of stages, as JSON beside the binary in the artifact's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobPlan {
    /// Digest of the generated sources that the stages belong to.
    pub code: String,
    pub stages: Vec<StagePlan>,
    pub edges: Vec<EdgePlan>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StagePlan {
    /// Its index in `stages`.
    pub id: usize,
    pub name: String,
    /// What it does, a line for each operator, for EXPLAIN and the UI: `filter price > 100`.
    pub operators: Vec<String>,
    pub parallelism: usize,
    /// False for a stage that only passes rows on; it has no generated code.
    pub generated: bool,
    pub source: Option<SourcePlan>,
    pub sink: Option<SinkPlan>,
    pub input_schema: Schema,
    pub output_schema: Schema,
    /// What its tasks keep, by number of the table.
    #[serde(default)]
    pub tables: Vec<TableSpec>,
    /// How long it keeps groups that get no rows, by the worker's clock; `None`: it does not forget any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updating_ttl_micros: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourcePlan {
    pub table: String,
    pub connector: String,
    pub options: serde_json::Value,
    /// One for each column of the stage's input schema.
    pub metadata: Vec<Option<String>>,
    /// True when a `Watermark` operator of the stage derives the watermark; otherwise there is none before the end.
    pub watermark: bool,
    pub idle_micros: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkPlan {
    pub table: String,
    pub connector: String,
    pub options: serde_json::Value,
    /// Set when rows can be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changelog: Option<Changelog>,
}

impl From<&SourcePlan> for Outside {
    fn from(source: &SourcePlan) -> Outside {
        Outside { table: source.table.clone(), connector: source.connector.clone() }
    }
}

impl From<&SinkPlan> for Outside {
    fn from(sink: &SinkPlan) -> Outside {
        Outside { table: sink.table.clone(), connector: sink.connector.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgePlan {
    pub from: usize,
    pub to: usize,
    /// To which of the receiver's inputs: 0, or 1 for the right side of a join.
    #[serde(default)]
    pub port: usize,
    pub exchange: ExchangePlan,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangePlan {
    /// Task i to task i.
    Forward,
    /// Rows with equal values in these columns to the same task.
    Hash(Vec<usize>),
    /// Everything to task 0.
    Gather,
}

impl JobPlan {
    /// Tasks of all stages.
    pub fn tasks(&self) -> usize {
        self.stages.iter().map(|stage| stage.parallelism).sum()
    }
}

/// A number of bytes with a unit: `2GiB`, `512 MB`, `4096`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        let parsed = ["2GiB", "512 MB", "4096", "1k", "0", "3 tib"].map(parse_bytes);
        assert_eq!(parsed, [2 << 30, 512_000_000, 4096, 1024, 0, 3 << 40].map(Some));
        for wrong in ["", "GB", "-1", "1.5GB", "1 parsec", "99999999999 TiB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }
}
