//! The configuration: where it comes from and what it says.
//!
//! From strongest to weakest: `--set`, the environment (`STREAMWRIGHT__*`, then `ARROYO__*`), `--config`,
//! `--config-dir`, `./streamwright.toml` (then `./arroyo.toml`), the user's configuration directory, the defaults. In
//! the environment `__` stands for `.` and `_` for `-`: `ARROYO__COMPILER__ARTIFACT_URL` is `compiler.artifact-url`.
//! Lists from several files are appended.
//!
//! Every key must be known ([`crate::key`]): a spelling mistake is an error here and not a default later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use artifacts::StorageUrl;
use controller::{Policy, Tuning};
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use protocol::job::parse_bytes;
use serde_json::Value;

use crate::failure::Failure;
use crate::key::{self, Key};

/// What the configuration says, with defaults where it says nothing.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `compiler.artifact-url`
    pub(crate) artifact_url: String,
    /// `compiler.build-dir`
    pub(crate) build_dir: PathBuf,
    /// `compiler.bundle`: a toolchain bundle instead of the program's own.
    pub(crate) bundle: Option<PathBuf>,
    /// `compiler.rustc`: instead of the compiler that made the bundle.
    pub(crate) rustc: Option<PathBuf>,
    /// `pipeline.default-sink`: the connector that a bare SELECT writes to.
    pub(crate) default_sink: String,
    /// `pipeline.source-batch-size`, `pipeline.source-batch-linger`, `worker.queue-size`,
    /// `pipeline.update-aggregate-flush-interval`, `pipeline.compaction.*`, `worker.state-memory`, `worker.spill-dir`.
    pub(crate) tuning: Tuning,
    /// `pipeline.allowed-restarts` and the times of `pipeline.*`.
    pub(crate) policy: Policy,
    /// `checkpoint-url`; if missing, a directory in the state directory.
    pub(crate) checkpoint_url: Option<String>,
    /// `default-checkpoint-interval`
    pub(crate) checkpoint_interval: Duration,
    /// `pipeline.checkpoint.timeout`
    pub(crate) checkpoint_timeout: Duration,
    /// `process-scheduler.shutdown-with-controller` and `controller.reattach-timeout`: how long workers go on without one.
    pub(crate) reattach: Option<Duration>,
    /// `run.query`
    pub(crate) query: Option<String>,
    /// `run.state-dir`
    pub(crate) state_dir: Option<String>,
    /// Keys that were set and have no effect.
    pub(crate) warnings: Vec<String>,
}

const DEFAULT_BATCH_ROWS: u32 = 512;
const DEFAULT_LINGER: Duration = Duration::from_millis(100);
const DEFAULT_UPDATE_FLUSH: Duration = Duration::from_secs(1);
const DEFAULT_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(600);
const DEFAULT_REATTACH_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_COMPACT_AFTER: u32 = 4;
/// Rows in a queue between two tasks.
const DEFAULT_QUEUE_ROWS: u32 = 8192;

impl Config {
    /// Reads everything there is.
    pub(crate) fn load(file: Option<&Path>, directory: Option<&Path>, set: &[String]) -> Result<Config, Failure> {
        let mut figment = Figment::new();
        for path in files(file, directory)? {
            figment = add_file(figment, &path)?;
        }
        for prefix in ["ARROYO__", "STREAMWRIGHT__"] {
            figment = figment
                .merge(Env::prefixed(prefix).map(|name| name.as_str().replace("__", ".").replace('_', "-").into()));
        }
        for assignment in set {
            let Some((key, value)) = assignment.split_once('=') else {
                return Err(Failure::usage(format!("--set {assignment}: no value"))
                    .with_hint(Some("Write key=value, as in --set pipeline.source-batch-size=1024.")));
            };
            let value: figment::value::Value =
                value.parse().map_err(|never: std::convert::Infallible| match never {})?;
            figment = figment.merge(Serialized::default(key.trim(), value));
        }
        Config::read(&figment)
    }

    fn read(figment: &Figment) -> Result<Config, Failure> {
        let root: Value = figment.extract().map_err(|error| Failure::usage(format!("wrong configuration: {error}")))?;
        let mut values = BTreeMap::new();
        flatten(String::new(), root, &mut values);
        let mut warnings = Vec::new();
        for key in values.keys() {
            let source =
                || figment.find_metadata(key).map_or(String::new(), |from| format!(" (from {})", describe(from)));
            match key::lookup(key) {
                Key::Read => {}
                Key::WithoutEffect => {
                    warnings.push(format!("configuration key \"{key}\" has no effect yet{}", source()))
                }
                Key::Unknown(nearest) => {
                    return Err(Failure::usage(format!("configuration key \"{key}\" does not exist{}", source()))
                        .with_hint(nearest.map(|nearest| format!("Did you mean \"{nearest}\"?"))));
                }
            }
        }
        let values = Values(values);
        let default = Policy::default();
        let batch_rows = values.count("pipeline.source-batch-size")?.unwrap_or(DEFAULT_BATCH_ROWS);
        let queue_rows = values.count("worker.queue-size")?.unwrap_or(DEFAULT_QUEUE_ROWS);
        // One file cannot become fewer.
        let compact_after = values.at_least(2, "pipeline.compaction.checkpoints-to-compact")?;
        let compaction = values.flag("pipeline.compaction.enabled")?.unwrap_or(false);
        let cache = cache_directory();
        let path = |name: &str| cache.join(name);
        Ok(Config {
            artifact_url: values
                .text("compiler.artifact-url")?
                .unwrap_or_else(|| path("artifacts").to_string_lossy().into_owned()),
            build_dir: match values.text("compiler.build-dir")? {
                Some(url) => local_directory(&url)?,
                None => path("build"),
            },
            bundle: values.text("compiler.bundle")?.map(PathBuf::from),
            rustc: values.text("compiler.rustc")?.map(|text| program(&text)).transpose()?,
            default_sink: match values.text("pipeline.default-sink")? {
                // A preview is what a web page shows; here it is the terminal.
                Some(sink) if sink == "preview" => "stdout".into(),
                Some(sink) => sink,
                None => "stdout".into(),
            },
            tuning: Tuning {
                source_batch_rows: batch_rows,
                source_linger: values.span("pipeline.source-batch-linger")?.unwrap_or(DEFAULT_LINGER),
                queue_batches: (queue_rows / batch_rows).max(1),
                update_flush: values.span("pipeline.update-aggregate-flush-interval")?.unwrap_or(DEFAULT_UPDATE_FLUSH),
                compact_after: compaction.then(|| compact_after.unwrap_or(DEFAULT_COMPACT_AFTER)),
                state_memory: values.bytes("worker.state-memory")?,
                spill_directory: values.text("worker.spill-dir")?.map(|url| local_directory(&url)).transpose()?,
            },
            policy: Policy {
                allowed_restarts: values.restarts()?.unwrap_or(default.allowed_restarts),
                healthy_duration: values.span("pipeline.healthy-duration")?.unwrap_or(default.healthy_duration),
                worker_startup: values.span("pipeline.worker-startup-time")?.unwrap_or(default.worker_startup),
                task_startup: values.span("pipeline.task-startup-time")?.unwrap_or(default.task_startup),
                heartbeat_timeout: values
                    .span("pipeline.worker-heartbeat-timeout")?
                    .unwrap_or(default.heartbeat_timeout),
                initial_backoff: values.span("pipeline.state-initial-backoff")?.unwrap_or(default.initial_backoff),
                max_backoff: values.span("pipeline.state-max-backoff")?.unwrap_or(default.max_backoff),
                ..default
            },
            checkpoint_url: values.text("checkpoint-url")?,
            checkpoint_interval: values.span("default-checkpoint-interval")?.unwrap_or(DEFAULT_CHECKPOINT_INTERVAL),
            checkpoint_timeout: values.span("pipeline.checkpoint.timeout")?.unwrap_or(DEFAULT_CHECKPOINT_TIMEOUT),
            reattach: {
                let most = values.span("controller.reattach-timeout")?.unwrap_or(DEFAULT_REATTACH_TIMEOUT);
                let together = values.flag("process-scheduler.shutdown-with-controller")?.unwrap_or(true);
                if !together && !cfg!(target_os = "linux") {
                    return Err(Failure::usage(
                        "process-scheduler.shutdown-with-controller = false is not supported on this system",
                    ));
                }
                (!together).then_some(most)
            },
            query: values.text("run.query")?,
            state_dir: values.text("run.state-dir")?,
            warnings,
        })
    }
}

/// The configuration files, the weakest first.
fn files(file: Option<&Path>, directory: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    if let Some(user) = user_directory("XDG_CONFIG_HOME", ".config") {
        files.extend(["arroyo", "streamwright"].map(|name| user.join(name).join("config.toml")));
    }
    files.extend(["arroyo.toml", "streamwright.toml"].map(PathBuf::from));
    files.retain(|path| path.is_file());
    if let Some(directory) = directory {
        let failed = |error| Failure::usage(format!("cannot read \"{}\": {error}", directory.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| ["toml", "json", "yaml", "yml"].iter().any(|e| extension == *e))
            {
                found.push(path);
            }
        }
        found.sort();
        files.extend(found);
    }
    files.extend(file.map(Path::to_owned));
    Ok(files)
}

fn add_file(figment: Figment, path: &Path) -> Result<Figment, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the configuration \"{name}\": {error}")))?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => {
            Err(Failure::usage(format!("cannot read the configuration \"{name}\": YAML is not supported"))
                .with_hint(Some("Write it as TOML; the keys are the same.")))
        }
        Some("json") => {
            let value: Value = serde_json::from_str(&text)
                .map_err(|error| Failure::usage(format!("cannot read the configuration \"{name}\": {error}")))?;
            Ok(figment.admerge(Serialized::defaults(value)))
        }
        _ => {
            // Figment would report a mistake only when everything is put together, and without the file's name.
            Toml::from_str::<Value>(&text).map_err(|error| {
                Failure::usage(format!("cannot read the configuration \"{name}\": {}", error.to_string().trim_end()))
            })?;
            Ok(figment.admerge(Toml::file_exact(path)))
        }
    }
}

/// An absolute path: what is compiled elsewhere must find it.
fn local_directory(url: &str) -> Result<PathBuf, Failure> {
    match StorageUrl::parse(url) {
        Ok(StorageUrl::Local(path)) => std::path::absolute(&path)
            .map_err(|error| Failure::usage(format!("cannot use the directory \"{}\": {error}", path.display()))),
        Err(error) => Err(Failure::usage(&error).with_hint(Some(error.hint()))),
    }
}

/// A bare name is looked for in `PATH`; a path is made absolute, as the program is started elsewhere.
fn program(text: &str) -> Result<PathBuf, Failure> {
    if text.contains('/') {
        return std::path::absolute(text)
            .map_err(|error| Failure::usage(format!("cannot use the program \"{text}\": {error}")));
    }
    Ok(PathBuf::from(text))
}

/// The user's directory for a purpose, by the XDG rule.
fn user_directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: std::ffi::OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    std::env::var_os(variable)
        .and_then(absolute)
        .or_else(|| std::env::var_os("HOME").and_then(absolute).map(|home| home.join(below_home)))
}

/// Where what can be made again is kept: artifacts and build directories.
fn cache_directory() -> PathBuf {
    user_directory("XDG_CACHE_HOME", ".cache").unwrap_or_else(std::env::temp_dir).join("streamwright")
}

/// A tree of tables as `a.b.c` and leaves.
fn flatten(above: String, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                let key = if above.is_empty() { name } else { format!("{above}.{name}") };
                flatten(key, value, into);
            }
        }
        leaf => {
            into.insert(above, leaf);
        }
    }
}

fn describe(from: &figment::Metadata) -> String {
    match from.source.as_ref().and_then(|source| source.file_path()) {
        Some(path) => path.display().to_string(),
        None if from.name.contains("environment") => "the environment".into(),
        None => "--set".into(),
    }
}

struct Values(BTreeMap<String, Value>);

impl Values {
    fn wrong(key: &str, value: &Value, wanted: &str) -> Failure {
        Failure::usage(format!("configuration key \"{key}\" must be {wanted}, not {value}"))
    }

    fn text(&self, key: &str) -> Result<Option<String>, Failure> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            // From the environment, what looks like a number is one.
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(value) => Err(Self::wrong(key, value, "a text")),
        }
    }

    /// A number from 1 on.
    fn count(&self, key: &str) -> Result<Option<u32>, Failure> {
        self.at_least(1, key)
    }

    fn at_least(&self, least: u32, key: &str) -> Result<Option<u32>, Failure> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let count = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| *count >= least);
        count.map(Some).ok_or_else(|| Self::wrong(key, value, &format!("a whole number from {least} on")))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| Self::wrong(key, value, "true or false"))
    }

    /// Outer `None`: not set; inner: any number.
    fn restarts(&self) -> Result<Option<Option<u32>>, Failure> {
        let key = "pipeline.allowed-restarts";
        let Some(value) = self.0.get(key) else { return Ok(None) };
        match value.as_i64() {
            Some(-1) => Ok(Some(None)),
            Some(count) if u32::try_from(count).is_ok() => Ok(Some(u32::try_from(count).ok())),
            _ => Err(Self::wrong(key, value, "a whole number from 0 on, or -1 for any number")),
        }
    }

    fn bytes(&self, key: &str) -> Result<Option<u64>, Failure> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let bytes = match value {
            Value::String(text) => parse_bytes(text),
            value => value.as_u64(),
        };
        bytes.map(Some).ok_or_else(|| Self::wrong(key, value, "a number of bytes such as \"512MB\" or \"2GiB\""))
    }

    fn span(&self, key: &str) -> Result<Option<Duration>, Failure> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let span = value.as_str().and_then(parse_duration);
        span.map(Some).ok_or_else(|| Self::wrong(key, value, "a duration such as \"100ms\", \"10s\" or \"1m 30s\""))
    }
}

/// Numbers with the units ns, us, µs, ms, s, m, h, added up.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: Option<Duration> = None;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().ok()?;
        let part = match unit {
            "ns" => Duration::from_nanos(number),
            "us" | "µs" => Duration::from_micros(number),
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        };
        total = Some(total.unwrap_or_default().checked_add(part)?);
        rest = after.trim_start();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(assignments: &[&str]) -> Result<Config, Failure> {
        let set: Vec<String> = assignments.iter().map(ToString::to_string).collect();
        Config::load(None, None, &set)
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("5 µs"), Some(Duration::from_micros(5)));
        for wrong in ["", "10", "s", "10 days", "-1s", "1.5s", "99999999999999999999s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn assignments_set_what_they_name() {
        let config =
            set(&["pipeline.source-batch-size=1024", "pipeline.allowed-restarts=-1", "compiler.artifact-url=/tmp/a"])
                .unwrap();
        assert_eq!(config.tuning.source_batch_rows, 1024);
        assert_eq!(config.tuning.queue_batches, 8);
        assert_eq!(config.tuning.update_flush, Duration::from_secs(1));
        let flush = set(&["pipeline.update-aggregate-flush-interval=250ms"]).unwrap().tuning.update_flush;
        assert_eq!(flush, Duration::from_millis(250));
        let tuning = set(&["worker.state-memory=512MiB", "worker.spill-dir=/tmp/spill"]).unwrap().tuning;
        assert_eq!((tuning.state_memory, tuning.spill_directory), (Some(512 << 20), Some("/tmp/spill".into())));
        assert_eq!(set(&["worker.state-memory=4096"]).unwrap().tuning.state_memory, Some(4096));
        assert_eq!(config.tuning.state_memory, None);
        assert_eq!(config.policy.allowed_restarts, None);
        assert_eq!(config.artifact_url, "/tmp/a");
        assert_eq!(set(&[]).unwrap().policy.allowed_restarts, Some(20));
        assert_eq!(set(&["pipeline.default-sink=preview"]).unwrap().default_sink, "stdout");
        // Workers end with their controller, unless they are to go on.
        let (alone, most) = ("process-scheduler.shutdown-with-controller=false", "controller.reattach-timeout=5s");
        let reattach = |keys: &[&str]| set(keys).unwrap().reattach;
        assert_eq!([reattach(&[]), reattach(&[most])], [None, None]);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!([reattach(&[alone]), reattach(&[alone, most])], [seconds(60), seconds(5)]);
        // Files are merged when that is asked for.
        let compact_after = |keys: &[&str]| set(keys).unwrap().tuning.compact_after;
        let (enabled, count) = ("pipeline.compaction.enabled=true", "pipeline.compaction.checkpoints-to-compact=7");
        assert_eq!([compact_after(&[]), compact_after(&[count])], [None, None]);
        assert_eq!([compact_after(&[enabled]), compact_after(&[enabled, count])], [Some(4), Some(7)]);
    }

    #[test]
    fn mistakes_are_named() {
        let text = |assignment| set(&[assignment]).unwrap_err().text(false);
        assert_eq!(
            text("pipeline.source-batchsize=1"),
            "error: configuration key \"pipeline.source-batchsize\" does not exist (from --set)\n\
             hint: Did you mean \"pipeline.source-batch-size\"?\n"
        );
        assert!(text("pipeline.source-batch-size=0").contains("must be a whole number from 1 on, not 0"));
        assert!(text("pipeline.source-batch-linger=fast").contains("must be a duration"));
        assert!(text("worker.state-memory=much").contains("must be a number of bytes such as \"512MB\""));
        assert!(text("nothing").contains("no value"));
        assert!(text("pipeline.compaction.checkpoints-to-compact=1").contains("must be a whole number from 2 on"));
        assert!(text("pipeline.compaction.enabled=4").contains("must be true or false, not 4"));
        assert!(set(&["api.http-port=5115"]).unwrap().warnings[0].contains("\"api.http-port\" has no effect yet"));
    }

    #[test]
    fn files_are_merged_and_named_in_mistakes() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("a.toml", "[pipeline]\nsource-batch-size = 100\nsource-batch-linger = \"1s\"\n");
        write("b.json", r#"{ "pipeline": { "source-batch-size": 200 } }"#);
        let config = Config::load(None, Some(directory.path()), &[]).unwrap();
        assert_eq!((config.tuning.source_batch_rows, config.tuning.source_linger), (200, Duration::from_secs(1)));
        let last = directory.path().join("last.toml");
        std::fs::write(&last, "pipeline.source-batch-size = 300").unwrap();
        assert_eq!(Config::load(Some(&last), None, &[]).unwrap().tuning.source_batch_rows, 300);
        std::fs::write(&last, "pipeline = ").unwrap();
        assert!(Config::load(Some(&last), None, &[]).unwrap_err().text(false).contains("last.toml"));
        let missing = Config::load(Some(Path::new("missing.toml")), None, &[]).unwrap_err().text(false);
        assert!(missing.starts_with("error: cannot read the configuration \"missing.toml\""), "{missing}");
        write("c.yaml", "pipeline: {}");
        assert!(Config::load(None, Some(directory.path()), &[]).unwrap_err().text(false).contains("YAML"));
    }
}
