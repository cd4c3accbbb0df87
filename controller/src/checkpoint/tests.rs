//! The coordinator by itself: scenarios, then any order of events.

use proptest::prelude::*;
use protocol::checkpoint::{HashRange, Merged, Replaced, SourceState, TableKind, TaskState};
use serde_json::json;

use super::*;
use crate::job::tests::plan;

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Time {
    Time::after_start(Duration::from_secs(seconds))
}

fn setting() -> Setting {
    Setting {
        job: "j".into(),
        generation: 3,
        plan: plan(),
        next_epoch: 5,
        restored: None,
        interval: INTERVAL,
        timeout: TIMEOUT,
    }
}

fn coordinator() -> Coordinator {
    Coordinator::new(setting(), at(0))
}

/// Of a stage that keeps these tables.
fn keeping(tables: Vec<TableSpec>) -> Coordinator {
    let mut plan = plan();
    plan.stages[0].tables = tables;
    Coordinator::new(Setting { plan, ..setting() }, at(0))
}

/// What a task says of an epoch, or at its end. Its token is unlike any other.
fn snapshot(task: usize, epoch: Option<u64>) -> Event {
    let token = json!({ "task": task, "epoch": epoch });
    let source = Some(SourceState::default());
    let state =
        TaskState { watermark: Some(7), ended: epoch.is_none(), source, tokens: vec![token], left_behind: vec![] };
    let times = SnapshotTimes::default();
    Event::Snapshot(Box::new(TaskSnapshot { stage: 0, task, epoch, state, tables: vec![], merged: None, times }))
}

fn published(task: usize, epoch: u64) -> Event {
    Event::Published { place: (0, task), epoch }
}

fn tokens(manifest: &Manifest) -> Vec<serde_json::Value> {
    manifest.stages.iter().flat_map(|stage| &stage.tasks).flat_map(|task| task.tokens.clone()).collect()
}

fn written(effects: &[Effect]) -> Option<&Manifest> {
    effects.iter().find_map(|effect| match effect {
        Effect::Write(manifest) => Some(&**manifest),
        _ => None,
    })
}

#[test]
fn a_checkpoint_goes_from_the_interval_to_the_last_sink() {
    let mut it = coordinator();
    assert_eq!(it.deadline(), Some(at(10)));
    assert_eq!(it.step(Event::Tick, at(9), 0), []);
    assert_eq!(it.step(Event::Tick, at(10), 1_000), [Effect::Begin { epoch: 5, last: false }]);
    assert_eq!(it.step(snapshot(0, Some(5)), at(11), 0), []);
    let effects = it.step(snapshot(1, Some(5)), at(12), 2_000);
    let manifest = written(&effects).unwrap();
    assert_eq!((manifest.epoch, manifest.generation, manifest.reason), (5, 3, Reason::Interval));
    assert_eq!((manifest.begun_micros, manifest.complete_micros), (1_000, 2_000));
    assert_eq!(tokens(manifest), [json!({ "task": 0, "epoch": 5 }), json!({ "task": 1, "epoch": 5 })]);
    // Nothing is published before the record is there.
    assert_eq!(it.step(Event::Tick, at(13), 0), []);
    assert_eq!(it.step(Event::Written { epoch: 5 }, at(14), 0), [Effect::Publish { epoch: 5 }]);
    assert_eq!(it.step(published(1, 5), at(15), 0), []);
    let effects = it.step(published(0, 5), at(17), 0);
    let [Effect::Completed(completed)] = effects.as_slice() else { panic!("{effects:?}") };
    let seconds = [completed.collect, completed.write, completed.publish].map(|time| time.as_secs());
    assert_eq!((completed.epoch, seconds), (5, [2, 2, 3]));
    // The next one is an interval away.
    assert_eq!(it.step(Event::Tick, at(26), 0), []);
    assert_eq!(it.step(Event::Tick, at(27), 0), [Effect::Begin { epoch: 6, last: false }]);
}

#[test]
fn one_that_is_asked_for_begins_at_once_or_behind_the_one_under_way() {
    let mut it = coordinator();
    assert_eq!(it.next_epoch(), 5);
    assert_eq!(it.step(Event::Take, at(1), 0), [Effect::Begin { epoch: 5, last: false }]);
    // The one under way may have begun before what the second one is about.
    assert_eq!((it.next_epoch(), it.step(Event::Take, at(2), 0)), (6, vec![]));
    it.step(snapshot(0, Some(5)), at(2), 0);
    let effects = it.step(snapshot(1, Some(5)), at(2), 0);
    assert_eq!(written(&effects).unwrap().reason, Reason::Asked);
    it.step(Event::Written { epoch: 5 }, at(2), 0);
    it.step(published(0, 5), at(3), 0);
    let effects = it.step(published(1, 5), at(4), 0);
    let [Effect::Completed(completed), Effect::Begin { epoch: 6, last: false }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let seconds: Vec<_> = completed.tasks.iter().map(|part| part.publish.map(|time| time.as_secs())).collect();
    assert_eq!(seconds, [Some(1), Some(2)], "how long each sink took");
    it.step(snapshot(0, Some(6)), at(5), 0);
    it.step(snapshot(1, Some(6)), at(5), 0);
    it.step(Event::Written { epoch: 6 }, at(5), 0);
    it.step(published(0, 6), at(5), 0);
    it.step(published(1, 6), at(5), 0);
    // The next one is an interval away.
    assert_eq!(it.deadline(), Some(at(15)));
}

/// A worker of generation 2, which has restored checkpoint 1 and committed 3.
fn standing(begun: u64, published: u64) -> Standing {
    Standing { first_generation: 2, restored: 1, begun, published, stopping: false }
}

/// As generation 3 finds the log: its fence is record 4.
fn inherited(epoch: u64, generation: u64) -> Setting {
    let mut it = coordinator();
    it.step(Event::Tick, at(10), 0);
    it.step(snapshot(0, Some(5)), at(10), 0);
    let effects = it.step(snapshot(1, None), at(10), 0);
    let restored = Manifest { epoch, generation, ..written(&effects).unwrap().clone() };
    Setting { restored: Some(restored), ..setting() }
}

#[test]
fn a_worker_is_adopted_where_the_log_says_that_it_is() {
    let adopt = |setting, standing| Coordinator::adopt(setting, &standing, at(0), 0);
    // Between two checkpoints. The last one may not be published; a task ended with it.
    let (mut it, flight, effects) = adopt(inherited(3, 2), standing(3, 1)).unwrap();
    assert_eq!((flight, effects), (0, vec![Effect::Publish { epoch: 3 }]));
    assert_eq!(it.repeated(), Some(Effect::Publish { epoch: 3 }));
    it.step(snapshot(1, None), at(1), 0);
    assert_eq!(it.step(published(0, 3), at(19), 0), []);
    assert_eq!(it.step(published(1, 3), at(20), 0), []);
    assert_eq!(it.step(Event::Tick, at(30), 0), [Effect::Begin { epoch: 5, last: false }]);
    let effects = it.step(snapshot(0, Some(5)), at(31), 0);
    assert_eq!(
        tokens(written(&effects).unwrap()),
        [json!({ "task": 0, "epoch": 5 })],
        "those of the end are published"
    );

    // In the middle of one: its number is this generation's next.
    let (mut it, flight, effects) = adopt(inherited(3, 2), standing(4, 3)).unwrap();
    assert_eq!((flight, effects, it.next_epoch()), (5, vec![], 6));
    assert_eq!(it.repeated(), Some(Effect::Begin { epoch: 5, last: false }));
    it.step(snapshot(0, Some(5)), at(1), 0);
    let effects = it.step(snapshot(1, Some(5)), at(1), 0);
    let manifest = written(&effects).unwrap();
    assert_eq!((manifest.epoch, manifest.generation), (5, 3));

    // Before and in its first.
    let restored = || inherited(1, 1);
    let (it, flight, effects) = adopt(restored(), standing(0, 0)).unwrap();
    assert_eq!((flight, effects, it.deadline()), (0, vec![], Some(at(10))));
    assert_eq!(adopt(restored(), standing(2, 0)).unwrap().1, 5);
    assert_eq!(adopt(setting(), Standing { restored: 0, ..standing(2, 0) }).unwrap().1, 5);
}

#[test]
fn a_worker_that_does_not_fit_the_log_is_not_adopted() {
    let refused = |setting, standing| Coordinator::adopt(setting, &standing, at(0), 0).err();
    assert!(refused(inherited(3, 2), Standing { stopping: true, ..standing(3, 3) }).is_some());
    assert!(refused(inherited(3, 2), standing(2, 1)).is_some(), "committed by nobody knows whom");
    assert!(refused(inherited(3, 2), standing(4, 2)).is_some(), "begun before the last one was published");
    assert!(refused(inherited(2, 1), standing(0, 0)).is_some(), "it has restored another one");
    assert!(refused(inherited(1, 1), standing(3, 2)).is_some(), "what it has published is not in the log");
    assert!(refused(setting(), standing(0, 0)).is_some(), "the log has none");
}

#[test]
fn a_stop_waits_for_the_checkpoint_that_is_under_way() {
    let mut it = coordinator();
    it.step(Event::Tick, at(10), 0);
    assert_eq!(it.step(Event::Stop, at(11), 0), []);
    it.step(snapshot(0, Some(5)), at(11), 0);
    it.step(snapshot(1, Some(5)), at(11), 0);
    it.step(Event::Written { epoch: 5 }, at(11), 0);
    it.step(published(0, 5), at(11), 0);
    let effects = it.step(published(1, 5), at(11), 0);
    assert!(effects.contains(&Effect::Begin { epoch: 6, last: true }), "{effects:?}");
    it.step(snapshot(0, Some(6)), at(12), 0);
    let effects = it.step(snapshot(1, Some(6)), at(12), 0);
    assert_eq!(written(&effects).unwrap().reason, Reason::Stop);
    it.step(Event::Written { epoch: 6 }, at(12), 0);
    it.step(published(0, 6), at(12), 0);
    it.step(published(1, 6), at(12), 0);
    // Nothing follows.
    assert_eq!((it.deadline(), it.step(Event::Tick, at(999), 0)), (None, vec![]));
}

#[test]
fn a_task_that_has_ended_stands_for_itself_and_gives_its_tokens_once() {
    let mut it = coordinator();
    it.step(snapshot(0, None), at(1), 0);
    assert_eq!(it.step(Event::Tick, at(10), 0), [Effect::Begin { epoch: 5, last: false }]);
    let effects = it.step(snapshot(1, Some(5)), at(11), 0);
    assert_eq!(
        tokens(written(&effects).unwrap()),
        [json!({ "task": 0, "epoch": null }), json!({ "task": 1, "epoch": 5 })]
    );
    it.step(Event::Written { epoch: 5 }, at(11), 0);
    it.step(published(0, 5), at(11), 0);
    it.step(published(1, 5), at(11), 0);
    // The other one ends too: that is the last checkpoint, at once.
    let effects = it.step(snapshot(1, None), at(12), 0);
    let manifest = written(&effects).unwrap();
    assert_eq!((manifest.epoch, manifest.reason), (6, Reason::End));
    assert_eq!(tokens(manifest), [json!({ "task": 1, "epoch": null })]);
    it.step(Event::Written { epoch: 6 }, at(12), 0);
    let effects = it.step(published(1, 6), at(12), 0);
    assert!(matches!(effects.as_slice(), [Effect::Completed(_)]));
    assert_eq!(it.deadline(), None);
}

#[test]
fn an_end_that_is_told_twice_gives_its_tokens_once() {
    let mut it = coordinator();
    it.step(snapshot(0, None), at(1), 0);
    it.step(Event::Tick, at(10), 0);
    it.step(snapshot(1, Some(5)), at(11), 0);
    it.step(Event::Written { epoch: 5 }, at(11), 0);
    it.step(published(0, 5), at(11), 0);
    it.step(published(1, 5), at(11), 0);
    it.step(snapshot(0, None), at(12), 0);
    it.step(Event::Tick, at(21), 0);
    let effects = it.step(snapshot(1, Some(6)), at(22), 0);
    assert_eq!(tokens(written(&effects).unwrap()), [json!({ "task": 1, "epoch": 6 })]);
}

#[test]
fn a_task_that_ends_while_a_manifest_is_written_keeps_its_tokens_for_the_next() {
    let mut it = coordinator();
    it.step(Event::Tick, at(10), 0);
    it.step(snapshot(0, Some(5)), at(11), 0);
    it.step(snapshot(1, Some(5)), at(11), 0);
    it.step(snapshot(0, None), at(11), 0);
    it.step(snapshot(1, None), at(11), 0);
    it.step(Event::Written { epoch: 5 }, at(12), 0);
    it.step(published(0, 5), at(12), 0);
    let effects = it.step(published(1, 5), at(12), 0);
    let manifest = written(&effects).unwrap();
    assert_eq!(manifest.reason, Reason::End);
    assert_eq!(tokens(manifest), [json!({ "task": 0, "epoch": null }), json!({ "task": 1, "epoch": null })]);
}

#[test]
fn a_checkpoint_that_is_not_complete_in_time_names_the_task() {
    let mut it = coordinator();
    it.step(Event::Tick, at(10), 0);
    it.step(snapshot(0, Some(5)), at(11), 0);
    assert_eq!(it.deadline(), Some(at(70)));
    let effects = it.step(Event::Tick, at(70), 0);
    let [Effect::Fail(failure)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(failure.class, ErrorClass::Retryable);
    assert!(failure.message.contains("task 1 of stage \"flights\" has not reported"), "{failure}");
}

fn table(kind: TableKind) -> TableSpec {
    TableSpec {
        name: "rows".into(),
        kind,
        version: 1,
        keys: 1,
        columns: Default::default(),
        lifetime: None,
        operator: Default::default(),
    }
}

/// Half of the hashes.
fn half(task: usize) -> HashRange {
    let middle = 1 << 63;
    if task == 0 { HashRange { first: 0, last: middle - 1 } } else { HashRange { first: middle, last: u64::MAX } }
}

fn file(name: &str, task: usize) -> StateFile {
    StateFile {
        path: name.into(),
        sha256: String::new(),
        bytes: 10,
        rows: 1,
        epoch: 1,
        generation: 3,
        task,
        hashes: half(task).texts(),
        expires: None,
    }
}

/// A checkpoint in which the two tasks have written these files; the names of those that its manifest has.
fn checkpoint(it: &mut Coordinator, wrote: [Option<&str>; 2], merged: Option<(usize, Merged)>) -> Vec<String> {
    let Phase::Waiting { until } = it.phase else { panic!("{:?}", it.phase) };
    let begun = it.step(Event::Tick, until, 0);
    let [Effect::Begin { epoch, .. }] = begun.as_slice() else { panic!("{begun:?}") };
    let epoch = *epoch;
    let mut effects = vec![];
    for (task, name) in wrote.into_iter().enumerate() {
        let Event::Snapshot(mut said) = snapshot(task, Some(epoch)) else { panic!("not a snapshot") };
        said.state.tokens.clear();
        said.tables = vec![(
            it.setting.plan.stages[0].tables[0].clone(),
            name.map(|name| file(name, task)).into_iter().collect(),
        )];
        said.merged = merged.clone().filter(|(of, _)| *of == task).map(|(_, merged)| merged);
        effects = it.step(Event::Snapshot(said), until, 0);
    }
    let manifest = written(&effects).unwrap();
    let names = manifest.stages[0].tables[0].files.iter().map(|file| file.path.clone()).collect();
    let effects = it.step(Event::Written { epoch }, until, 0);
    let Some(Effect::Completed(completed)) = effects.last() else { panic!("{effects:?}") };
    let merged = merged.as_ref().and_then(|(_, merged)| merged.file.as_ref());
    assert_eq!(completed.merged_bytes, merged.map_or(0, |file| file.bytes));
    assert_eq!(completed.files, wrote.iter().flatten().count());
    names
}

#[test]
fn a_merged_file_stands_where_those_stood_that_it_was_made_of() {
    let mut it = keeping(vec![table(TableKind::Keyed)]);
    assert_eq!(checkpoint(&mut it, [Some("a1"), Some("b1")], None), ["a1", "b1"]);
    assert_eq!(checkpoint(&mut it, [Some("a2"), None], None), ["a1", "b1", "a2"]);
    let replaces = ["a1", "a2"].map(|path| Replaced { path: path.into(), hashes: half(0) }).into();
    let merged = Merged { table: 0, file: Some(file("a", 0)), replaces };
    let names = checkpoint(&mut it, [Some("a3"), Some("b3")], Some((0, merged)));
    assert_eq!(names, ["b1", "a", "a3", "b3"]);
    // It is said once.
    assert_eq!(checkpoint(&mut it, [None, None], None), ["b1", "a", "a3", "b3"]);
}

#[test]
fn the_newest_of_a_global_table_stays_until_there_is_a_newer_one() {
    let mut it = keeping(vec![table(TableKind::Global)]);
    assert_eq!(checkpoint(&mut it, [Some("a1"), None], None), ["a1"]);
    assert_eq!(checkpoint(&mut it, [None, None], None), ["a1"]);
    assert_eq!(checkpoint(&mut it, [Some("a3"), None], None), ["a3"]);
    // What another task knows is in a file of its own.
    assert_eq!(checkpoint(&mut it, [None, Some("b4")], None), ["a3", "b4"]);
    assert_eq!(checkpoint(&mut it, [Some("a5"), None], None), ["b4", "a5"]);
    assert_eq!(checkpoint(&mut it, [Some("a6"), Some("b6")], None), ["a6", "b6"]);
}

#[test]
fn files_with_other_columns_are_not_carried_on() {
    let spec = |column: &str| {
        let columns = serde_json::from_value(json!([{ "name": column, "type": "int64", "nullable": true }])).unwrap();
        TableSpec {
            name: "groups".into(),
            kind: TableKind::Keyed,
            version: 1,
            keys: 0,
            columns,
            lifetime: None,
            operator: Default::default(),
        }
    };
    let file = |epoch: u64| StateFile {
        path: format!("state/{epoch:010}-1-0-0-groups.parquet"),
        sha256: String::new(),
        bytes: 1,
        rows: 1,
        epoch,
        generation: 1,
        task: 0,
        hashes: ("0".into(), "f".into()),
        expires: None,
    };
    for (before, carried) in [("sum(n)", vec![4, 5]), ("sum(m)", vec![5])] {
        let mut plan = plan();
        plan.stages[0].tables = vec![spec("sum(n)")];
        let stage = StageState {
            stage: 0,
            name: "flights".into(),
            operators: vec![],
            source: None,
            sink: None,
            tables: vec![TableState { spec: spec(before), files: vec![file(4)] }],
            tasks: vec![TaskState::default(); 2],
        };
        let restored = Manifest { epoch: 4, stages: vec![stage], ..crate::log::tests::manifest(0) };
        let mut it = Coordinator::new(Setting { plan, restored: Some(restored), ..setting() }, at(0));
        it.step(Event::Tick, at(10), 0);
        let report = |task: usize, file: Option<StateFile>| {
            let Event::Snapshot(mut snapshot) = snapshot(task, Some(5)) else { panic!("no snapshot") };
            snapshot.tables = vec![(spec("sum(n)"), file.into_iter().collect())];
            Event::Snapshot(snapshot)
        };
        it.step(report(0, Some(file(5))), at(11), 0);
        let effects = it.step(report(1, None), at(11), 0);
        let files = &written(&effects).unwrap().stages[0].tables[0].files;
        assert_eq!(files.iter().map(|file| file.epoch).collect::<Vec<_>>(), carried);
    }
}

#[derive(Clone, Debug)]
enum Move {
    Pass(u64),
    Report(usize),
    End(usize),
    Written,
    Publish(usize),
    Stop,
}

proptest! {
    /// Tasks that do what they are told, in any order of events: no row's token is lost or given twice, epochs are
    /// consecutive, nothing is published before it is written, and one checkpoint is over before the next begins.
    #[test]
    fn every_token_is_in_one_manifest(moves in prop::collection::vec(prop_oneof![
        3 => (1u64..15).prop_map(Move::Pass),
        6 => (0usize..2).prop_map(Move::Report),
        1 => (0usize..2).prop_map(Move::End),
        5 => Just(Move::Written),
        6 => (0usize..2).prop_map(Move::Publish),
        1 => Just(Move::Stop),
    ], 0..60)) {
        let mut it = coordinator();
        let mut clock = 0;
        // Of each task: the barrier that it has not passed, whether it has ended, what it has prepared.
        let mut barrier = [None, None];
        let mut ended = [false; 2];
        let mut given: Vec<serde_json::Value> = Vec::new();
        let mut found: Vec<serde_json::Value> = Vec::new();
        let (mut writing, mut publishing, mut epochs) = (None, None, Vec::new());
        let mut last = false;
        for next in moves {
            let event = match next {
                Move::Pass(seconds) => {
                    clock += seconds;
                    Event::Tick
                }
                Move::Stop => Event::Stop,
                Move::Report(task) => {
                    let Some(epoch) = barrier[task].take() else { continue };
                    given.push(json!({ "task": task, "epoch": epoch }));
                    ended[task] |= last;
                    snapshot(task, Some(epoch))
                }
                Move::End(task) => {
                    if ended[task] || barrier[task].is_some() {
                        continue;
                    }
                    ended[task] = true;
                    given.push(json!({ "task": task, "epoch": null }));
                    snapshot(task, None)
                }
                Move::Written => match writing.take() {
                    Some(epoch) => Event::Written { epoch },
                    None => continue,
                },
                Move::Publish(task) => match publishing {
                    Some(epoch) => published(task, epoch),
                    None => continue,
                },
            };
            for effect in it.step(event, at(clock), 0) {
                match effect {
                    Effect::Begin { epoch, last: is_last } => {
                        prop_assert!(writing.is_none());
                        last = is_last;
                        for task in 0..2 {
                            if !ended[task] {
                                barrier[task] = Some(epoch);
                            }
                        }
                    }
                    Effect::Write(manifest) => {
                        prop_assert!(writing.is_none());
                        writing = Some(manifest.epoch);
                        epochs.push(manifest.epoch);
                        found.extend(tokens(&manifest));
                    }
                    Effect::Publish { epoch } => {
                        prop_assert_eq!(epochs.last(), Some(&epoch));
                        publishing = Some(epoch);
                    }
                    Effect::Completed(_) | Effect::Fail(_) => publishing = None,
                }
            }
        }
        prop_assert!(epochs.iter().copied().eq(5..5 + epochs.len() as u64));
        let mut unique = found.clone();
        unique.sort_by_key(ToString::to_string);
        unique.dedup();
        prop_assert_eq!(unique.len(), found.len(), "a token was given twice");
        prop_assert!(found.iter().all(|token| given.contains(token)));
        // All that is in no manifest yet belongs to the checkpoint that is being collected.
        let open: Vec<_> = given.iter().filter(|token| !found.contains(token)).collect();
        prop_assert!(open.len() <= 4, "{open:?}");
    }
}
