//! What is the same in every generated crate.
//!
//! * `skeleton/`: the files that code generation fills in. `skeleton/src/main.rs` compiles as it stands (it is this crate's
//!   example `skeleton`), so a change of the worker's interface that it does not follow breaks the build here and not at
//!   a user's.
//! * [`CONNECTORS`]: which crate serves a connector's name.
//! * `generated/`: whole pipelines as they are generated, which are examples of this crate. A test of code
//!   generation fails when they are stale.
//!
//! Not here: anything that depends on a query.

/// `src/main.rs` of a pipeline without stages.
pub const MAIN: &str = include_str!("../skeleton/src/main.rs");

/// The crate and the `static` that serve a connector's name. Names that are not here follow the rule: connector
/// `name` is `connectors_name::NAME`.
pub const CONNECTORS: &[(&str, &str, &str)] =
    &[("filesystem", "connectors_filesystem", "FILESYSTEM"), ("single_file", "connectors_filesystem", "SINGLE_FILE")];

/// Where a connector's definition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorPath {
    /// As Rust names it: `connectors_nexmark`.
    pub crate_name: String,
    /// `NEXMARK`
    pub item: String,
}

/// Where the definition of the connector of that name is.
pub fn connector_path(name: &str) -> ConnectorPath {
    match CONNECTORS.iter().find(|(connector, ..)| *connector == name) {
        Some((_, crate_name, item)) => ConnectorPath { crate_name: (*crate_name).to_owned(), item: (*item).to_owned() },
        None => ConnectorPath { crate_name: format!("connectors_{name}"), item: name.to_ascii_uppercase() },
    }
}

/// `Cargo.toml` of a pipeline that needs these crates of ours.
pub fn manifest(crates: &[String]) -> String {
    let mut out = include_str!("../skeleton/Cargo.toml.in").to_owned();
    for name in crates {
        out.push_str(&format!("{name} = \"{}\"\n", env!("CARGO_PKG_VERSION")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connectors_are_found_by_table_and_by_rule() {
        let path = |name: &str| {
            let ConnectorPath { crate_name, item } = connector_path(name);
            format!("{crate_name}::{item}")
        };
        assert_eq!(path("single_file"), "connectors_filesystem::SINGLE_FILE");
        assert_eq!(path("nexmark"), "connectors_nexmark::NEXMARK");
    }
}
