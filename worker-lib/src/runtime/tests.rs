//! Whole jobs of toys, in this process.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use artifacts::objects::{Created, Entry, MemoryObjects, ObjectError};
use bytes::Bytes;
use futures::future::BoxFuture;
use protocol::checkpoint::{
    FORMAT, Operator, Reason, StateFile, TableKind, TableSpec, TableState, TaskSnapshot, TaskState,
};
use schema::{Field, ScalarType, Schema};
use serde_json::json;

use super::toys::*;
use super::*;
use crate::batch::Batch;
use crate::column::{from_i32, from_i64};
use crate::error::ErrorClass;
use crate::state::TableRows;

fn start(pipeline: &'static Pipeline, plan: &JobPlan, limits: Limits) -> Result<Job, TaskFailure> {
    Job::start(pipeline, plan, limits, &Handle::current(), None)
}

async fn run(pipeline: &'static Pipeline, plan: &JobPlan) -> Result<Ending, TaskFailure> {
    start(pipeline, plan, Limits { batch_rows: 10, ..Limits::default() })?.wait().await
}

/// source ─▶ modulo ─[hash]─▶ counts ─▶ sink
fn counting(name: &str, parallelism: usize, options: serde_json::Value) -> JobPlan {
    let mut from = stage(0, parallelism, true);
    from.source = Some(source(options, false));
    let mut to = stage(1, parallelism, true);
    to.sink = Some(sink(name));
    plan(vec![from, to], &[(0, 1, ExchangePlan::Hash(vec![0]))])
}

fn counting_pipeline() -> &'static Pipeline {
    pipeline(&[(0, || Box::new(Modulo)), (1, || Box::<Counts>::default())])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_meet_in_one_task_and_no_row_is_lost_at_any_parallelism() {
    for parallelism in [1, 3] {
        let name = format!("counting at {parallelism}");
        let options = json!({ "rows": 3_000 / parallelism });
        assert_eq!(run(counting_pipeline(), &counting(&name, parallelism, options)).await, Ok(Ending::Finished));
        // A key that had come to two tasks would show twice.
        let counts: HashMap<i64, i64> = rows(&name).into_iter().collect();
        assert_eq!((counts.len(), rows(&name).len()), (7, 7));
        assert_eq!(counts.values().sum::<i64>(), 3_000);
        assert!(is_closed(&name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_out_gives_every_edge_all_rows_and_gather_brings_them_together() {
    let mut from = stage(0, 3, false);
    from.source = Some(source(json!({ "rows": 50 }), false));
    let mut all = stage(1, 1, false);
    all.sink = Some(sink("gathered"));
    let mut each = stage(2, 3, false);
    each.sink = Some(sink("forwarded"));
    let plan = plan(vec![from, all, each], &[(0, 1, ExchangePlan::Gather), (0, 2, ExchangePlan::Forward)]);
    assert_eq!(run(pipeline(&[]), &plan).await, Ok(Ending::Finished));
    let sorted = |name| {
        let mut rows = rows(name);
        rows.sort_unstable();
        rows
    };
    assert_eq!(sorted("gathered").len(), 150);
    assert_eq!(sorted("gathered"), sorted("forwarded"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_knows_which_input_its_rows_come_from() {
    let mut left = stage(0, 2, false);
    left.source = Some(source(json!({ "rows": 30 }), false));
    let mut right = stage(1, 2, false);
    right.source = Some(source(json!({ "rows": 50 }), false));
    let mut both = stage(2, 2, true);
    both.sink = Some(sink("ports"));
    let exchange = ExchangePlan::Hash(vec![0]);
    let mut plan = plan(vec![left, right, both], &[(0, 2, exchange.clone()), (1, 2, exchange)]);
    plan.edges[1].port = 1;
    assert_eq!(run(pipeline(&[(2, || Box::new(Ports))]), &plan).await, Ok(Ending::Finished));
    let count = |port: i64| rows("ports").iter().filter(|(of, _)| *of == port).count();
    assert_eq!([count(0), count(1)], [60, 100]);
}

/// source ─▶ times ─[gather]─▶ watermarks ─▶ sink
fn watermarks(name: &str, options: serde_json::Value, parallelism: usize) -> JobPlan {
    let mut from = stage(0, parallelism, true);
    from.source = Some(source(options, true));
    let mut to = stage(1, 1, true);
    to.sink = Some(sink(name));
    plan(vec![from, to], &[(0, 1, ExchangePlan::Gather)])
}

fn watermark_pipeline() -> &'static Pipeline {
    pipeline(&[(0, || Box::new(Times)), (1, || Box::<Watermarks>::default())])
}

fn last_watermark(name: &str) -> Option<i64> {
    rows(name).last().map(|(watermark, _)| *watermark)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_source_task_gives_each_watermark_behind_its_rows_then_the_end() {
    let plan = watermarks("watermarks of one", json!({ "rows": 30 }), 1);
    assert_eq!(run(watermark_pipeline(), &plan).await, Ok(Ending::Finished));
    // Each stands behind exactly the rows that it was derived from. The third may be merged with the end.
    let mut seen = rows("watermarks of one");
    assert_eq!(seen.pop(), Some((i64::MAX, 30)));
    assert_eq!(seen[..2], [(9, 10), (19, 20)]);
    assert!(matches!(seen[2..], [] | [(29, 30)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slowest_task_decides_until_it_is_told_to_stop() {
    let plan = watermarks("slowest", json!({ "rows": [20, 20], "step": [1, 100], "hang": true }), 2);
    let job = start(watermark_pipeline(), &plan, Limits { batch_rows: 10, ..Limits::default() }).unwrap();
    wait_until(|| last_watermark("slowest") == Some(19)).await;
    job.controls().stop(Stop::Graceful);
    assert_eq!(job.wait().await, Ok(Ending::Finished));
    let seen: Vec<i64> = rows("slowest").into_iter().map(|(watermark, _)| watermark).collect();
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&i64::MAX));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_has_ended_holds_nobody_back() {
    let plan = watermarks("ended", json!({ "rows": [20, 0, 0], "hang": [true, false, false] }), 3);
    let job = start(watermark_pipeline(), &plan, Limits::default()).unwrap();
    wait_until(|| last_watermark("ended") == Some(19)).await;
    job.controls().stop(Stop::Immediate);
    assert_eq!(job.wait().await, Ok(Ending::Stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_task_holds_others_back_unless_it_may_be_idle() {
    let options = json!({ "rows": [20, 0], "hang": true });
    let mut plan = watermarks("idle", options.clone(), 2);
    plan.stages[0].source.as_mut().unwrap().idle_micros = Some(1_000);
    let job = start(watermark_pipeline(), &plan, Limits::default()).unwrap();
    wait_until(|| last_watermark("idle") == Some(19)).await;
    job.controls().stop(Stop::Immediate);
    assert_eq!(job.wait().await, Ok(Ending::Stopped));

    let plan = watermarks("silent", options, 2);
    let job = start(watermark_pipeline(), &plan, Limits::default()).unwrap();
    let counters = job.counters();
    wait_until(|| counters[2].snapshot().rows_in == 20).await;
    job.controls().stop(Stop::Graceful);
    assert_eq!(job.wait().await, Ok(Ending::Finished));
    // Only the end moved it (that of one task lets the other's watermark through before its own end).
    assert_eq!(last_watermark("silent"), Some(i64::MAX));
    assert_eq!(counters[0].snapshot().watermark, Some(19));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_stops_the_source_after_a_full_queue() {
    let mut plan = plan_to_sink("slow", 1_000, 1);
    plan.stages[1].sink.as_mut().unwrap().options["gate"] = true.into();
    let job = start(pipeline(&[]), &plan, Limits { batch_rows: 10, queue_batches: 3, ..Limits::default() }).unwrap();
    let counters = job.counters();
    wait_until(|| counters[0].snapshot().blocked_nanos > 0).await;
    for written in 1..=20u64 {
        GATE.add_permits(1);
        wait_until(|| rows("slow").len() as u64 == written * 10).await;
        // Written, one in the sink's hands, three queued, one that the source holds.
        assert!(counters[0].snapshot().batches_out <= written + 1 + 3 + 1);
    }
    GATE.add_permits(1_000);
    assert_eq!(job.wait().await, Ok(Ending::Finished));
    assert_eq!(rows("slow").len(), 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_ends_the_job_and_cancels_the_others() {
    let mut plan = plan_to_sink("failing", usize::MAX, 3);
    plan.stages[1].sink.as_mut().unwrap().options["fail_after"] = 35.into();
    let failed = run(pipeline(&[]), &plan).await.unwrap_err();
    assert_eq!((failed.stage, failed.error.class), (1, ErrorClass::User));
    assert_eq!(failed.to_string(), format!("stage \"stage_1\", task {}: the toy sink is full", failed.task));
    assert!(!is_closed("failing"), "nothing of a failed job is published");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_a_fatal_error_of_its_task() {
    let mut plan = counting("panicking", 2, json!({ "rows": usize::MAX }));
    plan.edges[0].exchange = ExchangePlan::Forward;
    let failed = run(pipeline(&[(0, || Box::new(Modulo)), (1, || Box::new(Panics))]), &plan).await.unwrap_err();
    assert_eq!((failed.stage, failed.error.class), (1, ErrorClass::Fatal));
    assert_eq!(failed.error.message, "the task panicked: the toy is broken");

    let failed = run(pipeline(&[(0, || Box::new(Modulo)), (1, || panic!("no stage"))]), &plan).await.unwrap_err();
    assert_eq!((failed.stage, failed.error.message.as_str()), (1, "the task panicked: no stage"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_flushes_and_publishes_what_was_read() {
    let job = start(counting_pipeline(), &counting("graceful", 2, json!({ "rows": usize::MAX })), Limits::default());
    let job = job.unwrap();
    let counters = job.counters();
    wait_until(|| counters.iter().all(|task| task.snapshot().rows_in > 0)).await;
    job.controls().stop(Stop::Graceful);
    assert_eq!(job.wait().await, Ok(Ending::Finished));
    let read: u64 = counters[..2].iter().map(|task| task.snapshot().rows_in).sum();
    assert_eq!(rows("graceful").iter().map(|(_, count)| *count as u64).sum::<u64>(), read);
    assert!(is_closed("graceful"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immediate_stop_publishes_nothing() {
    let job = start(counting_pipeline(), &counting("immediate", 2, json!({ "rows": usize::MAX })), Limits::default());
    let job = job.unwrap();
    let counters = job.counters();
    wait_until(|| counters[0].snapshot().rows_in > 0).await;
    job.controls().stop(Stop::Immediate);
    job.controls().stop(Stop::Graceful);
    assert_eq!(job.wait().await, Ok(Ending::Stopped));
    assert_eq!(rows("immediate"), []);
    assert!(!is_closed("immediate"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_of_rows_waits_for_its_barrier_and_the_barrier_for_its_rows() {
    let (reports, mut reported) = mpsc::unbounded_channel();
    let objects = Arc::new(MemoryObjects::new());
    let keeping = Keeping { objects, job: "epochs".into(), generation: 1, reports, restore: None, compact_after: None };
    let limits = Limits { batch_rows: 10, epoch_rows: Some(15), ..Limits::default() };
    let plan = plan_to_sink("epochs", 50, 2);
    let job = Job::start(pipeline(&[]), &plan, limits, &Handle::current(), Some(keeping)).unwrap();
    let controls = job.controls();
    for epoch in 1..=2 {
        // Two whole batches in each of two tasks; the first barrier is ordered before them, the second behind them.
        let cut = epoch as usize * 40;
        if epoch == 2 {
            wait_until(|| rows("epochs").len() == cut).await;
        }
        controls.checkpoint(Barrier { epoch, last: false });
        hear_snapshots(&mut reported, plan.tasks()).await;
        assert_eq!(rows("epochs").len(), cut);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(rows("epochs").len(), cut, "nothing is read before the epoch is published");
        controls.publish(epoch);
    }
    // The rest is less than an epoch, and ends the job.
    hear_snapshots(&mut reported, plan.tasks()).await;
    controls.publish(3);
    assert_eq!(job.wait().await, Ok(Ending::Finished));
    assert_eq!(rows("epochs").len(), 100);
}

async fn hear_snapshots(reported: &mut mpsc::UnboundedReceiver<Report>, count: usize) {
    let mut heard = 0;
    while heard < count {
        heard += usize::from(matches!(reported.recv().await, Some(Report::Snapshot(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_without_a_reader_ends_the_job_in_good_order() {
    let mut plan = plan_to_sink("closed pipe", usize::MAX, 1);
    plan.stages[1].sink.as_mut().unwrap().options["close_after"] = 30.into();
    assert_eq!(run(pipeline(&[]), &plan).await, Ok(Ending::Finished));
    assert_eq!(rows("closed pipe").len(), 40, "none after the batch that found it closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn busy_sources_leave_the_only_thread_to_others() {
    let plan = plan_to_sink("fair", usize::MAX, 2);
    let job = start(pipeline(&[]), &plan, Limits { queue_batches: 1_000_000, ..Limits::default() }).unwrap();
    let counters = job.counters();
    wait_until(|| counters.iter().all(|task| task.snapshot().rows_in > 0)).await;
    job.controls().stop(Stop::Immediate);
    assert_eq!(job.wait().await, Ok(Ending::Stopped));
}

/// A source ─▶ timed ─▶ sink, in one stage or, behind a queue, in two.
fn timed(name: &str, options: serde_json::Value, behind_a_queue: bool) -> JobPlan {
    let mut from = stage(0, 1, !behind_a_queue);
    from.source = Some(source(options, false));
    if !behind_a_queue {
        from.sink = Some(sink(name));
        return plan(vec![from], &[]);
    }
    let mut to = stage(1, 1, true);
    to.sink = Some(sink(name));
    plan(vec![from, to], &[(0, 1, ExchangePlan::Forward)])
}

fn timed_pipeline() -> &'static Pipeline {
    pipeline(&[(0, || Box::<Timed>::default()), (1, || Box::<Timed>::default())])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_is_called_at_the_time_that_it_has_asked_for() {
    let limits = Limits { batch_rows: 10, flush_interval: Duration::from_millis(20), ..Limits::default() };
    for behind_a_queue in [false, true] {
        // While the input is silent, once.
        let name = format!("timed {behind_a_queue}");
        let plan = timed(&name, json!({ "rows": 20, "hang": true }), behind_a_queue);
        let job = start(timed_pipeline(), &plan, limits.clone()).unwrap();
        wait_until(|| rows(&name).iter().map(|(rows, _)| rows).sum::<i64>() == 20).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(rows(&name).iter().all(|(rows, _)| *rows > 0), "{:?}", rows(&name));
        job.controls().stop(Stop::Immediate);
        assert_eq!(job.wait().await, Ok(Ending::Stopped));

        // And while it never is.
        let name = format!("timed and busy {behind_a_queue}");
        let plan = timed(&name, json!({ "rows": usize::MAX }), behind_a_queue);
        let job = start(timed_pipeline(), &plan, limits.clone()).unwrap();
        wait_until(|| rows(&name).len() >= 3).await;
        job.controls().stop(Stop::Immediate);
        assert_eq!(job.wait().await, Ok(Ending::Stopped));
        let calls: Vec<i64> = rows(&name).iter().map(|(_, calls)| *calls).collect();
        assert!(calls.iter().copied().eq(1..=calls.len() as i64), "{calls:?}");
    }
}

/// source ─▶ modulo ─[hash]─▶ totals ─▶ sink
fn totals(name: &str, parallelism: usize, options: serde_json::Value) -> JobPlan {
    let mut plan = counting(name, parallelism, options);
    plan.stages[1].tables = vec![totals_table()];
    plan
}

/// How often each key comes from so many tasks with 20 rows each.
fn expected_counts(parallelism: i64) -> HashMap<i64, i64> {
    let mut counts = HashMap::new();
    for (task, row) in (0..parallelism).flat_map(|task| (0..20).map(move |row| (task, row))) {
        *counts.entry((row * 10 + task) % 7).or_default() += 1;
    }
    counts
}

fn manifest_of(plan: &JobPlan, snapshots: &[TaskSnapshot]) -> Manifest {
    let stages = plan.stages.iter().map(|stage| {
        let of_stage = || snapshots.iter().filter(|snapshot| snapshot.stage == stage.id);
        let tables = stage.tables.iter().enumerate().map(|(table, spec)| {
            let files = of_stage().flat_map(|snapshot| snapshot.tables[table].1.clone()).collect();
            TableState { spec: spec.clone(), files }
        });
        StageState {
            stage: stage.id,
            name: stage.name.clone(),
            operators: Vec::new(),
            source: None,
            sink: None,
            tables: tables.collect(),
            tasks: of_stage().map(|snapshot| snapshot.state.clone()).collect(),
        }
    });
    Manifest {
        format: FORMAT,
        job: "job".into(),
        epoch: 1,
        generation: 1,
        code: plan.code.clone(),
        reason: Reason::Stop,
        begun_micros: 0,
        complete_micros: 0,
        stages: stages.collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_table_goes_on_at_another_parallelism() {
    keyed_table_goes_on("with memory", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_table_without_memory_goes_on() {
    keyed_table_goes_on("without memory", Some(0)).await;
}

async fn keyed_table_goes_on(name: &str, state_memory: Option<u64>) {
    let pipeline = pipeline(&[(0, || Box::new(Modulo)), (1, || Box::new(Totals::new(signed)))]);
    let spill_directory = Some(std::env::temp_dir());
    let limits = Limits { flush_interval: Duration::from_secs(60), state_memory, spill_directory, ..Limits::default() };
    let (name_before, name_after) = (format!("totals before, {name}"), format!("totals after, {name}"));
    let objects: Arc<dyn Objects> = Arc::new(MemoryObjects::new());
    let (reports, mut reported) = mpsc::unbounded_channel();
    let keeping = |generation, restore| Keeping {
        objects: objects.clone(),
        job: name.to_owned(),
        generation,
        reports: reports.clone(),
        restore,
        compact_after: None,
    };
    let plan = totals(&name_before, 2, json!({ "rows": 20, "hang": true }));
    let job = Job::start(pipeline, &plan, limits.clone(), &Handle::current(), Some(keeping(1, None))).unwrap();
    let counters = job.counters();
    wait_until(|| counters[2..].iter().map(|task| task.snapshot().rows_in).sum::<u64>() == 40).await;
    job.controls().checkpoint(Barrier { epoch: 1, last: true });
    let reported_once = snapshots(&mut reported, 1, 4).await;
    job.controls().publish(1);
    assert_eq!(job.wait().await, Ok(Ending::Finished));
    let before = expected_counts(2);
    assert_eq!(rows(&name_before).into_iter().collect::<HashMap<_, _>>(), before);
    let on_disk: u64 = counters[2..].iter().map(|task| task.snapshot().spilled_groups).sum();
    assert_eq!(on_disk, if state_memory.is_some() { 7 } else { 0 });

    // The toy source begins anew, so that every count goes on.
    let restore = Some(Arc::new(manifest_of(&plan, &reported_once)));
    let plan = totals(&name_after, 3, json!({ "rows": 20 }));
    let job = Job::start(pipeline, &plan, limits.clone(), &Handle::current(), Some(keeping(2, restore))).unwrap();
    // Of all tasks the last words, then the sinks'.
    let mut ended = 0;
    while ended < 6 {
        ended += i32::from(matches!(reported.recv().await, Some(Report::Snapshot(_))));
    }
    job.controls().publish(1);
    assert_eq!(job.wait().await, Ok(Ending::Finished));
    let mut expected = Vec::new();
    for (key, more) in expected_counts(3) {
        expected.extend([(key, -before[&key]), (key, before[&key] + more)]);
    }
    // Without memory each batch is flushed: what is said in between is taken back.
    let mut found: Vec<(i64, i64)> = Vec::new();
    for (key, count) in rows(&name_after) {
        match found.iter().position(|row| *row == (key, -count)) {
            Some(said) => drop(found.remove(said)),
            None => found.push((key, count)),
        }
    }
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

/// Files may have come since, which a run without a crash would not have read, and windows have been closed.
#[tokio::test]
async fn a_source_that_had_ended_is_not_read_again() {
    for (parallelism, ended, read) in [(2, [true, true], 0), (3, [true, true], 0), (2, [true, false], 40)] {
        let name = format!("after the end, at {parallelism}, {ended:?}");
        let plan = plan_to_sink(&name, 20, parallelism);
        let mut manifest = manifest_of(&plan_to_sink(&name, 20, 2), &[]);
        let task = |ended| TaskState { ended, source: Some(SourceState::default()), ..TaskState::default() };
        manifest.stages[0].tasks = ended.map(task).to_vec();
        manifest.stages[1].tasks = ended.map(|ended| TaskState { ended, ..TaskState::default() }).to_vec();
        let (reports, mut reported) = mpsc::unbounded_channel();
        let keeping = Keeping {
            objects: Arc::new(MemoryObjects::new()),
            job: "job".into(),
            generation: 2,
            reports,
            restore: Some(Arc::new(manifest)),
            compact_after: None,
        };
        let limits = Limits::default();
        let job = Job::start(pipeline(&[]), &plan, limits, &Handle::current(), Some(keeping)).unwrap();
        let mut said = 0;
        while said < 2 * parallelism {
            said += usize::from(matches!(reported.recv().await, Some(Report::Snapshot(_))));
        }
        job.controls().publish(1);
        assert_eq!(job.wait().await, Ok(Ending::Finished));
        assert_eq!(rows(&name).len(), read, "{name}");
    }
}

#[tokio::test]
async fn a_plan_that_does_not_fit_is_refused_before_anything_runs() {
    let good = plan_to_sink("unfit", 1, 2);
    let refusal = |change: fn(&mut JobPlan)| {
        let mut plan = good.clone();
        change(&mut plan);
        start(pipeline(&[]), &plan, Limits::default()).err().map(|failure| failure.error.message).unwrap_or_default()
    };
    assert_eq!(
        refusal(|plan| plan.code = "x".into()),
        "the plan belongs to code x, this binary was made from code toys"
    );
    assert_eq!(refusal(|plan| plan.stages[0].generated = true), "the binary has no code for stage 0 \"stage_0\"");
    assert_eq!(
        refusal(|plan| plan.stages[1].sink.as_mut().unwrap().connector = "kafka".into()),
        "the binary has no connector \"kafka\""
    );
    assert_eq!(
        refusal(|plan| plan.stages[1].sink.as_mut().unwrap().options["refuse"] = true.into()),
        "the toy sink does not open"
    );
    assert_eq!(
        refusal(|plan| plan.stages[1].parallelism = 1),
        "the plan forwards between stages of unequal parallelism"
    );
    assert_eq!(
        refusal(|plan| plan.edges[0].exchange = ExchangePlan::Hash(vec![2])),
        "the plan hashes a column that the stage does not have"
    );
    assert_eq!(refusal(|plan| plan.edges.clear()), "the plan gives the stage both a source and an edge, or neither");
}

#[test]
fn with_other_tasks_a_partition_begins_at_the_least_watermark_unless_a_task_had_none() {
    let task = |ended: bool, watermarks: Vec<(usize, i64)>| TaskState {
        watermark: watermarks.iter().map(|(_, watermark)| *watermark).max(),
        ended,
        source: Some(SourceState { position: None, watermarks }),
        ..TaskState::default()
    };
    let begin = |tasks: Vec<TaskState>| {
        let state = StageState {
            source: None,
            sink: None,
            stage: 0,
            name: String::new(),
            operators: vec![],
            tables: vec![],
            tasks,
        };
        take_over(&state, Share { stage: 0, task: 0, parallelism: 1 }).any_partition
    };
    let read = task(false, vec![(0, 30), (1, 20)]);
    assert_eq!(begin(vec![read.clone(), task(false, vec![(0, 25)])]), Some(20));
    assert_eq!(begin(vec![read.clone(), task(true, vec![])]), Some(20));
    assert_eq!(begin(vec![read, task(false, vec![])]), None);
    assert_eq!(begin(vec![task(true, vec![]), task(true, vec![])]), None);
}

/// What each of so many tasks reports of an epoch.
async fn snapshots(reported: &mut mpsc::UnboundedReceiver<Report>, epoch: u64, tasks: usize) -> Vec<TaskSnapshot> {
    let mut found = Vec::new();
    while found.len() < tasks {
        match reported.recv().await.unwrap() {
            Report::Snapshot(snapshot) if snapshot.epoch == Some(epoch) => found.push(*snapshot),
            Report::Failed { error, .. } => panic!("{error}"),
            Report::Snapshot(_) | Report::Published { .. } => {}
        }
    }
    found.sort_by_key(|snapshot| (snapshot.stage, snapshot.task));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_merged_while_a_job_runs_and_any_parallelism_goes_on_with_what_is_left() {
    let pipeline = pipeline(&[(0, || Box::new(Modulo)), (1, || Box::<Tally>::default())]);
    let objects = Arc::new(MemoryObjects::new());
    let counting = |name: &str, parallelism: usize, rows: usize| {
        let mut plan = counting(name, parallelism, json!({ "rows": rows }));
        plan.stages[1].tables = vec![tally_table()];
        plan
    };
    let keeping = |generation: u64, restore: Option<Manifest>| {
        let (reports, reported) = mpsc::unbounded_channel();
        let (objects, job, restore) = (objects.clone(), "job".to_owned(), restore.map(Arc::new));
        (Keeping { objects, job, generation, reports, restore, compact_after: Some(3) }, reported)
    };
    let limits = || Limits { batch_rows: 10, ..Limits::default() };

    let plan = counting("tally of two", 2, usize::MAX);
    let (kept, mut reported) = keeping(1, None);
    let job = Job::start(pipeline, &plan, limits(), &Handle::current(), Some(kept)).unwrap();
    let (controls, counters) = (job.controls(), job.counters());
    let (mut files, mut last): (Vec<StateFile>, Vec<TaskSnapshot>) = (Vec::new(), Vec::new());
    let (mut merged, mut written) = (0, 0);
    for epoch in 1.. {
        let stop = merged >= 4;
        controls.checkpoint(Barrier { epoch, last: stop });
        last = snapshots(&mut reported, epoch, 4).await;
        for of_task in last.iter().filter_map(|snapshot| snapshot.merged.as_ref()) {
            assert!(of_task.replaces.len() >= 3);
            of_task.replace(&mut files);
            merged += 1;
        }
        let new = last.iter().flat_map(|snapshot| &snapshot.tables).flat_map(|(_, files)| files.clone());
        let before = files.len();
        files.extend(new);
        written += files.len() - before;
        controls.publish(epoch);
        if stop {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(job.wait().await, Ok(Ending::Finished));
    assert!(files.len() < written, "{} files of {written}", files.len());
    let read: u64 = counters[..2].iter().map(|task| task.snapshot().rows_in).sum();

    let table = TableState { spec: tally_table(), files };
    let stage = |stage: usize, tables: Vec<&TableState>| {
        let of_stage = last.iter().filter(|snapshot| snapshot.stage == stage);
        let tasks: Vec<_> = of_stage.map(|snapshot| &snapshot.state).collect();
        json!({ "stage": stage, "name": "", "operators": [], "tables": tables, "tasks": tasks })
    };
    let manifest: Manifest = serde_json::from_value(json!({
        "format": FORMAT, "job": "job", "epoch": 99, "generation": 1, "code": CODE, "reason": "stop",
        "begun_micros": 0, "complete_micros": 0, "stages": [stage(0, vec![]), stage(1, vec![&table])],
    }))
    .unwrap();
    for parallelism in [1, 2, 3] {
        let name = format!("tally gone on by {parallelism}");
        let plan = counting(&name, parallelism, 0);
        let (kept, _reported) = keeping(2, Some(manifest.clone()));
        let job = Job::start(pipeline, &plan, limits(), &Handle::current(), Some(kept)).unwrap();
        // The checkpoint at the end.
        job.controls().publish(u64::MAX);
        assert_eq!(job.wait().await, Ok(Ending::Finished));
        let counts: HashMap<i64, i64> = rows(&name).into_iter().collect();
        assert_eq!((counts.len(), rows(&name).len()), (7, 7));
        assert_eq!(counts.values().map(|count| *count as u64).sum::<u64>(), read);
    }
}

/// A table of keys and sums.
fn sums(columns: &[(&str, ScalarType)]) -> TableSpec {
    let fields = columns.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true));
    TableSpec {
        name: "sums".into(),
        kind: TableKind::Keyed,
        version: 1,
        keys: 1,
        columns: Schema::new(fields.collect()),
        lifetime: None,
        operator: Operator::default(),
    }
}

/// A checkpoint of a source and a stage with that table.
fn manifest(table: TableState) -> Manifest {
    let state = |stage: usize, tables| StageState {
        stage,
        name: String::new(),
        operators: vec![],
        source: None,
        sink: None,
        tables,
        tasks: vec![TaskState::default()],
    };
    Manifest {
        format: FORMAT,
        job: "job".into(),
        epoch: 3,
        generation: 1,
        code: CODE.into(),
        reason: Reason::Interval,
        begun_micros: 0,
        complete_micros: 0,
        stages: vec![state(0, vec![]), state(1, vec![table])],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_restored_from_other_columns_is_written_once_in_those_of_the_plan() {
    let old = sums(&[("key", ScalarType::Int64), ("gone", ScalarType::Int64), ("sum(n)", ScalarType::Int32)]);
    let new = sums(&[("key", ScalarType::Int64), ("sum(n)", ScalarType::Int64)]);
    let objects: Arc<dyn Objects> = Arc::new(MemoryObjects::new());
    let files = StateFiles { objects: objects.clone(), job: "job".into(), generation: 1 };
    let share = Share { stage: 1, task: 0, parallelism: 1 };
    let columns = vec![from_i64(vec![1, 2], None), from_i64(vec![9, 9], None), from_i32(vec![10, 20], None)];
    let mut rows = TableRows::default();
    rows.keep(Batch::new(columns, 2));
    let written = files.write(&old, rows, share, 3).await.unwrap();

    let mut plan = plan_to_sink("migrated", 0, 1);
    plan.stages[0].source.as_mut().unwrap().options["hang"] = true.into();
    plan.stages[1].generated = true;
    plan.stages[1].tables = vec![new];
    let manifest = manifest(TableState { spec: old, files: written });
    let (reports, mut reported) = mpsc::unbounded_channel();
    let restore = Some(Arc::new(manifest));
    let keeping = Keeping { objects, job: "job".into(), generation: 2, reports, restore, compact_after: None };
    let pipeline = pipeline(&[(1, || Box::new(Changing))]);
    let job = Job::start(pipeline, &plan, Limits::default(), &Handle::current(), Some(keeping)).unwrap();
    let mut found = Vec::new();
    for (epoch, last) in [(5, false), (6, true)] {
        job.controls().checkpoint(Barrier { epoch, last });
        let snapshot = loop {
            match reported.recv().await.unwrap() {
                Report::Snapshot(snapshot) if snapshot.stage == 1 && snapshot.epoch == Some(epoch) => break snapshot,
                _ => {}
            }
        };
        let (spec, written) = &snapshot.tables[0];
        let rows = files.read(spec, &written[0], share, &[]).await.unwrap();
        found.push(rows.iter().flat_map(|(batch, _)| values(batch)).collect::<Vec<_>>());
        job.controls().publish(epoch);
    }
    assert_eq!(job.wait().await, Ok(Ending::Finished));
    assert_eq!(found, [vec![(1, 10), (2, 20), (3, 30)], vec![(3, 30)]]);
}

#[tokio::test]
async fn a_checkpoint_of_other_tables_is_refused() {
    let plan = |columns: &[(&str, ScalarType)]| {
        let mut plan = plan_to_sink("unfit tables", 0, 1);
        plan.stages[1].tables = vec![sums(columns)];
        plan
    };
    let wide = [("key", ScalarType::Int64), ("sum(n)", ScalarType::Int64)];
    let manifest = manifest(TableState { spec: sums(&wide), files: vec![] });
    let narrow = plan(&[("key", ScalarType::Int64), ("sum(n)", ScalarType::Int32)]);
    let refused = check_restore(&narrow, &manifest).unwrap_err().error.message;
    assert_eq!(refused, "checkpoint 3 does not fit: column \"sum(n)\" of table \"sums\" is INT, and was BIGINT");
    let refused = check_restore(&plan_to_sink("no tables", 0, 1), &manifest).unwrap_err().error.message;
    assert_eq!(refused, "checkpoint 3 does not fit: it does not have this stage's tables");
    assert!(check_restore(&plan(&wide), &manifest).is_ok());
    let other = Manifest { code: "other".into(), ..manifest };
    let refused = check_restore(&plan(&wide), &other).unwrap_err().error.message;
    assert_eq!(refused, "checkpoint 3 was made by code other, the query is now code toys");
}

/// A store that cannot be written until it is mended.
#[derive(Debug)]
struct Full {
    objects: MemoryObjects,
    refusals: AtomicUsize,
    mended: AtomicBool,
}

impl Objects for Full {
    fn url(&self) -> &str {
        "full:"
    }

    fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectError>> {
        if self.mended.load(Relaxed) {
            return self.objects.put(name, bytes);
        }
        self.refusals.fetch_add(1, Relaxed);
        let (action, path, source) = ("write", name.to_owned(), std::io::ErrorKind::StorageFull.into());
        Box::pin(async move { Err(ObjectError::Io { action, path, source }) })
    }

    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created, ObjectError>> {
        self.objects.create(name, bytes)
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectError>> {
        self.objects.get(name)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, ObjectError>> {
        self.objects.list(prefix)
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        self.objects.delete(name)
    }
}

/// Minutes pass in no time.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_full_holds_up_the_checkpoint_and_not_the_rows() {
    let store =
        Arc::new(Full { objects: MemoryObjects::new(), refusals: AtomicUsize::new(0), mended: AtomicBool::new(false) });
    let table = sums(&[("key", ScalarType::Int64), ("sum(n)", ScalarType::Int64)]);
    let mut plan = plan_to_sink("full store", 0, 1);
    plan.stages[0].source.as_mut().unwrap().options["hang"] = true.into();
    plan.stages[1].generated = true;
    plan.stages[1].tables = vec![table];
    let (reports, mut reported) = mpsc::unbounded_channel();
    let keeping = Keeping {
        objects: store.clone(),
        job: "job".into(),
        generation: 1,
        reports,
        restore: None,
        compact_after: None,
    };
    let pipeline = pipeline(&[(1, || Box::new(Changing))]);
    let job = Job::start(pipeline, &plan, Limits::default(), &Handle::current(), Some(keeping)).unwrap();
    job.controls().checkpoint(Barrier { epoch: 2, last: false });
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(store.refusals.load(Relaxed) > 50);
    let mut early = Vec::new();
    while let Ok(report) = reported.try_recv() {
        early.push(report);
    }
    assert!(
        early.iter().all(|report| matches!(report, Report::Snapshot(snapshot) if snapshot.stage == 0)),
        "{early:?}"
    );
    store.mended.store(true, Relaxed);
    let Some(Report::Snapshot(snapshot)) = reported.recv().await else { panic!("no report") };
    assert_eq!((snapshot.stage, snapshot.epoch, snapshot.tables[0].1.is_empty()), (1, Some(2), false));
    job.controls().stop(Stop::Immediate);
    assert_eq!(job.wait().await, Ok(Ending::Stopped));
}
