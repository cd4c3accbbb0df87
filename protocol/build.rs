//! Compiles the protos with protox, so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/operator.proto", "proto/worker.proto"], ["proto"])?;
    tonic_prost_build::configure()
        // For `report`.
        .message_attribute(".streamwright.worker.TaskProgress", "#[derive(serde::Serialize)]")
        .compile_fds(descriptors)?;
    Ok(())
}
