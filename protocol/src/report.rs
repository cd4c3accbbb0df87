//! What tasks have counted, as a document for people and their programs: `run --report`, of the program and of a
//! pipeline's binary.

use serde::Serialize;

use crate::rpc::TaskProgress;

/// `{"name": "bids", "stage": 0, "task": 1, "rows_in": 512, ...}`
#[derive(Clone, Debug, Serialize)]
pub struct TaskReport {
    /// The stage's.
    pub name: String,
    #[serde(flatten)]
    pub counted: TaskProgress,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_one_flat_object() {
        let counted = TaskProgress { stage: 2, late_rows: 3, ..TaskProgress::default() };
        let document = serde_json::json!(TaskReport { name: "bids".into(), counted });
        assert_eq!(
            (&document["name"], &document["stage"], &document["late_rows"]),
            (&"bids".into(), &2.into(), &3.into())
        );
        assert_eq!(document["watermark"], serde_json::Value::Null);
    }
}
