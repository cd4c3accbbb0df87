//! The examples are pipelines, which name the digest of their files. As examples they are never run, so any text does.

fn main() {
    println!("cargo:rustc-env=STREAMWRIGHT_CODE=example");
    println!("cargo:rerun-if-changed=build.rs");
}
