//! What checkpoints there are, and what they are made of: for people who look into them.
//!
//! It only reads, and may do so beside whoever runs the job: nothing is claimed, made or removed. What the collector takes
//! away meanwhile is missing, and said to be.
//!
//! Not here: the rows in state files (the worker library's `export`), texts and tables for a terminal.

use std::collections::BTreeSet;
use std::sync::Arc;

use artifacts::objects::{Objects, open_objects_that_exist};
use protocol::checkpoint::{Manifest, StageState, StateFile, TableState};
use serde_json::Value;

use crate::log::{Log, LogError, Savepoint};

/// The checkpoints below a storage URL.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    objects: Arc<dyn Objects>,
}

/// The checkpoints of one job.
#[derive(Clone, Debug)]
pub struct JobCheckpoints {
    pub job: String,
    /// The one that the log belongs to.
    pub generation: u64,
    /// The newest first.
    pub manifests: Vec<Manifest>,
    pub savepoints: Vec<Savepoint>,
    /// All that the job has in the store, with what the collector has not removed yet.
    pub objects: usize,
    pub bytes: u64,
}

impl Checkpoints {
    /// Opens the store at a URL, which must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(url: &str) -> Result<Checkpoints, LogError> {
        Ok(Checkpoints { objects: open_objects_that_exist(url)? })
    }

    pub fn objects(&self) -> Arc<dyn Objects> {
        self.objects.clone()
    }

    pub fn log(&self, job: &str) -> Log {
        Log::new(self.objects.clone(), job)
    }

    /// All jobs that have a log. Their names grow with time, so the one that was submitted last is the last.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn jobs(&self) -> Result<Vec<String>, LogError> {
        let mut jobs = BTreeSet::new();
        for entry in self.objects.list("").await? {
            if let Some((job, _)) = entry.name.split_once("/log/") {
                jobs.insert(job.to_owned());
            }
        }
        Ok(jobs.into_iter().collect())
    }

    /// The newest `count` checkpoints of a job, and all savepoints.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn of_job(&self, job: &str, count: usize) -> Result<JobCheckpoints, LogError> {
        let log = self.log(job);
        let tail = log.tail(count.max(1)).await?;
        let objects = log.list("").await?;
        Ok(JobCheckpoints {
            job: job.to_owned(),
            generation: tail.generation,
            manifests: tail.manifests,
            savepoints: log.savepoints().await?,
            objects: objects.len(),
            bytes: objects.iter().map(|entry| entry.bytes).sum(),
        })
    }
}

/// How much state there is. Rows are those in files: of a key that has changed in several epochs there are several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub files: usize,
    pub rows: u64,
    pub bytes: u64,
}

impl Totals {
    pub fn of<'a>(files: impl IntoIterator<Item = &'a StateFile>) -> Totals {
        files.into_iter().fold(Totals::default(), |sum, file| Totals {
            files: sum.files + 1,
            rows: sum.rows + file.rows,
            bytes: sum.bytes + file.bytes,
        })
    }

    /// Of all tables.
    pub fn of_manifest(manifest: &Manifest) -> Totals {
        Totals::of(manifest.stages.iter().flat_map(|stage| &stage.tables).flat_map(|table| &table.files))
    }
}

/// How far a stage's event time had come: its slowest task that had not ended. `None`: not all have a watermark.
pub fn watermark(stage: &StageState) -> Option<i64> {
    stage.tasks.iter().filter(|task| !task.ended).map(|task| task.watermark).min().flatten()
}

/// What of a stage has changed from one checkpoint to another.
#[derive(Clone, Debug, PartialEq)]
pub struct StageGrowth {
    pub stage: String,
    pub watermark: (Option<i64>, Option<i64>),
    /// Of a source, by task.
    pub positions: (Vec<Value>, Vec<Value>),
    pub tables: Vec<TableGrowth>,
}

/// What of a table has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableGrowth {
    pub table: String,
    pub before: Totals,
    pub after: Totals,
    /// Files that only the second has, and those that only the first has.
    pub added: Totals,
    pub removed: Totals,
}

/// Compares two checkpoints, stage by stage: those of the second in their order, then those that it does not have.
pub fn growth(before: &Manifest, after: &Manifest) -> Vec<StageGrowth> {
    let gone = before.stages.iter().filter(|stage| stage_named(after, &stage.name).is_none());
    let names = after.stages.iter().chain(gone).map(|stage| stage.name.as_str());
    names.map(|name| stage_growth(name, stage_named(before, name), stage_named(after, name))).collect()
}

fn stage_named<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a StageState> {
    manifest.stages.iter().find(|stage| stage.name == name)
}

/// No files where there is no such table.
fn files_of<'a>(tables: &'a [TableState], name: &str) -> &'a [StateFile] {
    tables.iter().find(|table| table.spec.name == name).map_or(&[], |table| &table.files)
}

fn stage_growth(name: &str, before: Option<&StageState>, after: Option<&StageState>) -> StageGrowth {
    let old: &[TableState] = before.map_or(&[], |stage| &stage.tables);
    let new: &[TableState] = after.map_or(&[], |stage| &stage.tables);
    let gone = old.iter().filter(|table| new.iter().all(|other| other.spec.name != table.spec.name));
    let names = new.iter().chain(gone).map(|table| table.spec.name.as_str());
    let grown = names.map(|table| {
        let (old, new) = (files_of(old, table), files_of(new, table));
        TableGrowth {
            table: table.to_owned(),
            before: Totals::of(old),
            after: Totals::of(new),
            added: Totals::of(new.iter().filter(|file| !old.contains(file))),
            removed: Totals::of(old.iter().filter(|file| !new.contains(file))),
        }
    });
    StageGrowth {
        stage: name.to_owned(),
        watermark: (before.and_then(watermark), after.and_then(watermark)),
        positions: (before.map(positions).unwrap_or_default(), after.map(positions).unwrap_or_default()),
        tables: grown.collect(),
    }
}

/// Where the tasks of a source read on; nothing of one that cannot be read again.
pub fn positions(stage: &StageState) -> Vec<Value> {
    stage.tasks.iter().filter_map(|task| task.source.as_ref()?.position.clone()).collect()
}

/// A table that was asked for, and is not the name of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "checkpoint {epoch} has {} table \"{wanted}\"",
    if *several { "more than one" } else { "no" }
)]
pub struct NoTable {
    pub epoch: u64,
    pub wanted: String,
    /// There are several of that name.
    pub several: bool,
    /// What can be asked for.
    pub tables: Vec<String>,
}

/// The table of that name, `STAGE/TABLE`; the stage, by name or number, may be left out where no other has such a table.
///
/// # Errors
/// When there is none, or more than one.
pub fn table<'a>(manifest: &'a Manifest, wanted: &str) -> Result<(&'a StageState, &'a TableState), NoTable> {
    let all = move || manifest.stages.iter().flat_map(|stage| stage.tables.iter().map(move |table| (stage, table)));
    let whole = |stage: &StageState, table: &TableState| {
        let name = &table.spec.name;
        wanted == format!("{}/{name}", stage.name) || wanted == format!("{}/{name}", stage.stage)
    };
    if let Some(found) = all().find(|(stage, table)| whole(stage, table)) {
        return Ok(found);
    }
    let mut named = all().filter(|(_, table)| table.spec.name == wanted);
    match (named.next(), named.next()) {
        (Some(found), None) => Ok(found),
        (found, _) => Err(NoTable {
            epoch: manifest.epoch,
            wanted: wanted.to_owned(),
            several: found.is_some(),
            tables: all().map(|(stage, table)| format!("{}/{}", stage.name, table.spec.name)).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use protocol::checkpoint::{SourceState, TableKind, TableSpec, TaskState};
    use serde_json::json;

    use super::*;
    use crate::log::tests::manifest;

    fn file(epoch: u64, rows: u64) -> StateFile {
        StateFile {
            path: format!("state/{epoch:010}-1-1-0-groups.parquet"),
            sha256: String::new(),
            bytes: rows * 10,
            rows,
            epoch,
            generation: 1,
            task: 0,
            hashes: ("0".into(), "f".into()),
            expires: None,
        }
    }

    fn stage(number: usize, name: &str, tables: &[(&str, &[StateFile])], tasks: Vec<TaskState>) -> StageState {
        let table = |(name, files): &(&str, &[StateFile])| TableState {
            spec: TableSpec {
                name: (*name).to_owned(),
                kind: TableKind::Keyed,
                version: 1,
                keys: 1,
                columns: Default::default(),
                lifetime: None,
                operator: Default::default(),
            },
            files: files.to_vec(),
        };
        StageState {
            stage: number,
            name: name.to_owned(),
            operators: vec![],
            source: None,
            sink: None,
            tables: tables.iter().map(table).collect(),
            tasks,
        }
    }

    fn task(watermark: Option<i64>, ended: bool, position: Option<Value>) -> TaskState {
        let source = position.map(|position| SourceState { position: Some(position), watermarks: vec![] });
        TaskState { watermark, ended, source, ..TaskState::default() }
    }

    #[test]
    fn what_has_grown_is_told_by_table() {
        let source = |row: u64| stage(0, "bids", &[], vec![task(Some(row as i64), false, Some(json!(row)))]);
        let (one, two, three) = (file(3, 5), file(4, 2), file(5, 7));
        let before = Manifest {
            stages: vec![
                source(10),
                stage(
                    1,
                    "sums",
                    &[("groups", &[one.clone(), two.clone()]), ("old", std::slice::from_ref(&one))],
                    vec![],
                ),
                stage(2, "gone", &[("groups", &[])], vec![task(None, false, None), task(Some(1), false, None)]),
            ],
            ..manifest(0)
        };
        let after = Manifest {
            stages: vec![source(25), stage(2, "sums", &[("groups", &[two.clone(), three.clone()])], vec![])],
            ..manifest(0)
        };
        assert_eq!(Totals::of_manifest(&before), Totals { files: 3, rows: 12, bytes: 120 });
        let grown = growth(&before, &after);
        let names: Vec<_> = grown.iter().map(|stage| stage.stage.as_str()).collect();
        assert_eq!(names, ["bids", "sums", "gone"]);
        assert_eq!(
            (grown[0].watermark, &grown[0].positions),
            ((Some(10), Some(25)), &(vec![json!(10)], vec![json!(25)]))
        );
        let groups = TableGrowth {
            table: "groups".into(),
            before: Totals::of([&one, &two]),
            after: Totals::of([&two, &three]),
            added: Totals::of([&three]),
            removed: Totals::of([&one]),
        };
        let old = TableGrowth {
            table: "old".into(),
            before: Totals::of([&one]),
            after: Totals::default(),
            added: Totals::default(),
            removed: Totals::of([&one]),
        };
        assert_eq!(grown[1].tables, [groups, old]);
        assert_eq!((grown[2].tables.len(), grown[2].watermark), (1, (None, None)));
        assert!(growth(&before, &before).iter().flat_map(|stage| &stage.tables).all(|table| table.added.files == 0));
    }

    #[test]
    fn a_watermark_is_that_of_the_slowest_task_that_goes_on() {
        let of = |tasks| watermark(&stage(0, "s", &[], tasks));
        assert_eq!(of(vec![]), None);
        assert_eq!(
            of(vec![task(Some(7), false, None), task(Some(5), false, None), task(Some(1), true, None)]),
            Some(5)
        );
        assert_eq!(of(vec![task(Some(7), false, None), task(None, false, None)]), None);
        assert_eq!(of(vec![task(Some(7), true, None)]), None);
    }

    #[test]
    fn tables_are_found_by_name() {
        let stages = vec![
            stage(1, "by_auction", &[("groups", &[]), ("count(DISTINCT a/b)", &[])], vec![]),
            stage(3, "by_kind", &[("groups", &[])], vec![]),
        ];
        let manifest = Manifest { epoch: 7, stages, ..manifest(0) };
        let find = |wanted| table(&manifest, wanted).map(|(stage, table)| (stage.stage, table.spec.name.as_str()));
        assert_eq!(find("by_kind/groups"), Ok((3, "groups")));
        assert_eq!(find("1/groups"), Ok((1, "groups")));
        assert_eq!(find("count(DISTINCT a/b)"), Ok((1, "count(DISTINCT a/b)")));
        let error = find("groups").unwrap_err();
        assert_eq!(error.to_string(), "checkpoint 7 has more than one table \"groups\"");
        assert_eq!(error.tables, ["by_auction/groups", "by_auction/count(DISTINCT a/b)", "by_kind/groups"]);
        assert_eq!(find("group").unwrap_err().to_string(), "checkpoint 7 has no table \"group\"");
    }

    #[tokio::test]
    async fn jobs_and_what_they_have_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        let url = directory.path().to_str().unwrap();
        assert_eq!(Checkpoints::open(url).unwrap().jobs().await.unwrap(), [""; 0]);
        let objects = artifacts::objects::open_objects(url).unwrap();
        for job in ["0198-b", "0197-a"] {
            let log = Log::new(objects.clone(), job);
            let mut writer = log.writer(&log.claim(0, "a").await.unwrap());
            for label in 2..5 {
                writer.append(manifest(label)).await.unwrap();
            }
            log.save("kept", &log.read().await.unwrap().newest.unwrap()).await.unwrap();
        }
        let checkpoints = Checkpoints::open(url).unwrap();
        assert_eq!(checkpoints.jobs().await.unwrap(), ["0197-a", "0198-b"]);
        let of_job = checkpoints.of_job("0198-b", 2).await.unwrap();
        let epochs: Vec<_> = of_job.manifests.iter().map(|manifest| manifest.epoch).collect();
        assert_eq!((epochs, of_job.generation, of_job.objects), (vec![4, 3], 1, 5));
        assert_eq!((of_job.savepoints[0].name.as_str(), of_job.savepoints[0].manifest.epoch), ("kept", 4));
        let missing = directory.path().join("nothing");
        assert!(Checkpoints::open(missing.to_str().unwrap()).is_err() && !missing.exists());
    }
}
