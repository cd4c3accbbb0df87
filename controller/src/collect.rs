//! Takes away what nobody can need any more: old records of the log, and state that no manifest names.
//!
//! It goes by what can be reached, not by counts: each time, all names are listed and those that are reached from the
//! retained manifests stay, so what a crash has left is found by the next collection like everything else.
//!
//! * **Retained** are the newest `keep` manifests of the log, all savepoints, and the manifest that the last fence has
//!   gone back to, if none follows it.
//! * **Records** below the oldest retained one of the log go. So the newest manifest stays, whatever is above it, and
//!   the last record: a log's numbers never start again, and a zombie that fills a hole sees it (see [`crate::log`]).
//! * **State files** go that no retained manifest names and none can come to name: those of generations before the one
//!   that the log belongs to, which cannot commit, and those of epochs up to the newest manifest's, because a manifest
//!   names files of the one before it and new ones of its own epoch. Files of the epoch in flight are neither.
//!
//! **Records go first, the oldest first.** A manifest that can be found must have its files, because it can be
//! restored; so at every moment of a collection, and after a crash in the middle, files are there longer than what
//! names them. And a log must not have gaps, because it is read down to the first one.
//!
//! The log is read first, then savepoints, then all names. So a manifest that is given a name too late to be seen is
//! one that was retained by the log as it was read, or a newer one (others must not be given names, see [`Log::save`]),
//! and of either the files stay. At last the log is looked at once more: if somebody has claimed it since, who may have gone
//! back to a savepoint that its user has removed before it was seen, nothing is removed. So several collectors at a time,
//! zombies' too, do no harm: each removes what was rubbish when it looked, and nothing becomes needed again.
//!
//! Not here: prepared output of sinks, which the sinks discard at a restore; when to collect.
//!
//! Cost: three listings, one reading for each retained manifest and savepoint, one deletion for each object that goes.

use std::collections::BTreeSet;

use artifacts::objects::Entry;
use protocol::checkpoint::Manifest;
use protocol::mutant::{self, Mutant};

use crate::log::{Log, LogError, record_number};

/// What a collection goes by.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub job: String,
    /// All objects of the job.
    pub objects: Vec<Entry>,
    /// The retained manifests of the log, the newest first.
    pub manifests: Vec<Manifest>,
    /// Savepoints, and what a fence has gone back to.
    pub pinned: Vec<Manifest>,
    /// Those before it cannot commit any more.
    pub generation: u64,
}

/// What a collection has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub objects: usize,
    pub bytes: u64,
}

/// Removes a job's rubbish. `keep` is how many manifests of the log are retained, at least one; `generation` is the
/// caller's own, which it has claimed.
///
/// # Errors
/// When the log or a savepoint cannot be read: then nothing has been removed. When something cannot be removed: then
/// nothing behind it has been, and the next collection goes on there.
pub async fn collect(log: &Log, keep: usize, generation: u64) -> Result<Collected, LogError> {
    let view = view(log, keep, generation).await?;
    let mut collected = Collected::default();
    for entry in rubbish(&view) {
        log.delete(&entry.name).await?;
        collected.objects += 1;
        collected.bytes += entry.bytes;
    }
    Ok(collected)
}

/// Without objects when the log has come to belong to somebody else meanwhile.
async fn view(log: &Log, keep: usize, generation: u64) -> Result<View, LogError> {
    let tail = log.tail(keep).await?;
    let mut savepoints: Vec<_> = log.savepoints().await?.into_iter().map(|savepoint| savepoint.manifest).collect();
    if mutant::is(Mutant::SavepointIgnored) {
        savepoints.clear();
    }
    let pinned = savepoints.into_iter().chain(tail.from).collect();
    let objects = log.list("").await?;
    if log.read().await?.generation != tail.generation {
        return Ok(View::default());
    }
    Ok(View {
        job: log.job().to_owned(),
        objects,
        manifests: tail.manifests,
        pinned,
        // Whatever the caller thinks: only a fence in the log ends the generations before it.
        generation: generation.min(tail.generation),
    })
}

/// What can go, in the order in which it must.
pub fn rubbish(view: &View) -> Vec<&Entry> {
    let oldest = view.manifests.iter().map(|manifest| manifest.epoch).min().unwrap_or(0);
    let newest = view.manifests.iter().map(|manifest| manifest.epoch).max().unwrap_or(0);
    let reached: BTreeSet<&str> = view.manifests.iter().chain(&view.pinned).flat_map(files).collect();

    let mut records = vec![];
    let mut state = vec![];
    for entry in &view.objects {
        let Some(name) = entry.name.strip_prefix(&view.job).and_then(|name| name.strip_prefix('/')) else { continue };
        if let Some(number) = name.strip_prefix("log/").and_then(record_number) {
            if number < oldest {
                records.push((number, entry));
            }
        } else if let Some((epoch, generation)) = name.strip_prefix("state/").and_then(origin)
            && (generation < view.generation || epoch <= newest)
            && !reached.contains(name)
        {
            state.push(entry);
        }
    }
    records.sort_unstable_by_key(|(number, _)| *number);
    records.into_iter().map(|(_, entry)| entry).chain(state).collect()
}

/// The state files that a manifest names, below the job's directory.
fn files(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let tables = manifest.stages.iter().flat_map(|stage| &stage.tables);
    tables.flat_map(|table| &table.files).map(|file| file.path.as_str())
}

/// Epoch and generation in the name of a state file: `{epoch}-{generation}-{stage}-{task}-{table}.parquet`. What is
/// named otherwise is not ours to remove.
fn origin(file: &str) -> Option<(u64, u64)> {
    let mut parts = file.strip_suffix(".parquet")?.splitn(5, '-');
    let (epoch, generation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    // Stage, task and table.
    (parts.count() == 3).then_some((epoch, generation))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use artifacts::objects::{Created, MemoryObjects, ObjectError, Objects};
    use bytes::Bytes;
    use futures::future::BoxFuture;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use protocol::checkpoint::{StageState, StateFile, TableKind, TableSpec, TableState};

    use super::*;
    use crate::log::tests::{log, manifest, now};
    use crate::log::{RestorePoint, Writer};

    /// A checkpoint of one table.
    fn holding(files: Vec<StateFile>) -> Manifest {
        let spec = TableSpec {
            name: "counts".into(),
            kind: TableKind::Keyed,
            version: 1,
            keys: 1,
            columns: Default::default(),
            lifetime: None,
            operator: Default::default(),
        };
        let stage = StageState {
            stage: 1,
            name: "count".into(),
            operators: vec!["aggregate".into()],
            source: None,
            sink: None,
            tables: vec![TableState { spec, files }],
            tasks: vec![],
        };
        Manifest { stages: vec![stage], ..manifest(0) }
    }

    fn file(epoch: u64, generation: u64, task: usize) -> StateFile {
        StateFile {
            path: format!("state/{epoch:010}-{generation}-1-{task}-counts.parquet"),
            sha256: String::new(),
            bytes: 3,
            rows: 1,
            epoch,
            generation,
            task,
            hashes: ("0".into(), "f".into()),
            expires: None,
        }
    }

    fn entry(name: &str) -> Entry {
        Entry { name: name.into(), bytes: 1, modified: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn rubbish_is_what_nobody_can_need() {
        let at = |epoch, files| Manifest { epoch, generation: 2, ..holding(files) };
        let objects = [
            "job/log/0000000003.json",
            "job/log/0000000004.json",
            "job/log/0000000005.json",
            "job/log/0000000006.json",
            "job/log/0000000007.json",
            "job/log/notes.txt",
            "job/savepoints/a.json",
            "job/state/0000000002-1-1-0-counts.parquet",
            "job/state/0000000003-1-1-0-counts.parquet",
            "job/state/0000000004-2-1-0-counts.parquet",
            "job/state/0000000006-2-1-0-counts.parquet",
            "job/state/0000000006-2-1-1-counts.parquet",
            "job/state/0000000008-2-1-0-counts.parquet",
            "job/state/0000000008-3-1-0-a-b.parquet",
            "job/state/0000000001-1.parquet",
            "job/state/README",
        ];
        let view = View {
            job: "job".into(),
            objects: objects.map(entry).to_vec(),
            manifests: vec![at(6, vec![file(6, 2, 0)]), at(5, vec![file(3, 1, 0)])],
            pinned: vec![at(2, vec![file(2, 1, 0)])],
            generation: 3,
        };
        let names: Vec<_> = rubbish(&view).into_iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "job/log/0000000003.json",
                "job/log/0000000004.json",
                "job/state/0000000004-2-1-0-counts.parquet",
                "job/state/0000000006-2-1-1-counts.parquet",
                "job/state/0000000008-2-1-0-counts.parquet",
            ]
        );
        // Before there is a manifest, only what cannot commit goes.
        let view = View { manifests: vec![], pinned: vec![], generation: 2, ..view };
        let names: Vec<_> = rubbish(&view).into_iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["job/state/0000000002-1-1-0-counts.parquet", "job/state/0000000003-1-1-0-counts.parquet"]);
    }

    #[test]
    fn a_generation_that_is_not_in_the_log_ends_no_other() {
        let mut world = World::new();
        world.claim(Point::Latest);
        world.upload(2);
        assert_eq!(now(collect(&world.log, 1, 99)).unwrap(), Collected::default());
        world.check_needed();
    }

    /// A store in which something happens when it is asked for its savepoints.
    #[derive(Debug)]
    struct Meanwhile {
        objects: Arc<MemoryObjects>,
        happens: fn(&Arc<MemoryObjects>),
    }

    impl Objects for Meanwhile {
        fn url(&self) -> &str {
            self.objects.url()
        }

        fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectError>> {
            self.objects.put(name, bytes)
        }

        fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created, ObjectError>> {
            self.objects.create(name, bytes)
        }

        fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectError>> {
            self.objects.get(name)
        }

        fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, ObjectError>> {
            if prefix == "job/savepoints/" {
                (self.happens)(&self.objects);
            }
            self.objects.list(prefix)
        }

        fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
            self.objects.delete(name)
        }
    }

    #[test]
    fn a_savepoint_that_was_gone_back_to_and_removed_meanwhile_loses_nothing() {
        let objects = Arc::new(MemoryObjects::new());
        let before = log(objects.clone());
        let mut zombie = before.writer(&now(before.claim(0, "zombie")).unwrap());
        let named = file(2, 1, 0);
        now(objects.put(&format!("job/{}", named.path), "row".into())).unwrap();
        let epoch = now(zombie.append(holding(vec![named.clone()]))).unwrap();
        let saved = Manifest { epoch, generation: 1, ..holding(vec![named.clone()]) };
        now(before.save("kept", &saved)).unwrap();
        // The zombie has come so far when somebody else goes back, and goes on.
        now(zombie.append(holding(vec![]))).unwrap();
        let happens = |objects: &Arc<MemoryObjects>| {
            let log = log(objects.clone());
            let claim = now(log.claim_from(&RestorePoint::Savepoint("kept".into()), 1, 0, "living")).unwrap();
            now(log.writer(&claim).append(claim.restore.unwrap())).unwrap();
            now(objects.delete("job/savepoints/kept.json")).unwrap();
        };
        let store = Meanwhile { objects: objects.clone(), happens };
        assert_eq!(now(collect(&log(Arc::new(store)), 1, zombie.generation())).unwrap(), Collected::default());
        assert!(now(objects.get(&format!("job/{}", named.path))).unwrap().is_some());
        now(collect(&before, 1, 2)).unwrap();
        assert!(now(objects.get(&format!("job/{}", named.path))).unwrap().is_some());
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A new generation.
        Claim(Point),
        /// Files of the epoch in flight.
        Upload(usize),
        /// Commits them, with those files of the manifest before whose turn in the pattern is true.
        Append {
            carry: Vec<bool>,
        },
        /// The generation before this one goes on writing.
        Zombie,
        Save,
        /// With so many retained; and dies after so many deletions.
        Collect {
            keep: usize,
            dies: Option<usize>,
        },
    }

    /// What a generation goes on from.
    #[derive(Clone, Copy, Debug)]
    enum Point {
        Latest,
        /// The last savepoint, if there is one.
        Savepoint,
        /// So many manifests before the newest, if there are so many.
        Back(usize),
    }

    /// A generation goes back as far as this: collections retain as many.
    const KEEP: usize = 3;

    fn any_step() -> impl Strategy<Value = Step> {
        let point = prop_oneof![
            2 => Just(Point::Latest),
            1 => Just(Point::Savepoint),
            1 => (0..KEEP).prop_map(Point::Back),
        ];
        prop_oneof![
            2 => point.prop_map(Step::Claim),
            4 => (0usize..3).prop_map(Step::Upload),
            6 => vec(any::<bool>(), 4).prop_map(|carry| Step::Append { carry }),
            1 => Just(Step::Zombie),
            1 => Just(Step::Save),
            3 => (KEEP..6, prop::option::of(0usize..6)).prop_map(|(keep, dies)| Step::Collect { keep, dies }),
        ]
    }

    /// A job's history, and what is needed of it.
    struct World {
        objects: Arc<MemoryObjects>,
        log: Log,
        writer: Option<Writer>,
        /// Of the manifest that the generation has made last, or goes on from.
        carried: Vec<StateFile>,
        in_flight: Vec<StateFile>,
        /// Those of the log that were not dropped yet, the oldest first.
        manifests: Vec<Manifest>,
        savepoints: Vec<Manifest>,
        /// What the last fence has gone back to, if no manifest follows it.
        from: Option<Manifest>,
        /// The last record.
        last: u64,
        uploads: usize,
    }

    impl World {
        fn new() -> World {
            let objects = Arc::new(MemoryObjects::new());
            World {
                log: log(objects.clone()),
                objects,
                writer: None,
                carried: vec![],
                in_flight: vec![],
                manifests: vec![],
                savepoints: vec![],
                from: None,
                last: 0,
                uploads: 0,
            }
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Claim(point) => self.claim(point),
                Step::Upload(files) => self.upload(files),
                Step::Append { carry } => self.append(&carry),
                Step::Zombie => self.zombie(),
                Step::Save => self.save(),
                Step::Collect { keep, dies: None } => self.collect(keep),
                Step::Collect { keep, dies: Some(after) } => self.collect_and_die(keep, after),
            }
        }

        /// What the log says that a generation goes on from.
        fn newest(&self) -> Option<&Manifest> {
            self.from.as_ref().or(self.manifests.last())
        }

        fn claim(&mut self, point: Point) {
            let chosen = match point {
                Point::Latest => None,
                Point::Savepoint => {
                    self.savepoints.last().map(|it| (RestorePoint::Savepoint(format!("at-{}", it.epoch)), it.clone()))
                }
                Point::Back(count) => {
                    let back = self.manifests.iter().rev().nth(count);
                    back.map(|it| (RestorePoint::Epoch(it.epoch), it.clone()))
                }
            };
            let point = chosen.as_ref().map_or(RestorePoint::Latest, |(point, _)| point.clone());
            let expected = chosen.map(|(_, manifest)| manifest).or_else(|| self.newest().cloned());
            let claim = now(self.log.claim_from(&point, KEEP, 0, "somebody")).unwrap();
            assert_eq!(claim.number, self.last + 1, "a number is used once");
            self.last = claim.number;
            assert_eq!(claim.restore, expected);
            if expected.as_ref() != self.newest() {
                self.from = expected;
            }
            self.carried = claim.restore.as_ref().map(files_of).unwrap_or_default();
            self.in_flight.clear();
            self.writer = Some(self.log.writer(&claim));
        }

        fn upload(&mut self, files: usize) {
            let Some(writer) = &self.writer else { return };
            for _ in 0..files {
                self.uploads += 1;
                let file = file(writer.epoch(), writer.generation(), self.uploads);
                now(self.objects.put(&format!("job/{}", file.path), "row".into())).unwrap();
                self.in_flight.push(file);
            }
        }

        fn append(&mut self, carry: &[bool]) {
            let Some(writer) = &mut self.writer else { return };
            let mut carry = carry.iter().cycle();
            self.carried.retain(|_| carry.next().is_some_and(|carried| *carried));
            self.carried.append(&mut self.in_flight);
            let manifest = holding(self.carried.clone());
            let epoch = now(writer.append(manifest.clone())).unwrap();
            assert_eq!(epoch, self.last + 1, "a number is used once");
            self.last = epoch;
            self.from = None;
            self.manifests.push(Manifest { epoch, generation: writer.generation(), ..manifest });
        }

        fn zombie(&mut self) {
            let Some(writer) = self.writer.as_ref().filter(|writer| writer.generation() > 1) else { return };
            self.uploads += 1;
            let file = file(writer.epoch(), writer.generation() - 1, self.uploads);
            now(self.objects.put(&format!("job/{}", file.path), "row".into())).unwrap();
        }

        fn save(&mut self) {
            let Some(newest) = self.manifests.last() else { return };
            now(self.log.save(&format!("at-{}", newest.epoch), newest)).unwrap();
            self.savepoints.push(newest.clone());
        }

        fn generation(&self) -> u64 {
            self.writer.as_ref().map_or(0, Writer::generation)
        }

        /// Those that are retained from now on.
        fn retain(&mut self, keep: usize) {
            let dropped = self.manifests.len().saturating_sub(keep);
            self.manifests.drain(..dropped);
        }

        fn collect(&mut self, keep: usize) {
            let before = now(self.log.list("")).unwrap();
            let collected = now(collect(&self.log, keep, self.generation())).unwrap();
            let after = now(self.log.list("")).unwrap();
            assert_eq!(collected.objects, before.len() - after.len());
            assert_eq!(collected.bytes, bytes(&before) - bytes(&after));
            self.retain(keep);
            self.check_needed();
            self.check_gone(&after);
        }

        /// The log says what is left after so many deletions; whatever it says must be there.
        fn collect_and_die(&mut self, keep: usize, after: usize) {
            let view = now(view(&self.log, keep, self.generation())).unwrap();
            for entry in rubbish(&view).into_iter().take(after) {
                now(self.objects.delete(&entry.name)).unwrap();
            }
            let found = now(self.log.manifests(usize::MAX)).unwrap();
            assert!(found.len() >= keep.min(self.manifests.len()));
            self.retain(found.len());
            self.check_needed();
        }

        fn check_needed(&self) {
            let mut found = now(self.log.manifests(usize::MAX)).unwrap();
            found.reverse();
            assert_eq!(found, self.manifests);
            let savepoints = now(self.log.savepoints()).unwrap();
            assert!(self.savepoints.iter().all(|manifest| savepoints.iter().any(|found| found.manifest == *manifest)));
            let view = now(self.log.read()).unwrap();
            assert_eq!((view.last, view.newest.as_ref()), (self.last, self.newest()));

            let named = self.manifests.iter().chain(&self.savepoints).chain(&self.from).flat_map(files_of);
            for file in named.chain(self.carried.iter().cloned()).chain(self.in_flight.iter().cloned()) {
                let found = now(self.objects.get(&format!("job/{}", file.path))).unwrap();
                assert!(found.is_some(), "{} is needed", file.path);
            }
        }

        fn check_gone(&self, objects: &[Entry]) {
            let oldest = self.manifests.first().map_or(0, |manifest| manifest.epoch);
            let newest = self.manifests.last().map_or(0, |manifest| manifest.epoch);
            let pinned = self.savepoints.iter().chain(&self.from);
            let named: Vec<_> = self.manifests.iter().chain(pinned).flat_map(files_of).collect();
            for Entry { name, .. } in objects {
                if let Some(number) = name.strip_prefix("job/log/").and_then(record_number) {
                    assert!(number >= oldest, "{name}");
                } else if let Some(file) = name.strip_prefix("job/state/") {
                    let (epoch, generation) = origin(file).unwrap();
                    let in_flight = epoch > newest && generation == self.generation();
                    assert!(in_flight || named.iter().any(|file| name.ends_with(&file.path)), "{name}");
                }
            }
        }
    }

    fn files_of(manifest: &Manifest) -> Vec<StateFile> {
        manifest.stages.iter().flat_map(|stage| &stage.tables).flat_map(|table| table.files.clone()).collect()
    }

    fn bytes(objects: &[Entry]) -> u64 {
        objects.iter().map(|entry| entry.bytes).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn what_is_needed_stays_and_the_rest_goes(steps in vec(any_step(), 0..60)) {
            let mut world = World::new();
            world.claim(Point::Latest);
            for step in steps {
                world.step(step);
            }
            world.collect(1);
            world.claim(Point::Latest);
        }
    }
}
