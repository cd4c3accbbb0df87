//! The action: everything that decides a binary's bytes, and the digest of it.
//!
//! If it is not in here, it must not change the binary; if it is, a change of it is a new build. Hence no path, no
//! environment, no number of cores: the flags depend on the generated files and the bundle alone.

use std::collections::BTreeMap;

use artifacts::{Digest, DigestWriter};

use crate::bundle::Bundle;

/// Raised when the meaning of an action changes without a change of its flags.
const VERSION: &str = "streamwright-action-1";

/// Name of the crate, and of the executable.
pub(crate) const CRATE_NAME: &str = "pipeline";
/// The root file of a generated crate.
pub(crate) const ROOT_FILE: &str = "src/main.rs";

/// Generated text up to this size is compiled as one unit. Two units share the work of a larger crate between two
/// cores, but repeat what both instantiate, which a small crate does not win back.
const SINGLE_UNIT_BYTES: usize = 24 * 1024;

/// A build, before it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub key: Digest,
    /// Digest of the generated sources.
    pub code: Digest,
    /// The compiler's flags, without the ones that only say where things are.
    pub flags: Vec<String>,
}

impl Action {
    /// The build of a generated crate (path to text; `code` is its digest) against a bundle.
    pub fn new(files: &BTreeMap<String, String>, code: Digest, bundle: &Bundle) -> Action {
        let spec = bundle.spec();
        let mut flags = flags(files, &spec.flags);
        flags.extend(linker_flags(&spec.target));
        let mut key = DigestWriter::default();
        key.part(VERSION);
        key.part(spec.digest.to_string());
        key.part(&spec.target);
        key.part(spec.rustc.join("\n"));
        key.part(code.to_string());
        key.part(flags.len().to_string());
        flags.iter().for_each(|flag| key.part(flag));
        files.iter().for_each(|(path, text)| {
            key.part(path);
            key.part(text);
        });
        Action { key: key.finish(), code, flags }
    }
}

fn flags(files: &BTreeMap<String, String>, shared: &[String]) -> Vec<String> {
    let bytes: usize = files.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(_, text)| text.len()).sum();
    let units = if bytes <= SINGLE_UNIT_BYTES { 1 } else { 2 };
    let mut flags: Vec<String> =
        ["--edition", "2024", "--crate-type", "bin", "--crate-name", CRATE_NAME].map(str::to_owned).into();
    let codegen = [
        "opt-level=3",
        &format!("codegen-units={units}"),
        "debuginfo=0",
        "embed-bitcode=no",
        "metadata=streamwright",
        "strip=symbols",
    ];
    flags.extend(codegen.into_iter().flat_map(|value| ["-C".to_owned(), value.to_owned()]));
    flags.extend_from_slice(shared);
    flags
}

/// Relocations in the compact form, two megabytes less of a binary: where the system that it is linked on, and will
/// thus run on, understands them.
fn linker_flags(target: &str) -> Vec<String> {
    if target.ends_with("-linux-gnu") && glibc().is_some_and(|version| version >= (2, 36)) {
        return vec!["-C".to_owned(), "link-arg=-Wl,-z,pack-relative-relocs".to_owned()];
    }
    Vec::new()
}

/// The version of the C library, if it is GNU's.
#[cfg(target_env = "gnu")]
fn glibc() -> Option<(u32, u32)> {
    // SAFETY: it takes nothing and returns a static text.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    let mut parts = version.to_str().ok()?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(not(target_env = "gnu"))]
fn glibc() -> Option<(u32, u32)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codegen_units_follow_the_size_of_the_code_alone() {
        let with = |bytes: usize| flags(&[(ROOT_FILE.to_owned(), "x".repeat(bytes))].into(), &[]);
        assert!(with(100).contains(&"codegen-units=1".to_owned()));
        assert!(with(SINGLE_UNIT_BYTES + 1).contains(&"codegen-units=2".to_owned()));
        let readme = [("README.md".to_owned(), "x".repeat(1 << 20))].into();
        assert!(flags(&readme, &[]).contains(&"codegen-units=1".to_owned()));
    }
}
