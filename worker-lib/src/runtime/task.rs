//! The loop of one task: input, stage, outputs.
//!
//! ```text
//!   source ─┐                        ┌─▶ edge ─▶ queues
//!           ├─▶ stage (or nothing) ──┼─▶ edge ─▶ queues
//!   queues ─┘                        └─▶ sink
//! ```
//!
//! All waiting happens here, in three places: for input, for room in a queue, and for a sink. The stage is a plain
//! synchronous object between them. Before a task waits for input it lets everything go that it holds (small
//! batches, a watermark, the sink's buffer): rows rest only while more are at hand.
//!
//! The order of events is the same for both kinds of input: rows, what the stage emits for them, then the watermark
//! if it moved, what the stage emits for that, then the watermark itself on to the outputs.
//!
//! When as much has come in as could make a difference, the task looks at what the stage's state occupies, and if the worker
//! has no room for it, has some of it leave memory ([`crate::memory`]).
//!
//! A stage that has asked to be called at a time ([`StageContext::wake_at`]) is called between two batches, or while the task
//! waits for input. The clock is [`Clock`]; stages see no other.
//!
//! **Checkpoints** (`docs/checkpoints.md`). A source's task takes the order to end an epoch between two batches; any other
//! is told by the barriers that come through its queues, and takes nothing more from an input whose barrier has come
//! until all have. Then, in one go: what the stage holds back only to save messages leaves, the changed rows of its
//! tables are taken, the barrier goes on, the sink prepares. Files are written by a task of their own, and merged by
//! another (`compact`). Sinks publish when they are told that the manifest is written, also after their last row: a task
//! with a sink ends only then.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use futures::poll;
use protocol::checkpoint::{SnapshotTimes, SourceState, StateFile, TableSpec, TableState, TaskSnapshot, TaskState};
use protocol::job::SourcePlan;
use protocol::mutant::{self, Mutant};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::TURN_MOST;
use super::compact::Compaction;
use super::control::{Control, Controls, Report, Stop};
use super::files::{Owner, Share, StateFiles};
use crate::batch::Batch;
use crate::connector::{Sink, SinkCounters, Source, SourceEvent};
use crate::error::TaskError;
use crate::event_time::{END, MinWatermark, Partitions};
use crate::exchange::{Barrier, EdgeOutput, Halt, Inputs, Message, Received};
use crate::memory::{Spill, TaskMemory};
use crate::metrics::TaskCounters;
use crate::pace::clock_nanos;
use crate::stage::{Stage, StageContext};
use crate::state::TableRows;

/// Longest that rows stay in the buffer of a sink whose input does not pause.
const SINK_FLUSH_EVERY: Duration = Duration::from_millis(100);

/// Where a task's rows come from.
pub(super) enum Feed {
    Source(Box<dyn Source>, SourcePlan),
    Queues(Inputs),
}

/// What a task takes over from an earlier attempt at the job.
#[derive(Clone, Debug, Default)]
pub(super) struct Restored {
    /// By table of the stage: its files, and the columns that they have.
    pub(super) tables: Vec<TableState>,
    /// The tasks that the stage had.
    pub(super) owners: Vec<Owner>,
    /// How far the task's event time had come.
    pub(super) watermark: Option<i64>,
    /// Of the source's partitions: by number, if there were as many tasks as now; otherwise one for all.
    pub(super) partitions: Vec<(usize, i64)>,
    pub(super) any_partition: Option<i64>,
    /// Of the sink, in task 0: what may not have been published.
    pub(super) tokens: Vec<Value>,
    /// Of the sink, in task 0: what checkpoints have that were left behind, and may not have been published.
    pub(super) left_behind: Vec<Value>,
}

/// How a task takes part in checkpoints.
pub(super) struct Checkpoints {
    pub(super) share: Share,
    /// As the plan has them.
    pub(super) tables: Vec<TableSpec>,
    /// Nobody collects checkpoints without it: sinks publish at the end, and no state is written.
    pub(super) managed: Option<(StateFiles, mpsc::UnboundedSender<Report>)>,
    /// See [`super::Limits::epoch_rows`].
    pub(super) epoch_rows: Option<usize>,
    /// So many files of a table are merged into one; `None`: they stay.
    pub(super) compact_after: Option<usize>,
}

/// How a task's input has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// There are no more rows.
    Finished,
    /// The job stops with a checkpoint, which has been taken: windows stay open.
    Stopped,
}

pub(super) struct Task {
    stage: Option<Box<dyn Stage>>,
    context: StageContext,
    /// What the stage's state has of the worker's.
    memory: TaskMemory,
    outputs: Outputs,
    counters: Arc<TaskCounters>,
    checkpoints: Checkpoints,
    control: watch::Receiver<Control>,
    /// The last watermark that the stage has got.
    event_time: Option<i64>,
    /// The newest epoch that has been ended.
    epoch: u64,
    /// Of a source: rows that have been read since then.
    read: usize,
    /// The task has reported its end: the next manifest is the first that knows of it.
    ended: bool,
    /// By table of the stage: rows that were restored from other columns, and are in no file that has the table's.
    migrated: Vec<TableRows>,
    /// Of the sink: what is prepared, with the epoch in which it is published.
    prepared: Vec<(u64, Value)>,
    /// The newest epoch whose publication has been reported.
    published: u64,
    /// Writes the last snapshot and reports it.
    upload: Option<JoinHandle<()>>,
    clock: Clock,
    /// When the stage is to be called.
    wake: Option<Instant>,
    /// Merges files, between the reports.
    compaction: Option<Arc<Mutex<Compaction>>>,
    /// When the task last gave its thread back.
    turn: Instant,
}

impl Task {
    pub(super) fn new(
        stage: Option<Box<dyn Stage>>,
        outputs: Outputs,
        counters: Arc<TaskCounters>,
        checkpoints: Checkpoints,
        timing: Timing,
        room: Room,
        controls: &Controls,
    ) -> Self {
        let Timing { flush_interval, ttl } = timing;
        let Room { memory, spill } = room;
        if stage.is_some() {
            counters.spills_to(spill.clone());
        }
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Task {
            stage,
            context: StageContext {
                flush_interval: nanos(flush_interval),
                ttl: ttl.map_or(i64::MAX, nanos),
                spill: Some(spill),
                ..StageContext::default()
            },
            memory,
            outputs,
            counters,
            checkpoints,
            control: controls.subscribe(),
            event_time: None,
            epoch: 0,
            read: 0,
            ended: false,
            migrated: Vec::new(),
            prepared: Vec::new(),
            published: 0,
            upload: None,
            clock: Clock::start(),
            wake: None,
            compaction: None,
            turn: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, feed: Feed, restored: Option<Restored>) -> Result<(), Halt> {
        let restored = restored.unwrap_or_default();
        self.restore(&restored).await?;
        self.context.tracks_changes = self.checkpoints.managed.is_some();
        // Windows have been closed by that end. Whatever the source could read since, a run without a crash has not read.
        let had_ended = !restored.owners.is_empty() && restored.owners.iter().all(|owner| owner.ended);
        let (ended, source) = match feed {
            Feed::Source(source, _) if had_ended => (Ended::Finished, Some(source)),
            Feed::Source(mut source, plan) => {
                let ended = self.read_source(source.as_mut(), &plan, &restored).await?;
                (ended, Some(source))
            }
            Feed::Queues(inputs) => (self.read_queues(inputs).await?, None),
        };
        if ended == Ended::Finished {
            self.watermark(END).await?;
            self.outputs.announce(Message::End).await?;
            let position =
                |source: Box<dyn Source>| SourceState { position: source.position(), watermarks: Vec::new() };
            self.report_end(source.map(position)).await?;
        }
        self.publish_rest().await?;
        if let Some(upload) = self.upload.take() {
            // What has been reported is heard before the end.
            let _ = upload.await;
        }
        self.counters.finish();
        Ok(())
    }

    /// Takes over what an earlier attempt has left: what its sinks have prepared, and state.
    async fn restore(&mut self, restored: &Restored) -> Result<(), Halt> {
        if let Some(sink) = &mut self.outputs.sink {
            for token in &restored.left_behind {
                sink.sink.publish_left_behind(token.clone()).await?;
            }
            for token in &restored.tokens {
                sink.sink.publish(token.clone()).await?;
            }
            if self.checkpoints.managed.is_some() && self.checkpoints.share.task == 0 {
                sink.sink.discard_leftovers().await?;
            }
        }
        if let (Some(stage), Some((files, _))) = (&mut self.stage, &self.checkpoints.managed) {
            let Checkpoints { share, tables, .. } = &self.checkpoints;
            let (memory, context) = (&mut self.memory, &mut self.context);
            context.now = self.clock.nanos(Instant::now());
            // More than fits goes to disk as it comes: the files have it, so the next snapshot need not.
            let mut make_room = |stage: &mut dyn Stage, bytes: u64| match memory.comes(bytes) {
                true => make_room_for_restored(stage, memory, context),
                false => Ok(()),
            };
            self.migrated = files.restore(stage.as_mut(), tables, *share, restored, &mut make_room).await?;
            self.look_at_memory();
        }
        let Checkpoints { share, tables, managed, compact_after, .. } = &self.checkpoints;
        if let (Some((files, _)), Some(least)) = (managed, compact_after)
            && !tables.is_empty()
        {
            // Files with other columns are in the table no more: their rows are in those of the first snapshot.
            let of_table = |(from, spec): (&TableState, &TableSpec)| match from.spec.columns == spec.columns {
                true => from.files.clone(),
                false => Vec::new(),
            };
            let restored: Vec<Vec<StateFile>> = restored.tables.iter().zip(tables).map(of_table).collect();
            let compaction = Compaction::new(files.clone(), *share, tables, &restored, *least);
            self.compaction = Some(Arc::new(Mutex::new(compaction)));
        }
        self.event_time = restored.watermark;
        if let Some(watermark) = restored.watermark {
            self.counters.reached(watermark);
        }
        Ok(())
    }

    async fn read_source(
        &mut self,
        source: &mut dyn Source,
        plan: &SourcePlan,
        restored: &Restored,
    ) -> Result<Ended, Halt> {
        // A source without a watermark has none to hold back, so silence means nothing either.
        let idle_after = plan.idle_micros.filter(|_| plan.watermark).map(Duration::from_micros);
        let mut partitions = Partitions::new(idle_after, Instant::now());
        partitions.restore(&restored.partitions, restored.any_partition);
        loop {
            if (self.rests() || self.control.has_changed().unwrap_or(false))
                && let Some(ended) = self.obey(source, &partitions).await?
            {
                return Ok(ended);
            }
            if self.rests() {
                self.outputs.pause().await?;
                self.control.changed().await.map_err(|_| Halt::Abandoned)?;
                // Looked at above.
                self.control.mark_changed();
                continue;
            }
            let mut pressed = false;
            let event = {
                let mut next = source.next();
                match poll!(&mut next) {
                    Poll::Ready(event) => Some(event?),
                    Poll::Pending => {
                        self.outputs.pause().await?;
                        tokio::select! {
                            biased;
                            Ok(()) = self.control.changed() => {
                                // Looked at above, once the source is ours again.
                                self.control.mark_changed();
                                None
                            }
                            event = next => Some(event?),
                            () = until(partitions.next_check()) => None,
                            () = until(self.wake) => None,
                            () = self.memory.pressed(), if self.memory.holds_any() => {
                                pressed = true;
                                None
                            }
                        }
                    }
                }
            };
            let now = Instant::now();
            match event {
                Some(SourceEvent::Rows { partition, batch }) => {
                    if partitions.rows(partition, now) {
                        self.outputs.announce(Message::Active).await?;
                    }
                    self.read += batch.rows;
                    if let Some(observed) = self.rows(batch, now).await?
                        && plan.watermark
                        && let Some(watermark) = partitions.observe(partition, observed)
                    {
                        self.watermark(watermark).await?;
                    }
                }
                Some(SourceEvent::PartitionEnd { partition }) => {
                    if let Some(watermark) = partitions.end(partition, now) {
                        self.watermark(watermark).await?;
                    }
                }
                Some(SourceEvent::End) => return Ok(Ended::Finished),
                None => {}
            }
            if pressed {
                self.make_room(now).await?;
            }
            let silence = partitions.check(now);
            if let Some(watermark) = silence.watermark {
                self.watermark(watermark).await?;
            }
            if silence.idle {
                self.outputs.announce(Message::Idle).await?;
            }
            self.timer(now).await?;
            self.end_turn(now).await?;
        }
    }

    /// Does what a source's task is told between two batches.
    async fn obey(&mut self, source: &mut dyn Source, partitions: &Partitions) -> Result<Option<Ended>, Halt> {
        let control = *self.control.borrow_and_update();
        if control.stop == Some(Stop::Immediate) {
            // No end of the input, which would fire windows: the task is about to be dropped.
            return Err(Halt::Abandoned);
        }
        self.publish(control.publish).await?;
        let due = self.checkpoints.epoch_rows.is_none_or(|rows| self.read >= rows);
        if let Some(barrier) = control.barrier.filter(|barrier| due && barrier.epoch > self.epoch) {
            self.read = 0;
            let state = SourceState { position: source.position(), watermarks: partitions.observed() };
            self.barrier(barrier, Some(state), Duration::ZERO).await?;
            if barrier.last {
                return Ok(Some(Ended::Stopped));
            }
        }
        Ok(control.stop.map(|_| Ended::Finished))
    }

    /// Whether a source has to wait: for the barrier behind the rows of its epoch, or until that epoch is published.
    fn rests(&self) -> bool {
        let published = || self.control.borrow().publish >= self.epoch;
        self.checkpoints.epoch_rows.is_some_and(|rows| self.read >= rows || !published())
    }

    async fn read_queues(&mut self, mut inputs: Inputs) -> Result<Ended, Halt> {
        let mut watermarks = MinWatermark::new(inputs.len());
        let mut idle = false;
        let mut aligning: Option<(Barrier, Instant)> = None;
        loop {
            // Only sinks have anything to do that does not come through the queues.
            if self.outputs.sink.is_some() && self.control.has_changed().unwrap_or(false) {
                let publish = self.control.borrow_and_update().publish;
                self.publish(publish).await?;
            }
            let received = match poll!(poll_fn(|cx| inputs.poll(cx))) {
                Poll::Ready(received) => received,
                Poll::Pending => {
                    // Without budget it is tokio that wants the thread, and there may well be input.
                    if tokio::task::coop::has_budget_remaining() {
                        self.outputs.pause().await?;
                    }
                    tokio::select! {
                        biased;
                        received = poll_fn(|cx| inputs.poll(cx)) => received,
                        Ok(()) = self.control.changed(), if self.outputs.sink.is_some() => {
                            self.control.mark_changed();
                            continue;
                        }
                        () = until(self.wake) => {
                            self.timer(Instant::now()).await?;
                            continue;
                        }
                        () = self.memory.pressed(), if self.memory.holds_any() => {
                            self.make_room(Instant::now()).await?;
                            continue;
                        }
                    }
                }
            };
            let now = Instant::now();
            let moved = match received {
                Received::End => return Ok(Ended::Finished),
                Received::Lost => return Err(Halt::Abandoned),
                Received::Message(input, Message::Batch(batch)) => {
                    self.context.port = inputs.port(input);
                    self.rows(batch, now).await?;
                    None
                }
                Received::Message(input, Message::Watermark(watermark)) => watermarks.observe(input, watermark),
                Received::Message(input, Message::Idle) => watermarks.set_idle(input),
                Received::Message(input, Message::Active) => {
                    watermarks.set_live(input);
                    None
                }
                Received::Message(_, Message::Barrier(barrier))
                    if mutant::is(Mutant::InputNotAligned) && barrier.epoch <= self.epoch =>
                {
                    None
                }
                Received::Message(input, Message::Barrier(barrier)) => {
                    inputs.hold(input);
                    aligning.get_or_insert((barrier, now));
                    None
                }
                Received::Message(input, Message::End) => watermarks.end(input),
            };
            // The end of one input of several says nothing; that of all is said once, by `run`.
            if let Some(watermark) = moved.filter(|watermark| *watermark != END) {
                self.watermark(watermark).await?;
            }
            if watermarks.is_idle() != idle {
                idle = !idle;
                self.outputs.announce(if idle { Message::Idle } else { Message::Active }).await?;
            }
            // An input that has ended has no barrier to wait for.
            let unaligned = || mutant::is(Mutant::InputNotAligned);
            if let Some((barrier, since)) = aligning.filter(|_| inputs.all_held() || unaligned()) {
                aligning = None;
                self.barrier(barrier, None, since.elapsed()).await?;
                if barrier.last {
                    return Ok(Ended::Stopped);
                }
                inputs.release();
            }
            self.timer(now).await?;
            self.end_turn(now).await?;
        }
    }

    /// Ends an epoch: everything before the barrier has been processed, nothing behind it.
    async fn barrier(&mut self, barrier: Barrier, source: Option<SourceState>, align: Duration) -> Result<(), Halt> {
        let begun = Instant::now();
        self.epoch = barrier.epoch;
        self.read_clock(begun);
        self.call(begun, |stage, cx| stage.on_barrier(cx)).await?;
        let tables = self.stage.as_mut().map(|stage| stage.snapshot()).transpose()?.unwrap_or_default();
        let tables = self.with_migrated(tables);
        self.outputs.announce(Message::Barrier(barrier)).await?;
        self.prepare(barrier.epoch).await?;
        let tokens = self.prepared.iter().map(|(_, token)| token.clone()).collect();
        let state = TaskState { watermark: self.event_time, source, tokens, ..TaskState::default() };
        let times = SnapshotTimes { align: micros(align), snapshot: micros(begun.elapsed()), upload: 0 };
        self.upload(Some(barrier.epoch), barrier.epoch, state, tables, times);
        Ok(())
    }

    /// The rows of a snapshot; of the first one, behind those that no file has.
    fn with_migrated(&mut self, mut tables: Vec<TableRows>) -> Vec<TableRows> {
        let migrated = std::mem::take(&mut self.migrated);
        tables.resize_with(tables.len().max(migrated.len()), TableRows::default);
        tables.iter_mut().zip(migrated).for_each(|(rows, older)| rows.put_before(older));
        tables
    }

    /// Writes the files of a snapshot and reports it, behind the task's back. Reports keep their order: were the task's
    /// end heard before its last barrier, it would stand for it, and what was prepared at the barrier would be in no
    /// manifest.
    fn upload(
        &mut self,
        epoch: Option<u64>,
        named: u64,
        state: TaskState,
        tables: Vec<TableRows>,
        mut times: SnapshotTimes,
    ) {
        let Some((mut files, reports)) = self.checkpoints.managed.clone() else { return };
        files.generation = self.control.borrow().generation;
        let (share, specs) = (self.checkpoints.share, self.checkpoints.tables.clone());
        let before = self.upload.take();
        let reserved = self.memory.reserve(tables.iter().map(TableRows::memory).sum());
        // What a task says last stands for it in every later checkpoint: it cannot replace files in each of them.
        let compaction = self.compaction.clone().filter(|_| epoch.is_some());
        self.upload = Some(tokio::spawn(async move {
            let begun = Instant::now();
            let mut written = Vec::with_capacity(specs.len());
            let mut tables = tables.into_iter();
            for spec in specs {
                let rows = tables.next().unwrap_or_default();
                match files.write(&spec, rows, share, named).await {
                    Ok(files) => written.push((spec, files)),
                    Err(error) => {
                        let _ = reports.send(Report::Failed { stage: share.stage, task: share.task, error });
                        return;
                    }
                }
            }
            drop(reserved);
            if let Some(before) = before {
                let _ = before.await;
            }
            let mut compaction = match &compaction {
                Some(compaction) => Some(compaction.lock().await),
                None => None,
            };
            let mut merged = None;
            if let Some(compaction) = &mut compaction {
                compaction.name_by(files.generation);
                merged = compaction.settle(named).await;
                compaction.add(&written);
            }
            times.upload = micros(begun.elapsed());
            let (Share { stage, task, .. }, watermark) = (share, state.watermark);
            let snapshot = TaskSnapshot { stage, task, epoch, state, tables: written, merged, times };
            // Nobody listens: the job has ended otherwise.
            let _ = reports.send(Report::Snapshot(Box::new(snapshot)));
            if let Some(compaction) = &mut compaction {
                compaction.begin(watermark);
            }
        }));
    }

    /// Has the sink make its rows safe, to be published with that epoch.
    async fn prepare(&mut self, epoch: u64) -> Result<(), Halt> {
        if let Some(sink) = &mut self.outputs.sink
            && let Some(token) = sink.prepare().await?
        {
            self.prepared.push((epoch, token));
        }
        Ok(())
    }

    /// Publishes what belongs to an epoch and earlier ones, and says so.
    async fn publish(&mut self, epoch: u64) -> Result<(), Halt> {
        let Some(sink) = &mut self.outputs.sink else { return Ok(()) };
        if epoch <= self.published {
            return Ok(());
        }
        for (_, token) in self.prepared.extract_if(.., |(prepared, _)| *prepared <= epoch) {
            sink.sink.publish(token).await?;
        }
        self.published = epoch;
        if let Some((_, reports)) = &self.checkpoints.managed {
            let Share { stage, task, .. } = self.checkpoints.share;
            let _ = reports.send(Report::Published { stage, task, epoch });
        }
        Ok(())
    }

    /// The task has ended; what it reports now stands for it in every later checkpoint.
    async fn report_end(&mut self, source: Option<SourceState>) -> Result<(), Halt> {
        // The next manifest, whichever that is, will have its tokens.
        self.prepare(self.epoch + 1).await?;
        let last = self.prepared.iter().filter(|(epoch, _)| *epoch > self.epoch);
        let tokens = last.map(|(_, token)| token.clone()).collect();
        self.ended = true;
        let state = TaskState { watermark: self.event_time, ended: true, source, tokens, ..TaskState::default() };
        self.upload(None, self.epoch + 1, state, Vec::new(), SnapshotTimes::default());
        Ok(())
    }

    /// After the last row: waits until everything that was prepared may be published.
    async fn publish_rest(&mut self) -> Result<(), Halt> {
        if self.checkpoints.managed.is_none() {
            return self.publish(u64::MAX).await;
        }
        // A sink that has prepared nothing waits too: the job is not over before its last manifest is written.
        while self.outputs.sink.is_some() && self.published < self.last_epoch() {
            let publish = self.control.borrow_and_update().publish;
            self.publish(publish).await?;
            if self.published < self.last_epoch() && self.control.changed().await.is_err() {
                return Err(Halt::Abandoned);
            }
        }
        Ok(())
    }

    /// The epoch with which everything is published.
    fn last_epoch(&self) -> u64 {
        if self.ended { self.epoch + 1 } else { self.epoch }
    }

    /// Rows through the stage; the watermark that the stage saw in them.
    async fn rows(&mut self, batch: Batch, now: Instant) -> Result<Option<i64>, Halt> {
        if batch.rows == 0 {
            return Ok(None);
        }
        let bytes = self.counters.batch_in(&batch);
        self.read_clock(now);
        match &mut self.stage {
            Some(stage) => stage.on_batch(batch, &mut self.context)?,
            None => self.context.emit(batch),
        }
        let observed = self.emit(now).await?;
        if self.memory.comes(bytes) {
            self.make_room(now).await?;
        }
        Ok(observed)
    }

    /// Says what the state occupies, and makes it leave memory if that is short.
    async fn make_room(&mut self, now: Instant) -> Result<(), Halt> {
        self.look_at_memory();
        let Some(portion) = self.memory.excess() else { return Ok(()) };
        self.read_clock(now);
        self.call(now, |stage, cx| stage.evict(portion, cx)).await?;
        self.look_at_memory();
        self.counters.has_spilled();
        Ok(())
    }

    fn look_at_memory(&mut self) {
        self.memory.report(self.stage.as_ref().map_or(0, |stage| stage.memory()));
        self.counters.holds(self.memory.held());
        self.context.notes_touches = self.memory.is_near_limit();
    }

    /// A callback, again for as long as it leaves off because much has been emitted.
    async fn call(
        &mut self,
        now: Instant,
        mut callback: impl FnMut(&mut dyn Stage, &mut StageContext) -> Result<(), TaskError>,
    ) -> Result<bool, Halt> {
        let mut emitted = false;
        while let Some(stage) = &mut self.stage {
            callback(stage.as_mut(), &mut self.context)?;
            emitted |= !self.context.emitted.is_empty();
            let more = std::mem::take(&mut self.context.more);
            self.emit(now).await?;
            if !more {
                break;
            }
        }
        Ok(emitted)
    }

    /// The task's event time has come to `watermark`.
    async fn watermark(&mut self, watermark: i64) -> Result<(), Halt> {
        if self.event_time >= Some(watermark) {
            return Ok(());
        }
        if watermark != END {
            self.event_time = Some(watermark);
        }
        self.counters.reached(watermark);
        let now = Instant::now();
        self.read_clock(now);
        if self.call(now, |stage, cx| stage.on_watermark(watermark, cx)).await? {
            // Others may have what has become free.
            self.look_at_memory();
        }
        self.outputs.watermark(watermark, now).await
    }

    /// Tells the stage what time it is. Moments come here nearly in order.
    fn read_clock(&mut self, at: Instant) {
        self.context.now = self.context.now.max(self.clock.nanos(at));
    }

    /// Calls the stage if it has asked for it, and the time has come.
    async fn timer(&mut self, now: Instant) -> Result<(), Halt> {
        if self.wake.is_none_or(|wake| wake > now) {
            return Ok(());
        }
        self.wake = None;
        self.read_clock(now);
        self.call(now, |stage, cx| stage.on_timer(cx)).await?;
        Ok(())
    }

    /// Sends on what a callback has left in the context.
    async fn emit(&mut self, now: Instant) -> Result<Option<i64>, Halt> {
        if self.context.late_rows > 0 {
            self.counters.late(std::mem::take(&mut self.context.late_rows));
        }
        if let Some(wake) = self.context.wake.take().and_then(|time| self.clock.instant(time)) {
            self.wake = Some(self.wake.map_or(wake, |earlier| earlier.min(wake)));
        }
        for batch in self.context.emitted.drain(..) {
            self.outputs.rows(batch, now).await?;
        }
        Ok(self.context.observed_watermark.take())
    }

    /// Between two batches: what has waited long enough leaves, and others get the thread if this task has had it
    /// for long enough.
    async fn end_turn(&mut self, now: Instant) -> Result<(), Halt> {
        self.outputs.turn(now).await?;
        if now.saturating_duration_since(self.turn) >= TURN_MOST {
            tokio::task::yield_now().await;
            self.turn = Instant::now();
        }
        Ok(())
    }
}

/// While state is restored: as [`Task::make_room`], where nothing is emitted.
fn make_room_for_restored(
    stage: &mut dyn Stage,
    memory: &mut TaskMemory,
    context: &mut StageContext,
) -> Result<(), TaskError> {
    memory.report(stage.memory());
    if let Some(portion) = memory.excess() {
        stage.evict(portion, context)?;
        memory.report(stage.memory());
    }
    Ok(())
}

/// What memory a task has, and where its state goes beyond.
pub(super) struct Room {
    pub(super) memory: TaskMemory,
    pub(super) spill: Spill,
}

/// How time concerns stages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// See [`StageContext::flush_interval`].
    pub(super) flush_interval: Duration,
    /// See [`StageContext::ttl`]; `None`: for ever.
    pub(super) ttl: Option<Duration>,
}

/// The time of day, as it was when the task began, and what has passed since by tokio's clock: it never goes back.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
    /// Nanoseconds since the epoch.
    began: i64,
}

impl Clock {
    fn start() -> Clock {
        Clock { started: Instant::now(), began: clock_nanos() }
    }

    fn nanos(&self, at: Instant) -> i64 {
        let passed = at.saturating_duration_since(self.started);
        self.began.saturating_add(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))
    }

    /// `None`: later than time goes.
    fn instant(&self, nanos: i64) -> Option<Instant> {
        let passed = u64::try_from(nanos.saturating_sub(self.began)).unwrap_or(0);
        self.started.checked_add(Duration::from_nanos(passed))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Sleeps until then; for ever without a time.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Where a task's rows go: to each edge, and to the sink.
pub(super) struct Outputs {
    edges: Vec<EdgeOutput>,
    sink: Option<SinkOutput>,
    counters: Arc<TaskCounters>,
}

impl Outputs {
    pub(super) fn new(edges: Vec<EdgeOutput>, sink: Option<SinkOutput>, counters: Arc<TaskCounters>) -> Self {
        Outputs { edges, sink, counters }
    }

    async fn rows(&mut self, batch: Batch, now: Instant) -> Result<(), Halt> {
        self.counters.batch_out(&batch);
        if let Some(sink) = &mut self.sink {
            sink.write(batch.clone()).await?;
        }
        if let Some((last, others)) = self.edges.split_last_mut() {
            for edge in others {
                edge.rows(batch.clone(), now).await?;
            }
            last.rows(batch, now).await?;
        }
        Ok(())
    }

    async fn watermark(&mut self, watermark: i64, now: Instant) -> Result<(), Halt> {
        for edge in &mut self.edges {
            edge.watermark(watermark, now).await?;
        }
        Ok(())
    }

    async fn announce(&mut self, message: Message) -> Result<(), Halt> {
        for edge in &mut self.edges {
            edge.announce(message.clone()).await?;
        }
        Ok(())
    }

    /// The input pauses: nothing rests here.
    async fn pause(&mut self) -> Result<(), Halt> {
        for edge in &mut self.edges {
            edge.release().await?;
        }
        match &mut self.sink {
            Some(sink) => sink.flush(Instant::now()).await.map_err(Halt::from),
            None => Ok(()),
        }
    }

    /// The input does not pause: nothing rests for too long.
    async fn turn(&mut self, now: Instant) -> Result<(), Halt> {
        for edge in &mut self.edges {
            edge.turn(now).await?;
        }
        match &mut self.sink {
            Some(sink) if now.saturating_duration_since(sink.flushed) >= SINK_FLUSH_EVERY => {
                sink.flush(now).await.map_err(Halt::from)
            }
            _ => Ok(()),
        }
    }
}

/// A sink, and when it was last flushed.
pub(super) struct SinkOutput {
    sink: Box<dyn Sink>,
    counters: Arc<SinkCounters>,
    /// To stop the job with when nobody reads any more.
    unread: Option<Controls>,
    /// It has rows that may be in its buffer.
    dirty: bool,
    flushed: Instant,
}

impl SinkOutput {
    pub(super) fn new(sink: Box<dyn Sink>, counters: Arc<SinkCounters>, unread: Option<Controls>) -> Self {
        SinkOutput { sink, counters, unread, dirty: false, flushed: Instant::now() }
    }

    async fn write(&mut self, batch: Batch) -> Result<(), TaskError> {
        if self.counters.closed.load(Relaxed) {
            return Ok(());
        }
        self.dirty = true;
        self.sink.write(batch).await?;
        self.stop_if_closed();
        Ok(())
    }

    async fn flush(&mut self, now: Instant) -> Result<(), TaskError> {
        self.flushed = now;
        if std::mem::take(&mut self.dirty) && !self.counters.closed.load(Relaxed) {
            self.sink.flush().await?;
            self.stop_if_closed();
        }
        Ok(())
    }

    async fn prepare(&mut self) -> Result<Option<Value>, TaskError> {
        self.dirty = false;
        if self.counters.closed.load(Relaxed) {
            return Ok(None);
        }
        let token = self.sink.prepare().await?;
        self.stop_if_closed();
        Ok(token)
    }

    /// Nobody reads what the sink writes: the job has done its work.
    fn stop_if_closed(&self) {
        if let Some(controls) = &self.unread
            && self.counters.closed.load(Relaxed)
        {
            controls.stop(Stop::Graceful);
        }
    }
}
