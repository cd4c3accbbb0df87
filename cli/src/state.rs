//! `state`: looks into checkpoints. What they are made of is read by the controller and the worker library; here it becomes
//! text for people, or JSON.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use artifacts::StorageUrl;
use controller::checkpoint::Completed;
use controller::inspect::{self, Checkpoints, JobCheckpoints, StageGrowth, TableGrowth, Totals};
use controller::log::LogError;
use controller::store::{Store, StoreError};
use controller::{RestorePoint, compatibility};
use protocol::checkpoint::{Manifest, Reason, StageState, TableKind, TableState};
use protocol::job::JobPlan;
use serde::Serialize;
use serde_json::{Value, json};
use worker_lib::export::live_rows;

use crate::arguments::{StateCommand, StateDiff, StateExport, StateHistory, StateLs, StatePlace, StateShow};
use crate::config::Config;
use crate::explain::print;
use crate::failure::Failure;
use crate::progress::grouped;
use crate::query::Query;
use crate::run::{CHECKPOINTS_KEPT, REFUSED, findings_text, time_text};

pub(crate) fn state(command: &StateCommand, config: &Config) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::job(format!("cannot start threads: {error}")))?;
    let opened = || Opened::new(command.place(), config);
    runtime.block_on(async {
        match command {
            StateCommand::Ls(arguments) => ls(&opened()?, arguments).await,
            StateCommand::Show(arguments) => show(&opened()?, arguments).await,
            StateCommand::Diff(arguments) => diff(&opened()?, arguments, config).await,
            StateCommand::Export(arguments) => export(&opened()?, arguments).await,
            StateCommand::History(arguments) => history(arguments, config).await,
        }
    })
}

/// The checkpoints that are meant.
struct Opened<'a> {
    url: String,
    checkpoints: Checkpoints,
    /// The beginning of a job's id.
    job: Option<&'a str>,
}

impl<'a> Opened<'a> {
    fn new(place: &'a StatePlace, config: &Config) -> Result<Opened<'a>, Failure> {
        let state_dir = place.state_dir.as_ref().or(config.state_dir.as_ref());
        let url = match (place.checkpoint_url.as_ref().or(config.checkpoint_url.as_ref()), state_dir) {
            (Some(url), _) => url.clone(),
            (None, Some(directory)) => match StorageUrl::parse(directory) {
                Ok(StorageUrl::Local(path)) => path.join("checkpoints").to_string_lossy().into_owned(),
                Err(error) => return Err(Failure::usage(&error).with_hint(Some(error.hint()))),
            },
            (None, None) => {
                return Err(Failure::usage("no checkpoints to look into")
                    .with_hint(Some("Give the state directory with --state-dir, or --checkpoint-url.")));
            }
        };
        let checkpoints = Checkpoints::open(&url).map_err(log_failure)?;
        Ok(Opened { url, checkpoints, job: place.job.as_deref() })
    }

    /// The jobs that are meant, the last one last.
    async fn jobs(&self) -> Result<Vec<String>, Failure> {
        let mut jobs = self.checkpoints.jobs().await.map_err(log_failure)?;
        jobs.retain(|job| self.job.is_none_or(|wanted| job.starts_with(wanted)));
        match jobs.is_empty() {
            false => Ok(jobs),
            true => {
                let which = self.job.map_or_else(String::new, |job| format!(" \"{job}\""));
                Err(Failure::usage(format!("there is no job{which} in \"{}\"", self.url)))
            }
        }
    }

    /// A checkpoint of the last of those.
    async fn manifest(&self, point: &RestorePoint) -> Result<Manifest, Failure> {
        let jobs = self.jobs().await?;
        let Some(job) = jobs.last() else { return Err(Failure::usage(format!("there is no job in \"{}\"", self.url))) };
        let found = self.checkpoints.log(job).find(point, CHECKPOINTS_KEPT).await.map_err(log_failure)?;
        found.ok_or_else(|| Failure::usage(format!("job \"{job}\" has no checkpoint yet")))
    }
}

fn log_failure(error: LogError) -> Failure {
    let hint = error.hint();
    Failure::usage(error).with_hint(hint)
}

// --- ls ------------------------------------------------------------------------------------------------------------

async fn ls(opened: &Opened<'_>, arguments: &StateLs) -> Result<ExitCode, Failure> {
    let mut jobs = Vec::new();
    for job in opened.jobs().await? {
        jobs.push(opened.checkpoints.of_job(&job, CHECKPOINTS_KEPT).await.map_err(log_failure)?);
    }
    if arguments.json {
        let jobs: Vec<Value> = jobs.iter().map(job_json).collect();
        print_json(&jobs)?;
    } else {
        let texts: Vec<String> = jobs.iter().map(job_text).collect();
        print(&texts.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The checkpoints of a job by what `--restore` calls them.
fn named(job: &JobCheckpoints) -> impl Iterator<Item = (RestorePoint, &Manifest)> {
    let epochs = job.manifests.iter().map(|manifest| (RestorePoint::Epoch(manifest.epoch), manifest));
    let savepoints = &job.savepoints;
    epochs.chain(savepoints.iter().map(|saved| (RestorePoint::Savepoint(saved.name.clone()), &saved.manifest)))
}

fn job_json(job: &JobCheckpoints) -> Value {
    let checkpoints = named(job).map(|(point, manifest)| {
        let Totals { files, rows, bytes } = Totals::of_manifest(manifest);
        json!({
            "checkpoint": point.to_string(),
            "epoch": manifest.epoch,
            "generation": manifest.generation,
            "reason": manifest.reason,
            "begun_micros": manifest.begun_micros,
            "complete_micros": manifest.complete_micros,
            "stages": manifest.stages.len(),
            "files": files,
            "rows": rows,
            "bytes": bytes,
        })
    });
    json!({
        "job": job.job,
        "generation": job.generation,
        "objects": job.objects,
        "bytes": job.bytes,
        "checkpoints": checkpoints.collect::<Vec<_>>(),
    })
}

fn job_text(job: &JobCheckpoints) -> String {
    let JobCheckpoints { job: id, generation, objects, bytes, .. } = job;
    let mut text = format!("job {id}: generation {generation}, {objects} objects, {}\n", size(*bytes));
    let head = ["checkpoint", "epoch", "time (UTC)", "generation", "reason", "stages", "files", "rows", "size"];
    let mut rows = vec![head.map(str::to_owned)];
    for (point, manifest) in named(job) {
        let totals = Totals::of_manifest(manifest);
        rows.push([
            point.to_string(),
            manifest.epoch.to_string(),
            time_text(manifest.complete_micros),
            manifest.generation.to_string(),
            reason(manifest.reason).to_owned(),
            manifest.stages.len().to_string(),
            totals.files.to_string(),
            grouped(totals.rows),
            size(totals.bytes),
        ]);
    }
    match rows.len() {
        1 => text.push_str("  no checkpoint yet\n"),
        _ => text.push_str(&aligned(&rows)),
    }
    text
}

/// Lines of columns that are as wide as their widest cell.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    text
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Interval => "interval",
        Reason::Asked => "asked",
        Reason::Stop => "stop",
        Reason::End => "end",
    }
}

/// 1234567 as 1.2 MB.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
    let (mut size, mut unit) = (bytes as f64 / 1e3, 0);
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    while size >= 999.95 && unit + 1 < UNITS.len() {
        size /= 1e3;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

fn totals_text(totals: Totals) -> String {
    format!("{} files, {} rows, {}", totals.files, grouped(totals.rows), size(totals.bytes))
}

fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).expect("documents have string keys");
    print(&format!("{text}\n"))
}

// --- history -------------------------------------------------------------------------------------------------------

/// From the metadata store, not from the checkpoints themselves.
async fn history(arguments: &StateHistory, config: &Config) -> Result<ExitCode, Failure> {
    let place = &arguments.place;
    let Some(url) = place.state_dir.as_ref().or(config.state_dir.as_ref()) else {
        return Err(
            Failure::usage("no history to look into").with_hint(Some("Give the state directory with --state-dir."))
        );
    };
    let directory = match StorageUrl::parse(url) {
        Ok(StorageUrl::Local(path)) => path,
        Err(error) => return Err(Failure::usage(&error).with_hint(Some(error.hint()))),
    };
    let failed = |error: StoreError| Failure::usage(&error).with_hint(Some(error.hint()));
    let store = Store::look(&directory).await.map_err(failed)?;
    let jobs = store.jobs().await.map_err(failed)?;
    let wanted = place.job.as_deref().unwrap_or_default();
    let Some(job) = jobs.into_iter().find(|job| job.id.starts_with(wanted)) else {
        return Err(Failure::usage(format!("there is no job \"{wanted}\" in \"{}\"", directory.display())));
    };
    let mut taken = store.checkpoints(&job.id).await.map_err(failed)?;
    taken.retain(|completed| arguments.epoch.is_none_or(|epoch| epoch == completed.epoch));
    if let (Some(epoch), true) = (arguments.epoch, taken.is_empty()) {
        return Err(Failure::usage(format!("checkpoint {epoch} is not in the history of job \"{}\"", job.id)));
    }
    let plan: JobPlan = serde_json::from_str(&job.plan)
        .map_err(|error| Failure::usage(format!("cannot read the plan of job \"{}\": {error}", job.id)))?;
    if arguments.json {
        let documents: Vec<Value> = taken.iter().map(|completed| completed_json(completed, &plan)).collect();
        print_json(&documents)?;
    } else {
        let text = match arguments.epoch {
            Some(_) => taken.iter().map(|completed| parts_text(completed, &plan)).collect(),
            None => history_text(&taken),
        };
        print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of a stage; of an earlier plan it may be another's by now, or nobody's.
fn stage_name(plan: &JobPlan, stage: usize) -> &str {
    plan.stages.get(stage).map_or("", |stage| &stage.name)
}

fn completed_json(completed: &Completed, plan: &JobPlan) -> Value {
    let tasks = completed.tasks.iter().map(|part| {
        json!({
            "stage": part.place.0,
            "name": stage_name(plan, part.place.0),
            "task": part.place.1,
            "align_micros": part.times.align,
            "snapshot_micros": part.times.snapshot,
            "upload_micros": part.times.upload,
            "publish_micros": part.publish.map(|time| time.as_micros() as u64),
            "rows": part.rows,
            "bytes": part.bytes,
        })
    });
    json!({
        "epoch": completed.epoch,
        "generation": completed.generation,
        "reason": completed.reason,
        "begun_micros": completed.begun_micros,
        "collect_micros": completed.collect.as_micros() as u64,
        "write_micros": completed.write.as_micros() as u64,
        "publish_micros": completed.publish.as_micros() as u64,
        "files": completed.files,
        "bytes": completed.bytes,
        "merged_bytes": completed.merged_bytes,
        "tasks": tasks.collect::<Vec<_>>(),
    })
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn history_text(taken: &[Completed]) -> String {
    let head =
        ["epoch", "time (UTC)", "generation", "reason", "collect", "write", "publish", "files", "size", "merged"];
    let rows = taken.iter().map(|completed| {
        [
            completed.epoch.to_string(),
            time_text(completed.begun_micros),
            completed.generation.to_string(),
            reason(completed.reason).to_owned(),
            millis(completed.collect),
            millis(completed.write),
            millis(completed.publish),
            completed.files.to_string(),
            size(completed.bytes),
            size(completed.merged_bytes),
        ]
    });
    let rows: Vec<_> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    match rows.len() {
        1 => "no checkpoint yet\n".to_owned(),
        _ => aligned(&rows),
    }
}

fn parts_text(completed: &Completed, plan: &JobPlan) -> String {
    let head = ["stage", "task", "align", "snapshot", "upload", "publish", "rows", "size"];
    let rows = completed.tasks.iter().map(|part| {
        let times = [part.times.align, part.times.snapshot, part.times.upload].map(Duration::from_micros).map(millis);
        let [align, snapshot, upload] = times;
        [
            format!("{} {}", part.place.0, stage_name(plan, part.place.0)),
            part.place.1.to_string(),
            align,
            snapshot,
            upload,
            part.publish.map_or("-".to_owned(), millis),
            grouped(part.rows),
            size(part.bytes),
        ]
    });
    aligned(&[head.map(str::to_owned)].into_iter().chain(rows).collect::<Vec<_>>())
}

// --- show ----------------------------------------------------------------------------------------------------------

async fn show(opened: &Opened<'_>, arguments: &StateShow) -> Result<ExitCode, Failure> {
    let manifest = opened.manifest(&arguments.checkpoint).await?;
    if arguments.json {
        print_json(&manifest)?;
    } else {
        print(&manifest_text(&manifest))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn manifest_text(manifest: &Manifest) -> String {
    let mut text = String::new();
    let millis = (manifest.complete_micros - manifest.begun_micros) as f64 / 1e3;
    let _ = writeln!(text, "checkpoint {} of job {}", manifest.epoch, manifest.job);
    let _ = writeln!(text, "  generation {}, reason {}", manifest.generation, reason(manifest.reason));
    let _ = writeln!(text, "  complete at {}, after {millis:.1} ms", time_text(manifest.complete_micros));
    let _ = writeln!(text, "  code {}", manifest.code);
    let _ = writeln!(text, "  {}", totals_text(Totals::of_manifest(manifest)));
    for stage in &manifest.stages {
        stage_text(stage, &mut text);
    }
    text
}

fn stage_text(stage: &StageState, text: &mut String) {
    let _ = writeln!(text, "stage {} {} x{}", stage.stage, stage.name, stage.tasks.len());
    for operator in &stage.operators {
        let _ = writeln!(text, "  {operator}");
    }
    let _ = writeln!(text, "  watermark {}", event_time(inspect::watermark(stage)));
    for (number, task) in stage.tasks.iter().enumerate() {
        let mut says = Vec::new();
        says.extend(task.ended.then(|| "ended".to_owned()));
        let position = task.source.as_ref().and_then(|source| source.position.as_ref());
        says.extend(position.map(|position| format!("position {position}")));
        says.extend(task.tokens.iter().map(|token| format!("token {token}")));
        for said in says {
            let _ = writeln!(text, "  task {number}: {said}");
        }
    }
    for table in &stage.tables {
        table_text(table, text);
    }
}

fn table_text(table: &TableState, text: &mut String) {
    let spec = &table.spec;
    let kind = match spec.kind {
        TableKind::TimeKeyed => "time-keyed",
        TableKind::Keyed => "keyed",
        TableKind::List => "list",
        TableKind::Global => "global",
    };
    let _ = writeln!(text, "  table \"{}\" ({kind}): {}", spec.name, totals_text(Totals::of(&table.files)));
    let keys: Vec<&str> = spec.columns.fields.iter().take(spec.keys).map(|key| key.name.as_str()).collect();
    let _ = writeln!(text, "    key ({}), columns {}", keys.join(", "), spec.columns);
    for file in &table.files {
        let (first, last) = &file.hashes;
        let until = file.expires.map_or_else(String::new, |expires| format!(", until {}", event_time(Some(expires))));
        let rows = grouped(file.rows);
        let _ = writeln!(text, "    {}: {rows} rows, {}, hashes {first} to {last}{until}", file.path, size(file.bytes));
    }
}

/// A moment of event time.
fn event_time(nanos: Option<i64>) -> String {
    match nanos {
        None => "none".to_owned(),
        Some(i64::MAX) => "the end".to_owned(),
        Some(nanos) => chrono::DateTime::from_timestamp_nanos(nanos).format("%F %T%.f").to_string(),
    }
}

// --- diff ----------------------------------------------------------------------------------------------------------

async fn diff(opened: &Opened<'_>, arguments: &StateDiff, config: &Config) -> Result<ExitCode, Failure> {
    let before = opened.manifest(&arguments.before).await?;
    let after = match arguments.after.parse::<RestorePoint>() {
        Ok(point) => opened.manifest(&point).await?,
        Err(_) => return compare(&before, arguments, config),
    };
    let grown = inspect::growth(&before, &after);
    if arguments.json {
        let stages: Vec<Value> = grown.iter().map(growth_json).collect();
        let json = json!({ "from": before.epoch, "to": after.epoch, "stages": stages });
        print_json(&json)?;
    } else {
        print(&growth_text(&before, &after, &grown))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a query makes of a checkpoint.
fn compare(manifest: &Manifest, arguments: &StateDiff, config: &Config) -> Result<ExitCode, Failure> {
    let compiled = Query::read(&arguments.after)?.compile(1, config)?;
    let found = compatibility::compare(manifest, &compiled.plan, arguments.change.allowed());
    if arguments.json {
        let findings = found.findings.iter().map(|finding| {
            json!({ "subject": finding.subject, "verdict": finding.verdict.name(), "reasons": finding.reasons })
        });
        let json = json!({ "from": manifest.epoch, "findings": findings.collect::<Vec<_>>() });
        print_json(&json)?;
    } else {
        print(&format!("{}\n", findings_text(&found)))?;
    }
    if manifest.reason == Reason::End {
        eprintln!("checkpoint {} is the end: all input was processed, so nothing goes on from it", manifest.epoch);
    }
    match found.refused() {
        false => Ok(ExitCode::SUCCESS),
        true => {
            let message = format!("checkpoint {} does not fit the query", manifest.epoch);
            Err(Failure::usage(message).with_hint(Some(REFUSED)))
        }
    }
}

fn totals_json(Totals { files, rows, bytes }: Totals) -> Value {
    json!({ "files": files, "rows": rows, "bytes": bytes })
}

fn growth_json(stage: &StageGrowth) -> Value {
    let tables = stage.tables.iter().map(|table| {
        json!({
            "table": table.table,
            "from": totals_json(table.before),
            "to": totals_json(table.after),
            "added": totals_json(table.added),
            "removed": totals_json(table.removed),
        })
    });
    json!({
        "stage": stage.stage,
        "watermark": { "from": stage.watermark.0, "to": stage.watermark.1 },
        "positions": { "from": stage.positions.0, "to": stage.positions.1 },
        "tables": tables.collect::<Vec<_>>(),
    })
}

fn growth_text(before: &Manifest, after: &Manifest, grown: &[StageGrowth]) -> String {
    let mut text = String::new();
    let seconds = (after.complete_micros - before.complete_micros) as f64 / 1e6;
    let _ = writeln!(text, "from checkpoint {} to {}: {seconds:.1} s", before.epoch, after.epoch);
    for stage in grown {
        let _ = writeln!(text, "stage {}", stage.stage);
        let (from, to) = stage.watermark;
        match from == to {
            true => _ = writeln!(text, "  watermark {}", event_time(to)),
            false => _ = writeln!(text, "  watermark {} -> {}", event_time(from), event_time(to)),
        }
        let (from, to) = &stage.positions;
        if from != to {
            let _ = writeln!(text, "  positions {} -> {}", json!(from), json!(to));
        }
        for table in &stage.tables {
            let TableGrowth { table, before, after, added, removed } = table;
            let _ = writeln!(text, "  table \"{table}\": {} -> {}", totals_text(*before), totals_text(*after));
            for (what, totals) in [("new", added), ("gone", removed)] {
                if totals.files > 0 {
                    let _ = writeln!(text, "    {what}: {}", totals_text(*totals));
                }
            }
        }
    }
    text
}

// --- export --------------------------------------------------------------------------------------------------------

async fn export(opened: &Opened<'_>, arguments: &StateExport) -> Result<ExitCode, Failure> {
    let manifest = opened.manifest(&arguments.checkpoint).await?;
    let (stage, table) = inspect::table(&manifest, &arguments.table).map_err(|error| {
        let hint = match error.tables.is_empty() {
            true => "It has no tables.".to_owned(),
            false => format!("There is {}.", error.tables.join(", ")),
        };
        Failure::usage(&error).with_hint(Some(hint))
    })?;
    let failed = |error: worker_lib::TaskError| Failure::job(&error.message).with_hint(error.hint);
    let rows = live_rows(opened.checkpoints.objects(), &manifest, stage, table).await.map_err(failed)?;
    if arguments.file == "-" {
        print(&String::from_utf8_lossy(&rows.json_lines().map_err(failed)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = &arguments.file;
    std::fs::write(file, rows.parquet().map_err(failed)?)
        .map_err(|error| Failure::job(format!("cannot write \"{file}\": {error}")))?;
    eprintln!(
        "{file}: {} rows of \"{}\" at checkpoint {}",
        grouped(rows.rows() as u64),
        table.spec.name,
        manifest.epoch
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let sizes = [0, 999, 1000, 1234, 999_949, 999_950, 1_234_567, 5_000_000_000].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 KB", "1.2 KB", "999.9 KB", "1.0 MB", "1.2 MB", "5.0 GB"]);
    }

    #[test]
    fn event_times_are_readable() {
        assert_eq!(event_time(Some(1_500_000_000)), "1970-01-01 00:00:01.500");
        assert_eq!(event_time(Some(0)), "1970-01-01 00:00:00");
        assert_eq!((event_time(None), event_time(Some(i64::MAX))), ("none".into(), "the end".into()));
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "long one", "x"], ["bb", "b", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "  a   long one  x\n  bb  b\n");
    }
}
