//! What goes into a compilation and what comes out.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use compiler_sql::Diagnostic;
use protocol::job::JobPlan;
use sha2::{Digest, Sha256};

/// A query and how it is to run.
#[derive(Clone, Debug, Default)]
pub struct CompileRequest {
    /// One or more statements.
    pub sql: String,
    pub options: CompileOptions,
}

/// Settings that the query itself does not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// Tasks of a stage, where nothing limits them. Data: it does not decide what is generated.
    pub parallelism: usize,
    /// Connector of the table that a bare `SELECT` writes to: `pipeline.default-sink`.
    pub default_sink: String,
}

impl Default for CompileOptions {
    fn default() -> Self {
        CompileOptions { parallelism: 1, default_sink: "stdout".to_owned() }
    }
}

impl CompileRequest {
    pub fn new(sql: impl Into<String>, options: CompileOptions) -> Self {
        CompileRequest { sql: sql.into(), options }
    }
}

/// A compiled query.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The generated crate: path to text. What differs between two queries, and only what needs a compiler.
    pub files: BTreeMap<String, String>,
    /// Digest of the files, in hexadecimal.
    pub code: String,
    /// What the worker needs beside the binary: paths, topics, parallelism.
    pub plan: JobPlan,
    /// What the query says in vain or in an old form.
    pub warnings: Vec<Diagnostic>,
    /// EXPLAIN, by view; none, unless they were asked for.
    pub views: BTreeMap<View, String>,
    /// The passes and how long each took, in order.
    pub passes: Vec<PassTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassTime {
    pub name: &'static str,
    pub time: Duration,
}

/// A representation of a query that EXPLAIN shows, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// The statements, as they were understood.
    Ast,
    /// The relational plan with names and types found, before the rules.
    Bound,
    /// The relational plan, after the rules.
    Logical,
    /// The IR's operators.
    Plan,
    /// Stages and exchanges.
    Stream,
    /// The generated crate.
    Rust,
    /// What the worker is given beside the binary, as JSON.
    Job,
}

impl View {
    pub const ALL: [View; 7] = [View::Ast, View::Bound, View::Logical, View::Plan, View::Stream, View::Rust, View::Job];

    pub fn name(self) -> &'static str {
        match self {
            View::Ast => "ast",
            View::Bound => "bound",
            View::Logical => "logical",
            View::Plan => "plan",
            View::Stream => "stream",
            View::Rust => "rust",
            View::Job => "job",
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for View {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        View::ALL.into_iter().find(|view| view.name() == text).ok_or_else(|| {
            let names: Vec<_> = View::ALL.iter().map(|view| format!("\"{view}\"")).collect();
            format!("view must be one of {}, not \"{text}\"", names.join(", "))
        })
    }
}

impl Compiled {
    pub fn view(&self, view: View) -> &str {
        self.views.get(&view).map_or("", String::as_str)
    }

    /// Lines of generated Rust.
    pub fn lines(&self) -> usize {
        self.files.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(_, text)| text.lines().count()).sum()
    }

    /// Time of all passes.
    pub fn time(&self) -> Duration {
        self.passes.iter().map(|pass| pass.time).sum()
    }
}

/// Digest of a crate's files, in hexadecimal: SHA-256 of each path and text with its length before it, in order of path.
pub(crate) fn code_digest(files: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    for part in files.iter().flat_map(|(path, text)| [path, text]) {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_named_as_users_write_them() {
        for view in View::ALL {
            assert_eq!(view.to_string().parse(), Ok(view));
        }
        let error = "physical".parse::<View>().unwrap_err();
        let names = r#""ast", "bound", "logical", "plan", "stream", "rust", "job""#;
        assert_eq!(error, format!(r#"view must be one of {names}, not "physical""#));
    }

    #[test]
    fn the_code_digest_is_of_paths_and_texts_apart() {
        let files = |pairs: &[(&str, &str)]| {
            code_digest(&pairs.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect())
        };
        assert_eq!(files(&[("a", "b")]).len(), 64);
        assert_eq!(files(&[("b", "2"), ("a", "1")]), files(&[("a", "1"), ("b", "2")]));
        assert_ne!(files(&[("ab", "c")]), files(&[("a", "bc")]));
        assert_ne!(files(&[("a", "1")]), files(&[("a", "2")]));
    }
}
