//! Which rows of which files have been given out.
//!
//! A unit is what one task reads: a row group of a Parquet file, or all of a text file, which counts as group 0.
//!
//! ```text
//!   {"done": [{"file": "a.json", "groups": [0]}, {"file": "b.parquet", "groups": [0, 2]}],
//!    "open": [{"file": "b.parquet", "group": 1, "rows": 512}]}
//! ```
//!
//! The positions of all tasks are restored as one: a unit is done if any task says so, and of several numbers of rows
//! the largest is right. So task 0 repeats what was restored, whoever goes on with it, and the others say only what
//! they have read themselves: no task needs to know which units another one has come to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use worker_lib::TaskError;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// By file: groups of which all rows have been given out.
    done: BTreeMap<String, BTreeSet<usize>>,
    /// By file and group: rows given out of one that is not done.
    open: BTreeMap<String, BTreeMap<usize, u64>>,
}

/// A file's name in a position: its path as it was listed. What is not UTF-8 is escaped.
pub(crate) fn name(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned)
}

/// The error for a file that has fewer rows than were read from it.
#[cold]
pub(crate) fn shrunk(path: &Path, have: u64, read: u64) -> TaskError {
    let message = format!("cannot go on reading \"{}\": {read} rows were read before the restart", path.display());
    TaskError::user(format!("{message}, and now it has {have}"))
        .with_hint("files must stay as they are until they have been read to their ends")
}

/// The error for a file that is not there any more.
#[cold]
pub(crate) fn gone(file: &str, read: u64) -> TaskError {
    TaskError::user(format!(
        "cannot go on reading \"{file}\": {read} rows were read before the restart, and now it is gone"
    ))
    .with_hint("files must stay where they are until they have been read to their ends")
}

impl Position {
    /// The positions of all tasks together. `None`: they are not such positions.
    pub(crate) fn restored(tasks: &[Value]) -> Option<Position> {
        let mut all = Position::default();
        for task in tasks {
            all.add(task)?;
        }
        for (file, groups) in &all.done {
            if let Some(open) = all.open.get_mut(file) {
                open.retain(|group, _| !groups.contains(group));
            }
        }
        all.open.retain(|_, groups| !groups.is_empty());
        Some(all)
    }

    fn add(&mut self, task: &Value) -> Option<()> {
        let file = |unit: &Value| unit.get("file")?.as_str().map(str::to_owned);
        let group = |value: &Value| usize::try_from(value.as_u64()?).ok();
        for unit in task.get("done")?.as_array()? {
            let groups = unit.get("groups")?.as_array()?.iter().map(group);
            let groups = groups.collect::<Option<Vec<_>>>()?;
            self.done.entry(file(unit)?).or_default().extend(groups);
        }
        for unit in task.get("open")?.as_array()? {
            let (group, rows) = (group(unit.get("group")?)?, unit.get("rows")?.as_u64()?);
            let given = self.open.entry(file(unit)?).or_default().entry(group).or_default();
            *given = rows.max(*given);
        }
        Some(())
    }

    pub(crate) fn to_json(&self) -> Value {
        let done = self.done.iter().map(|(file, groups)| json!({ "file": file, "groups": groups }));
        let open = self.open.iter().flat_map(|(file, groups)| {
            groups.iter().map(move |(group, rows)| json!({ "file": file, "group": group, "rows": rows }))
        });
        json!({ "done": done.collect::<Vec<_>>(), "open": open.collect::<Vec<_>>() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.open.is_empty()
    }

    pub(crate) fn is_done(&self, file: &str, group: usize) -> bool {
        self.done.get(file).is_some_and(|groups| groups.contains(&group))
    }

    /// Rows given out of a group that is not done.
    pub(crate) fn rows(&self, file: &str, group: usize) -> u64 {
        self.open.get(file).and_then(|groups| groups.get(&group)).copied().unwrap_or(0)
    }

    /// Groups that are not done, and of which rows have been given out.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&str, usize, u64)> {
        self.open
            .iter()
            .flat_map(|(file, groups)| groups.iter().map(move |(group, rows)| (file.as_str(), *group, *rows)))
    }

    /// The first so many rows of the group have been given out.
    pub(crate) fn give(&mut self, file: &str, group: usize, rows: u64) {
        match self.open.get_mut(file) {
            Some(groups) => {
                groups.insert(group, rows);
            }
            None => {
                self.open.insert(file.to_owned(), BTreeMap::from([(group, rows)]));
            }
        }
    }

    /// All its rows have been.
    pub(crate) fn finish(&mut self, file: &str, group: usize) {
        if let Some(groups) = self.open.get_mut(file) {
            groups.remove(&group);
            if groups.is_empty() {
                self.open.remove(file);
            }
        }
        self.done.entry(file.to_owned()).or_default().insert(group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_task_says_stands_against_what_another_repeats() {
        let mut before = Position::default();
        before.give("a", 0, 7);
        before.give("b", 3, 5);
        before.give("b", 4, 1);
        // Task 0 repeats; task 1 has gone on with two of them, and has begun another.
        let mut own = Position::default();
        own.give("a", 0, 9);
        own.finish("b", 3);
        own.give("c", 0, 2);
        let all = Position::restored(&[before.to_json(), own.to_json()]).unwrap();
        assert_eq!(all.open().collect::<Vec<_>>(), [("a", 0, 9), ("b", 4, 1), ("c", 0, 2)]);
        assert!(all.is_done("b", 3) && !all.is_done("b", 4) && !all.is_done("a", 0));
        assert_eq!((all.rows("a", 0), all.rows("b", 3)), (9, 0));
        assert_eq!(Position::restored(&[all.to_json()]), Some(all));
    }

    #[test]
    fn other_positions_are_refused() {
        for other in
            [json!({ "start": 0, "shares": [] }), json!({ "done": [{ "file": "a" }], "open": [] }), json!(null)]
        {
            assert_eq!(Position::restored(&[other]), None);
        }
        assert!(Position::restored(&[]).unwrap().is_empty());
    }
}
