//! `run --report FILE`: how the job ended, and what its tasks have counted, as JSON.
//!
//! The file is made before anything is compiled, so that one which cannot be written is named then, and not when the job
//! has ended. Until then it is empty.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use controller::JobStatus;
use protocol::job::JobPlan;
use protocol::report::TaskReport;
use serde_json::{Value, json};

use crate::failure::Failure;

pub(crate) struct Report {
    path: PathBuf,
    file: File,
}

impl Report {
    pub(crate) fn create(path: &Path) -> Result<Report, Failure> {
        match File::create(path) {
            Ok(file) => Ok(Report { path: path.to_owned(), file }),
            Err(error) => Err(Failure::usage(format!("cannot create the report \"{}\": {error}", path.display()))
                .with_hint(Some("Give a file that can be written with --report."))),
        }
    }

    pub(crate) fn write(&self, status: &JobStatus, plan: &JobPlan, running: Duration) -> Result<(), Failure> {
        let text = format!("{:#}\n", document(status, plan, running));
        let mut file = &self.file;
        file.write_all(text.as_bytes())
            .map_err(|error| Failure::job(format!("cannot write the report \"{}\": {error}", self.path.display())))
    }
}

fn document(status: &JobStatus, plan: &JobPlan, running: Duration) -> Value {
    let name = |stage: u32| plan.stages.get(stage as usize).map_or("", |stage| stage.name.as_str()).to_owned();
    let tasks = status.progress.iter().map(|counted| TaskReport { name: name(counted.stage), counted: *counted });
    let tasks: Vec<TaskReport> = tasks.collect();
    json!({
        "state": status.state.name(),
        "attempt": status.generation,
        "restarts": status.restarts,
        "seconds": running.as_secs_f64(),
        "tasks": tasks,
    })
}
