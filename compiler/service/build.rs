//! Bakes in how this very build was made: the compiler, the target and the flags. The toolchain bundle is made of
//! this build's libraries, so pipelines must be compiled with exactly these.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let env = |name: &str| std::env::var(name).unwrap_or_default();
    let output = Command::new(env("RUSTC")).arg("-vV").output().expect("cargo sets RUSTC to a compiler");
    let version = String::from_utf8_lossy(&output.stdout).trim().replace('\n', "\x1f");
    println!("cargo:rustc-env=STREAMWRIGHT_RUSTC_VERSION={version}");
    println!("cargo:rustc-env=STREAMWRIGHT_TARGET={}", env("TARGET"));
    println!("cargo:rustc-env=STREAMWRIGHT_RUSTFLAGS={}", env("CARGO_ENCODED_RUSTFLAGS"));
}
