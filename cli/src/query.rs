//! Where a query's text comes from.

use std::io::Read as _;
use std::path::Path;

use compiler_driver::{CompileOptions, CompileRequest, Compiled};

use crate::config::Config;
use crate::failure::Failure;

/// A query and the name that messages call it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) origin: String,
    /// The pipeline's name, unless told otherwise.
    pub(crate) name: String,
}

impl Query {
    /// Reads a file, `-` for stdin, or takes the argument for the text if it has a space in it, as no file that
    /// people name has, and SQL always does.
    pub(crate) fn read(argument: &str) -> Result<Query, Failure> {
        if argument == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::usage(format!("cannot read the query from stdin: {error}")))?;
            return Ok(Query { text, origin: "<stdin>".into(), name: "query".into() });
        }
        let path = Path::new(argument);
        if !path.exists() && argument.contains(char::is_whitespace) {
            return Ok(Query { text: argument.into(), origin: "<argument>".into(), name: "query".into() });
        }
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("cannot read the query \"{argument}\": {error}"))
                .with_hint(Some("Give a file, - for stdin, or the text in quotes."))
        })?;
        let name = path.file_stem().map_or("query".into(), |stem| stem.to_string_lossy().into_owned());
        Ok(Query { text, origin: argument.into(), name })
    }

    pub(crate) fn request(&self, parallelism: usize, config: &Config) -> CompileRequest {
        let options = CompileOptions { parallelism, default_sink: config.default_sink.clone() };
        CompileRequest::new(self.text.clone(), options)
    }

    pub(crate) fn compile(&self, parallelism: usize, config: &Config) -> Result<Compiled, Failure> {
        compiler_driver::compile(&self.request(parallelism, config)).map_err(|diagnostics| self.wrong(&diagnostics))
    }

    /// The failure that shows what is wrong with the query.
    pub(crate) fn wrong(&self, diagnostics: &[compiler_driver::Diagnostic]) -> Failure {
        Failure::query(self.render(diagnostics))
    }

    /// What the compiler has to say of a query that is not wrong; nothing for most. Ends without a line's end.
    pub(crate) fn warnings(&self, compiled: &Compiled) -> Option<String> {
        (!compiled.warnings.is_empty()).then(|| self.render(&compiled.warnings).trim_end().to_owned())
    }

    fn render(&self, diagnostics: &[compiler_driver::Diagnostic]) -> String {
        compiler_driver::render(diagnostics, &self.origin, &self.text, crate::colored())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_text_but_not_a_missing_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("delays per hour.sql");
        std::fs::write(&path, "SELECT 2").unwrap();
        let query = Query::read(path.to_str().unwrap()).unwrap();
        assert_eq!((query.text.as_str(), query.name.as_str()), ("SELECT 2", "delays per hour"));
        assert_eq!(Query::read("SELECT 1").unwrap().origin, "<argument>");
        let missing = Query::read("missing.sql").unwrap_err().text(false);
        assert!(missing.starts_with("error: cannot read the query \"missing.sql\""), "{missing}");
    }
}
