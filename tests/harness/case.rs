//! A case: a directory of text files.
//!
//! | file | is |
//! |---|---|
//! | `query.sql` | the query; `$OUT` is a fresh directory, other relative paths start in the case's own |
//! | `plan.txt` | EXPLAIN, views plan and stream, at parallelism 3 |
//! | `pipeline.rs` | EXPLAIN, view rust; compared only if it is there |
//! | `output.jsonl` | the rows written, sorted; `output.NAME.jsonl` for each when there are several outputs |
//! | `error.txt` | for a query that fails when it runs: what it says on the way out, in place of rows |
//! | `oracle.sql` | what DataFusion runs, one SELECT for each output, if not the query itself |
//! | `.no-oracle` | the reason why DataFusion's answer would be another one, or none |
//! | `.ordered` | the order of the rows at parallelism 1 matters |
//! | `.whole` | the reason why the parallel run gets each input as it is, and not cut into parts |
//! | `.no-crashes` | the reason why the rows of a run with crashes would be other ones |
//! | `message.txt` | (errors) the rendered diagnostics |

use std::fs;
use std::path::{Path, PathBuf};

use super::rows::difference;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Runs,
    Fails,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// `area/case`
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) directory: PathBuf,
    pub(crate) query: String,
}

impl Case {
    /// All cases, by name.
    pub(crate) fn all() -> Result<Vec<Case>, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let mut cases = vec![];
        for area in directories(&root)? {
            for directory in directories(&area)? {
                let name = format!("{}/{}", file_name(&area), file_name(&directory));
                let path = directory.join("query.sql");
                let query = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                let kind = if file_name(&area) == "errors" { Kind::Fails } else { Kind::Runs };
                cases.push(Case { name, kind, directory, query });
            }
        }
        Ok(cases)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    pub(crate) fn has(&self, file: &str) -> bool {
        self.path(file).exists()
    }

    pub(crate) fn read(&self, file: &str) -> Result<String, String> {
        fs::read_to_string(self.path(file)).map_err(|error| format!("{}: {error}", self.path(file).display()))
    }

    /// Compares a file of the case with what was found, or writes it there when blessing.
    pub(crate) fn expect(&self, file: &str, found: &str) -> Result<(), String> {
        if blessing() {
            let path = self.path(file);
            return fs::write(&path, found).map_err(|error| format!("{}: {error}", path.display()));
        }
        let expected = match self.has(file) {
            true => self.read(file)?,
            false => return Err(format!("{file} is missing; UPDATE_EXPECT=1 writes it. Found:\n{found}")),
        };
        match expected == found {
            true => Ok(()),
            false => Err(format!("{file} differs (- expected, + found):\n{}", difference(&expected, found))),
        }
    }
}

/// Whether expectations are to be written and not compared.
pub(crate) fn blessing() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1")
}

fn directories(of: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(of).map_err(|error| format!("{}: {error}", of.display()))?;
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
