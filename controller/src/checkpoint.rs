//! Which checkpoint a running job is in the middle of, as a pure function.
//!
//! ```text
//!            interval, wish           all tasks             record n created      all sinks
//!   Waiting ───────────────▶ Collecting ─────────▶ Writing ─────────────────▶ Publishing ──▶ Waiting | Over
//!              Begin(n)                   Write(n)             Publish(n)
//! ```
//!
//! One [`Coordinator`] belongs to one generation of a job: it is made when all of the worker's tasks run and dropped when
//! the worker is given up. Like [`crate::state::step`] it does no IO: events go in, effects come out, so that a
//! simulation can put it through any order of them. `docs/checkpoints.md` has the protocol and its argument.
//!
//! **Adopting.** The worker of an earlier generation may go on under a coordinator of its own ([`Coordinator::adopt`]). What
//! the log ends with says which of its checkpoints is committed: that one is published, and the one behind it, if its
//! barrier was ordered, is collected anew, under the number that this generation's record will have.
//!
//! A task that has ended has said its last; that stands for it in every later checkpoint. When all have ended, that is the
//! last checkpoint, whoever asked for it.
//!
//! Not here: the log's numbers and fences ([`crate::log`]), files, the job's own states.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::checkpoint::{
    FORMAT, Manifest, Outside, Reason, SnapshotTimes, StageState, StateFile, TableSpec, TableState, TaskSnapshot,
};
use protocol::job::JobPlan;
use protocol::mutant::{self, Mutant};
use protocol::rpc::Standing;

use crate::job::{ErrorClass, Failure};
use crate::state::Time;

/// Stage and task.
pub type Place = (usize, usize);

/// What a coordinator must know from the start.
#[derive(Clone, Debug)]
pub struct Setting {
    pub job: String,
    pub generation: u64,
    pub plan: JobPlan,
    /// The number that the next record of the log will have.
    pub next_epoch: u64,
    /// What the generation has gone on from.
    pub restored: Option<Manifest>,
    /// From the end of one checkpoint to the begin of the next.
    pub interval: Duration,
    /// Longest from the barrier to the last task's report.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub enum Event {
    Tick,
    Snapshot(Box<TaskSnapshot>),
    Published {
        place: Place,
        epoch: u64,
    },
    /// The record is in the log.
    Written {
        epoch: u64,
    },
    /// The user wants the job to stop, and to be able to go on.
    Stop,
    /// Somebody wants a checkpoint that begins after this, as soon as can be.
    Take,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Have sources send the barrier.
    Begin { epoch: u64, last: bool },
    /// Create the record.
    Write(Box<Manifest>),
    /// Have sinks publish.
    Publish { epoch: u64 },
    /// It is done, and what it was.
    Completed(Box<Completed>),
    /// The generation must be given up.
    Fail(Failure),
}

/// A checkpoint that has been taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    pub epoch: u64,
    pub generation: u64,
    pub reason: Reason,
    pub begun_micros: i64,
    /// From the barrier to the last report, to the record, to the last sink.
    pub collect: Duration,
    pub write: Duration,
    pub publish: Duration,
    /// Of the files of changed rows.
    pub bytes: u64,
    pub files: usize,
    /// Of files that have been made of others.
    pub merged_bytes: u64,
    pub tasks: Vec<Part>,
}

/// What a task had to do with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub place: Place,
    pub times: SnapshotTimes,
    /// Changed rows, and the bytes of their files.
    pub rows: u64,
    pub bytes: u64,
    /// Of a sink that had something to publish: from the order to the word that it has.
    pub publish: Option<Duration>,
}

impl Part {
    fn new(place: Place, snapshot: &TaskSnapshot) -> Part {
        let files = snapshot.tables.iter().flat_map(|(_, files)| files);
        Part {
            place,
            times: snapshot.times,
            rows: files.clone().map(|file| file.rows).sum(),
            bytes: files.map(|file| file.bytes).sum(),
            publish: None,
        }
    }
}

#[derive(Clone, Debug)]
enum Phase {
    Waiting {
        until: Time,
    },
    Collecting(Collecting),
    Writing(Settling),
    Publishing(Settling),
    /// The last checkpoint has been taken.
    Over,
}

#[derive(Clone, Debug)]
struct Collecting {
    epoch: u64,
    reason: Reason,
    begun: Time,
    /// By the wall clock, for people.
    begun_micros: i64,
    got: BTreeMap<Place, TaskSnapshot>,
}

/// A checkpoint whose manifest is made.
#[derive(Clone, Debug)]
struct Settling {
    completed: Completed,
    since: Time,
    /// Sinks whose tokens it has, and that have not said that they have published.
    sinks: BTreeSet<Place>,
    /// Tasks that it has as ended. One that ends from now on has tokens that belong to the next.
    ended: Vec<Place>,
    /// An earlier generation has taken it.
    inherited: bool,
}

impl Settling {
    /// Of a manifest that an earlier generation has committed, and perhaps published.
    fn inherited(manifest: &Manifest, now: Time) -> Settling {
        let tasks = manifest.stages.iter();
        let tasks = tasks.flat_map(|stage| (0..).zip(&stage.tasks).map(|(task, state)| ((stage.stage, task), state)));
        let completed = Completed {
            epoch: manifest.epoch,
            generation: manifest.generation,
            reason: manifest.reason,
            begun_micros: manifest.begun_micros,
            collect: Duration::ZERO,
            write: Duration::ZERO,
            publish: Duration::ZERO,
            bytes: 0,
            files: 0,
            merged_bytes: 0,
            tasks: Vec::new(),
        };
        Settling {
            completed,
            since: now,
            sinks: tasks.clone().filter(|(_, state)| !state.tokens.is_empty()).map(|(place, _)| place).collect(),
            ended: tasks.filter(|(_, state)| state.ended).map(|(place, _)| place).collect(),
            inherited: true,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Coordinator {
    setting: Setting,
    phase: Phase,
    /// The manifest that the next one builds on.
    newest: Option<Manifest>,
    /// What tasks that have ended have said last.
    ended: BTreeMap<Place, TaskSnapshot>,
    stop: bool,
    /// One is to begin as soon as can be.
    asked: bool,
}

impl Coordinator {
    pub fn new(setting: Setting, now: Time) -> Self {
        let until = now.plus(setting.interval);
        let newest = setting.restored.clone();
        let phase = Phase::Waiting { until };
        Coordinator { setting, phase, newest, ended: BTreeMap::new(), stop: false, asked: false }
    }

    /// Of a worker that an earlier generation has started, where it stands there. Also the number that its epoch in flight
    /// gets, 0 if there is none, and what is to be done when it has been told.
    ///
    /// # Errors
    /// When that does not fit what the log ends with, or the worker is being stopped: why. It cannot go on then.
    pub fn adopt(
        setting: Setting,
        standing: &Standing,
        now: Time,
        wall: i64,
    ) -> Result<(Coordinator, u64, Vec<Effect>), String> {
        if standing.stopping {
            return Err("it was told to stop".into());
        }
        let Standing { begun, published, .. } = *standing;
        let last = setting.restored.clone();
        let mut it = Coordinator::new(setting, now);
        let epoch = last.as_ref().map_or(0, |last| last.epoch);
        let its_own = last.filter(|last| last.generation >= standing.first_generation);
        let in_flight = match &its_own {
            Some(_) if begun < epoch => return Err(format!("checkpoint {epoch} is not one of its own")),
            Some(_) => begun > epoch,
            None if standing.restored != epoch => {
                return Err(format!("it has restored checkpoint {}, and the newest is {epoch}", standing.restored));
            }
            None => begun > 0,
        };
        if in_flight {
            // Nothing is begun before the last one is published.
            let before = if its_own.is_some() { epoch } else { 0 };
            if published != before {
                return Err(format!("it has begun {begun} and published {published}, and the newest is {epoch}"));
            }
            if mutant::is(Mutant::FlightForgotten) {
                return Ok((it, 0, Vec::new()));
            }
            let (epoch, got) = (it.setting.next_epoch, BTreeMap::new());
            it.setting.next_epoch += 1;
            let reason = Reason::Interval;
            it.phase = Phase::Collecting(Collecting { epoch, reason, begun: now, begun_micros: wall, got });
            return Ok((it, epoch, Vec::new()));
        }
        let mut effects = Vec::new();
        if let Some(last) = its_own {
            effects.push(Effect::Publish { epoch: last.epoch });
            it.phase = Phase::Publishing(Settling::inherited(&last, now));
        }
        Ok((it, 0, effects))
    }

    /// What the worker was last told and may not have heard, as its stream has broken.
    pub fn repeated(&self) -> Option<Effect> {
        match &self.phase {
            Phase::Collecting(collecting) => {
                Some(Effect::Begin { epoch: collecting.epoch, last: collecting.reason == Reason::Stop })
            }
            Phase::Publishing(settling) => Some(Effect::Publish { epoch: settling.completed.epoch }),
            Phase::Waiting { .. } | Phase::Writing(_) | Phase::Over => None,
        }
    }

    /// When it wants an [`Event::Tick`] at the latest.
    pub fn deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Collecting(collecting) => Some(collecting.begun.plus(self.setting.timeout)),
            Phase::Publishing(settling) => Some(settling.since.plus(self.setting.timeout)),
            Phase::Writing(_) | Phase::Over => None,
        }
    }

    /// The manifest that the next one builds on; while it is written, the log may not have it yet.
    pub fn newest(&self) -> Option<&Manifest> {
        self.newest.as_ref()
    }

    /// The next checkpoint to begin has this epoch, or a later one.
    pub fn next_epoch(&self) -> u64 {
        self.setting.next_epoch
    }

    /// `wall`: microseconds since the epoch, for people to read.
    pub fn step(&mut self, event: Event, now: Time, wall: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Tick => {}
            Event::Stop => self.stop = true,
            Event::Take => self.asked = true,
            Event::Snapshot(snapshot) => self.on_snapshot(*snapshot),
            Event::Written { epoch } => self.on_written(epoch, now, &mut effects),
            Event::Published { place, epoch } => self.on_published(place, epoch, now),
        }
        self.advance(now, wall, &mut effects);
        effects
    }

    fn on_snapshot(&mut self, snapshot: TaskSnapshot) {
        let place = (snapshot.stage, snapshot.task);
        match (&mut self.phase, snapshot.epoch) {
            // Said twice, its tokens may have been published since.
            (_, None) => {
                self.ended.entry(place).or_insert(snapshot);
            }
            (Phase::Collecting(Collecting { epoch, got, .. }), Some(of)) if of == *epoch => {
                got.insert(place, snapshot);
            }
            // Of a checkpoint that is over: said twice.
            (_, Some(_)) => {}
        }
    }

    fn on_written(&mut self, written: u64, now: Time, effects: &mut Vec<Effect>) {
        if let Phase::Writing(settling) = &mut self.phase
            && settling.completed.epoch == written
        {
            settling.completed.write = now.since(settling.since);
            settling.since = now;
            effects.push(Effect::Publish { epoch: written });
            self.phase = Phase::Publishing(settling.clone());
        }
    }

    fn on_published(&mut self, place: Place, epoch: u64, now: Time) {
        if let Phase::Publishing(settling) = &mut self.phase
            && epoch >= settling.completed.epoch
            && settling.sinks.remove(&place)
            && let Some(part) = settling.completed.tasks.iter_mut().find(|part| part.place == place)
        {
            part.publish = Some(now.since(settling.since));
        }
    }

    /// Whatever can happen now without waiting for anybody.
    fn advance(&mut self, now: Time, wall: i64, effects: &mut Vec<Effect>) {
        if let Phase::Publishing(settling) = &mut self.phase {
            if settling.sinks.is_empty() {
                settling.completed.publish = now.since(settling.since);
                let over = matches!(settling.completed.reason, Reason::Stop | Reason::End);
                if !settling.inherited {
                    effects.push(Effect::Completed(Box::new(settling.completed.clone())));
                }
                // What they had prepared last is published: no later manifest has it.
                for place in &settling.ended {
                    self.ended.entry(*place).and_modify(|ended| ended.state.tokens.clear());
                }
                self.phase = if over { Phase::Over } else { Phase::Waiting { until: now.plus(self.setting.interval) } };
            } else if now.since(settling.since) >= self.setting.timeout {
                let place = settling.sinks.first().copied().unwrap_or_default();
                effects.push(self.timed_out("has not published", place));
                self.phase = Phase::Over;
            }
        }
        if let Phase::Waiting { until } = self.phase {
            let all_ended = self.ended.len() == self.setting.plan.tasks();
            if all_ended || self.stop || self.asked || now >= until {
                let epoch = self.setting.next_epoch;
                self.setting.next_epoch += 1;
                let reason = match (self.stop, std::mem::take(&mut self.asked)) {
                    (true, _) => Reason::Stop,
                    (false, true) => Reason::Asked,
                    (false, false) => Reason::Interval,
                };
                let collecting = Collecting { epoch, reason, begun: now, begun_micros: wall, got: BTreeMap::new() };
                self.phase = Phase::Collecting(collecting);
                if !all_ended {
                    effects.push(Effect::Begin { epoch, last: self.stop });
                }
            }
        }
        if let Phase::Collecting(collecting) = &self.phase {
            let stages = &self.setting.plan.stages;
            let mut places = stages.iter().flat_map(|stage| (0..stage.parallelism).map(|task| (stage.id, task)));
            let missing = |place: &Place| !collecting.got.contains_key(place) && !self.ended.contains_key(place);
            match places.find(missing) {
                None => {
                    let collecting = collecting.clone();
                    self.write(collecting, now, wall, effects);
                }
                Some(place) if now.since(collecting.begun) >= self.setting.timeout => {
                    effects.push(self.timed_out("has not reported", place));
                    self.phase = Phase::Over;
                }
                Some(_) => {}
            }
        }
    }

    fn timed_out(&self, what: &str, (stage, task): Place) -> Effect {
        let name = self.setting.plan.stages.get(stage).map_or("", |stage| &stage.name);
        let message = format!(
            "a checkpoint is not complete after {:?}: task {task} of stage \"{name}\" {what}",
            self.setting.timeout
        );
        let hint = "A stage that is slower than its input holds barriers back; see pipeline.checkpoint.timeout.";
        Effect::Fail(Failure::new(ErrorClass::Retryable, message).with_hint(hint))
    }

    fn write(&mut self, collecting: Collecting, now: Time, wall: i64, effects: &mut Vec<Effect>) {
        let Collecting { epoch, reason, begun, begun_micros, mut got } = collecting;
        let mut ended = Vec::new();
        for (place, snapshot) in &self.ended {
            got.entry(*place).or_insert_with(|| {
                ended.push(*place);
                snapshot.clone()
            });
        }
        let reason = if got.values().all(|snapshot| snapshot.state.ended) { Reason::End } else { reason };
        let files = got.values().flat_map(|snapshot| &snapshot.tables).flat_map(|(_, files)| files);
        let merged = got.values().filter_map(|snapshot| snapshot.merged.as_ref()?.file.as_ref());
        let completed = Completed {
            epoch,
            generation: self.setting.generation,
            reason,
            begun_micros,
            collect: now.since(begun),
            write: Duration::ZERO,
            publish: Duration::ZERO,
            bytes: files.clone().map(|file| file.bytes).sum(),
            files: files.count(),
            merged_bytes: merged.map(|file| file.bytes).sum(),
            tasks: got.iter().map(|(place, snapshot)| Part::new(*place, snapshot)).collect(),
        };
        let sinks = got.iter().filter(|(_, snapshot)| !snapshot.state.tokens.is_empty()).map(|(place, _)| *place);
        let sinks = sinks.collect();
        let manifest = self.manifest(&completed, &got, wall);
        self.newest = Some(manifest.clone());
        self.phase = Phase::Writing(Settling { completed, since: now, sinks, ended, inherited: false });
        if mutant::is(Mutant::PublishedTooEarly) {
            effects.push(Effect::Publish { epoch });
        }
        effects.push(Effect::Write(Box::new(manifest)));
    }

    fn manifest(&self, completed: &Completed, got: &BTreeMap<Place, TaskSnapshot>, wall: i64) -> Manifest {
        let stages = self.setting.plan.stages.iter().map(|stage| {
            let tasks: Vec<&TaskSnapshot> =
                (0..stage.parallelism).filter_map(|task| got.get(&(stage.id, task))).collect();
            let tables = stage.tables.iter().enumerate();
            StageState {
                stage: stage.id,
                name: stage.name.clone(),
                operators: stage.operators.clone(),
                source: stage.source.as_ref().map(Outside::from),
                sink: stage.sink.as_ref().map(Outside::from),
                tables: tables.map(|(table, spec)| self.table(stage.id, table, spec, &tasks)).collect(),
                tasks: tasks.iter().map(|snapshot| snapshot.state.clone()).collect(),
            }
        });
        Manifest {
            format: FORMAT,
            job: self.setting.job.clone(),
            epoch: completed.epoch,
            generation: self.setting.generation,
            code: self.setting.plan.code.clone(),
            reason: completed.reason,
            begun_micros: completed.begun_micros,
            complete_micros: wall,
            stages: stages.collect(),
        }
    }

    /// The files that make up a table: those of the last manifest of which something may be left, with merged ones in the
    /// place of what they were made of, and the new ones. Files with other columns are not among them: what was restored of
    /// them is in the new ones.
    fn table(&self, stage: usize, table: usize, spec: &TableSpec, tasks: &[&TaskSnapshot]) -> TableState {
        let before = self.newest.iter().flat_map(|manifest| &manifest.stages).filter(|state| state.stage == stage);
        let before =
            before.filter_map(|state| state.tables.get(table)).filter(|table| table.spec.columns == spec.columns);
        let before = before.flat_map(|table| &table.files);
        let new = tasks.iter().filter_map(|snapshot| snapshot.tables.get(table)).flat_map(|(_, files)| files);
        let mut files: Vec<StateFile> = before.cloned().collect();
        let merged = tasks.iter().filter_map(|snapshot| snapshot.merged.as_ref());
        merged.filter(|merged| merged.table == table).for_each(|merged| merged.replace(&mut files));
        spec.kind.add(&mut files, &new.cloned().collect::<Vec<_>>());
        if tasks.iter().all(|snapshot| snapshot.state.ended) {
            // All windows have been closed by the end of the input.
            files.clear();
        }
        let live = tasks.iter().filter(|snapshot| !snapshot.state.ended).map(|snapshot| snapshot.state.watermark);
        // No task has any more what every task's watermark has removed. One without a watermark has removed nothing.
        if let Some(watermark) = live.min().flatten() {
            files.retain(|file| file.expires.is_none_or(|expires| expires > watermark));
        }
        TableState { spec: spec.clone(), files }
    }
}

#[cfg(test)]
mod tests;
