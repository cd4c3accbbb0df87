//! The configuration keys there are: those that mean something here, and those that users' files have and that
//! nothing reads yet.

/// Keys that are read; see [`crate::config::Config`].
pub(crate) const READ: &[&str] = &[
    "checkpoint-url",
    "compiler.artifact-url",
    "compiler.build-dir",
    "compiler.bundle",
    "compiler.rustc",
    "controller.reattach-timeout",
    "default-checkpoint-interval",
    "pipeline.allowed-restarts",
    "pipeline.checkpoint.timeout",
    "pipeline.compaction.checkpoints-to-compact",
    "pipeline.compaction.enabled",
    "pipeline.default-sink",
    "pipeline.healthy-duration",
    "pipeline.source-batch-linger",
    "pipeline.source-batch-size",
    "pipeline.state-initial-backoff",
    "pipeline.state-max-backoff",
    "pipeline.task-startup-time",
    "pipeline.update-aggregate-flush-interval",
    "pipeline.worker-heartbeat-timeout",
    "pipeline.worker-startup-time",
    "process-scheduler.shutdown-with-controller",
    "run.query",
    "run.state-dir",
    "worker.queue-size",
    "worker.spill-dir",
    "worker.state-memory",
];

/// Keys that are known and have no effect yet. One that ends in `.*` stands for everything below it.
pub(crate) const WITHOUT_EFFECT: &[&str] = &[
    "admin.allow-unauthenticated-metrics",
    "admin.auth-mode.*",
    "admin.bind-address",
    "admin.http-port",
    "admin.tls.*",
    "api-endpoint",
    "api.auth-mode.*",
    "api.bind-address",
    "api.cors.allow-credentials",
    "api.cors.allowed-origins",
    "api.cors.origin-policy",
    "api.http-port",
    "api.run-http-port",
    "api.tls.*",
    "compiler-endpoint",
    "compiler.bind-address",
    "compiler.install-clang",
    "compiler.install-rustc",
    "compiler.rpc-port",
    "compiler.tls.*",
    "compiler.use-local-udf-crate",
    "controller-endpoint",
    "controller.bind-address",
    "controller.connect-timeout",
    "controller.leader-poll-interval",
    "controller.metrics.enabled",
    "controller.rpc-port",
    "controller.scheduler",
    "controller.tls.*",
    "database.postgres.*",
    "database.sqlite.path",
    "database.type",
    "disable-telemetry",
    "hostname",
    "job-controller",
    "kubernetes-scheduler.*",
    "logging.buffered-lines-limit",
    "logging.enable-file-line",
    "logging.enable-file-name",
    "logging.format",
    "logging.nonblocking",
    "logging.static-fields.*",
    "manual-scheduler.slots-per-process",
    "node.bind-address",
    "node.id",
    "node.rpc-port",
    "node.task-slots",
    "node.tls.*",
    "pipeline.chaining.enabled",
    "pipeline.store-deserialization-errors",
    "process-scheduler.slots-per-process",
    "tls.*",
    "worker.bind-address",
    "worker.checkpoint-details-to-keep",
    "worker.data-port",
    "worker.id",
    "worker.machine-id",
    "worker.name",
    "worker.rpc-port",
    "worker.task-slots",
    "worker.tls.*",
];

/// What a key is to this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Read,
    WithoutEffect,
    /// With the known key that it most resembles.
    Unknown(Option<&'static str>),
}

pub(crate) fn lookup(key: &str) -> Key {
    if READ.contains(&key) {
        return Key::Read;
    }
    let covers = |known: &&str| match known.strip_suffix(".*") {
        Some(above) => key == above || key.strip_prefix(above).is_some_and(|rest| rest.starts_with('.')),
        None => key == *known,
    };
    if WITHOUT_EFFECT.iter().any(covers) {
        return Key::WithoutEffect;
    }
    let known = READ.iter().chain(WITHOUT_EFFECT).filter(|known| !known.ends_with(".*"));
    let nearest = known.map(|known| (strsim::jaro_winkler(key, known), *known)).max_by(|a, b| a.0.total_cmp(&b.0));
    Key::Unknown(nearest.filter(|(likeness, _)| *likeness > 0.85).map(|(_, known)| known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_none_is_in_both_lists() {
        assert!(READ.is_sorted() && WITHOUT_EFFECT.is_sorted());
        assert!(READ.iter().all(|key| !WITHOUT_EFFECT.contains(key)));
    }

    #[test]
    fn keys_are_recognised_and_suggested() {
        assert_eq!(lookup("compiler.artifact-url"), Key::Read);
        assert_eq!(lookup("checkpoint-url"), Key::Read);
        assert_eq!(lookup("controller.rpc-port"), Key::WithoutEffect);
        assert_eq!(lookup("kubernetes-scheduler.worker.labels.team"), Key::WithoutEffect);
        assert_eq!(lookup("kubernetes-schedulers"), Key::Unknown(None));
        assert_eq!(lookup("pipeline.source-batchsize"), Key::Unknown(Some("pipeline.source-batch-size")));
        assert_eq!(lookup("zzz"), Key::Unknown(None));
    }
}
