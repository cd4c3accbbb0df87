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

/// The crates of connectors that do not follow the rule that connector `name` is in `connectors_name`.
pub const CONNECTORS: &[(&str, &str)] = &[("single_file", "connectors_filesystem")];

/// Which half of a connector is meant. Each half is an item of its own, so that a pipeline links only what it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    Source,
    Sink,
}

/// Where a connector's definition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorPath {
    /// As Rust names it: `connectors_nexmark`.
    pub crate_name: String,
    /// `NEXMARK_SOURCE`
    pub item: String,
}

/// Where the definition of that half of the connector of that name is.
pub fn connector_path(name: &str, half: Half) -> ConnectorPath {
    let exception = CONNECTORS.iter().find(|(connector, _)| *connector == name);
    let suffix = match half {
        Half::Source => "SOURCE",
        Half::Sink => "SINK",
    };
    ConnectorPath {
        crate_name: exception.map_or_else(|| format!("connectors_{name}"), |(_, crate_name)| (*crate_name).to_owned()),
        item: format!("{}_{suffix}", name.to_ascii_uppercase()),
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
            let ConnectorPath { crate_name, item } = connector_path(name, Half::Source);
            format!("{crate_name}::{item}")
        };
        assert_eq!(path("single_file"), "connectors_filesystem::SINGLE_FILE_SOURCE");
        assert_eq!(path("nexmark"), "connectors_nexmark::NEXMARK_SOURCE");
    }
}
