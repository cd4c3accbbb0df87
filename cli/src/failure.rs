//! Why the program ends without having done what it was asked, and the exit code that says so.

use std::fmt::Display;
use std::process::ExitCode;

/// Exit codes; `--help` and `docs/operations.md` list them.
pub(crate) mod exit {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const QUERY: u8 = 3;
    pub(crate) const BUILD: u8 = 4;
    pub(crate) const ABORTED: u8 = 130;
}

#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    /// The message is a rendered text of its own.
    rendered: bool,
}

impl Failure {
    fn new(code: u8, message: impl Display) -> Self {
        Failure { code, message: message.to_string(), detail: None, hint: None, rendered: false }
    }

    /// The job failed.
    pub(crate) fn job(message: impl Display) -> Self {
        Failure::new(exit::FAILED, message)
    }

    /// Wrong arguments or configuration.
    pub(crate) fn usage(message: impl Display) -> Self {
        Failure::new(exit::USAGE, message)
    }

    /// The query has errors, which the driver has rendered.
    pub(crate) fn query(rendered: String) -> Self {
        Failure { rendered: true, ..Failure::new(exit::QUERY, rendered) }
    }

    /// The pipeline could not be built.
    pub(crate) fn build(message: impl Display) -> Self {
        Failure::new(exit::BUILD, message)
    }

    pub(crate) fn aborted() -> Self {
        Failure::new(exit::ABORTED, "given up")
    }

    pub(crate) fn with_hint(mut self, hint: Option<impl Display>) -> Self {
        self.hint = hint.map(|hint| hint.to_string());
        self
    }

    pub(crate) fn with_detail(mut self, detail: Option<impl Display>) -> Self {
        self.detail = detail.map(|detail| detail.to_string());
        self
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    pub(crate) fn text(&self, color: bool) -> String {
        if self.rendered {
            return self.message.clone();
        }
        let (red, bold, reset) = if color { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        let mut text = format!("{red}error{reset}{bold}: {}{reset}\n", self.message);
        if let Some(detail) = &self.detail {
            detail.lines().for_each(|line| text.push_str(&format!("  | {line}\n")));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{bold}hint{reset}: {hint}\n"));
        }
        text
    }
}
