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

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::poll;
use protocol::job::SourcePlan;
use tokio::sync::watch;

use super::{Stop, Stopper, TURN_MOST, asked};
use crate::batch::Batch;
use crate::connector::{Sink, SinkCounters, Source, SourceEvent};
use crate::error::TaskError;
use crate::event_time::{END, MinWatermark, Partitions};
use crate::exchange::{EdgeOutput, Halt, Inputs, Message, Received};
use crate::metrics::TaskCounters;
use crate::stage::{Stage, StageContext};

/// Longest that rows stay in the buffer of a sink whose input does not pause.
const SINK_FLUSH_EVERY: Duration = Duration::from_millis(100);

/// Where a task's rows come from.
pub(super) enum Feed {
    Source(Box<dyn Source>, SourcePlan),
    Queues(Inputs),
}

pub(super) struct Task {
    stage: Option<Box<dyn Stage>>,
    context: StageContext,
    outputs: Outputs,
    counters: Arc<TaskCounters>,
    /// When the task last gave its thread back.
    turn: Instant,
}

impl Task {
    pub(super) fn new(stage: Option<Box<dyn Stage>>, outputs: Outputs, counters: Arc<TaskCounters>) -> Self {
        Task { stage, context: StageContext::default(), outputs, counters, turn: Instant::now() }
    }

    pub(super) async fn run(mut self, feed: Feed, stop: watch::Receiver<Option<Stop>>) -> Result<(), Halt> {
        match feed {
            Feed::Source(source, plan) => self.read_source(source, &plan, stop).await?,
            Feed::Queues(inputs) => self.read_queues(inputs).await?,
        }
        self.watermark(END).await?;
        self.outputs.end().await?;
        self.counters.finish();
        Ok(())
    }

    async fn read_source(
        &mut self,
        mut source: Box<dyn Source>,
        plan: &SourcePlan,
        mut stop: watch::Receiver<Option<Stop>>,
    ) -> Result<(), Halt> {
        // A source without a watermark has none to hold back, so silence means nothing either.
        let idle_after = plan.idle_micros.filter(|_| plan.watermark).map(Duration::from_micros);
        let mut partitions = Partitions::new(idle_after, Instant::now());
        while stop.borrow().is_none() {
            let event = {
                let mut next = source.next();
                match poll!(&mut next) {
                    Poll::Ready(event) => Some(event?),
                    Poll::Pending => {
                        self.outputs.pause().await?;
                        tokio::select! {
                            biased;
                            () = asked(&mut stop, Stop::Graceful) => return Ok(()),
                            event = next => Some(event?),
                            () = until(partitions.next_check()) => None,
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
                Some(SourceEvent::End) => return Ok(()),
                None => {}
            }
            let silence = partitions.check(now);
            if let Some(watermark) = silence.watermark {
                self.watermark(watermark).await?;
            }
            if silence.idle {
                self.outputs.announce(Message::Idle).await?;
            }
            self.end_turn(now).await?;
        }
        Ok(())
    }

    async fn read_queues(&mut self, mut inputs: Inputs) -> Result<(), Halt> {
        let mut watermarks = MinWatermark::new(inputs.len());
        let mut idle = false;
        loop {
            let received = match poll!(poll_fn(|cx| inputs.poll(cx))) {
                Poll::Ready(received) => received,
                Poll::Pending => {
                    // Without budget it is tokio that wants the thread, and there may well be input.
                    if tokio::task::coop::has_budget_remaining() {
                        self.outputs.pause().await?;
                    }
                    poll_fn(|cx| inputs.poll(cx)).await
                }
            };
            let now = Instant::now();
            let moved = match received {
                Received::End => return Ok(()),
                Received::Lost => return Err(Halt::Abandoned),
                Received::Message(_, Message::Batch(batch)) => {
                    self.rows(batch, now).await?;
                    None
                }
                Received::Message(input, Message::Watermark(watermark)) => watermarks.observe(input, watermark),
                Received::Message(input, Message::Idle) => watermarks.set_idle(input),
                Received::Message(input, Message::Active) => {
                    watermarks.set_live(input);
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
            self.end_turn(now).await?;
        }
    }

    /// Rows through the stage; the watermark that the stage saw in them.
    async fn rows(&mut self, batch: Batch, now: Instant) -> Result<Option<i64>, Halt> {
        if batch.rows == 0 {
            return Ok(None);
        }
        self.counters.batch_in(&batch);
        match &mut self.stage {
            Some(stage) => stage.on_batch(batch, &mut self.context)?,
            None => self.context.emit(batch),
        }
        self.emit(now).await
    }

    /// The task's event time has come to `watermark`.
    async fn watermark(&mut self, watermark: i64) -> Result<(), Halt> {
        self.counters.reached(watermark);
        let now = Instant::now();
        if let Some(stage) = &mut self.stage {
            stage.on_watermark(watermark, &mut self.context)?;
            self.emit(now).await?;
        }
        self.outputs.watermark(watermark, now).await
    }

    /// Sends on what a callback has left in the context.
    async fn emit(&mut self, now: Instant) -> Result<Option<i64>, Halt> {
        if self.context.late_rows > 0 {
            self.counters.late(std::mem::take(&mut self.context.late_rows));
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

/// Sleeps until then; for ever without a time.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
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

    async fn end(&mut self) -> Result<(), Halt> {
        for edge in &mut self.edges {
            edge.announce(Message::End).await?;
        }
        match &mut self.sink {
            Some(sink) => sink.sink.close().await.map_err(Halt::from),
            None => Ok(()),
        }
    }
}

/// A sink, and when it was last flushed.
pub(super) struct SinkOutput {
    sink: Box<dyn Sink>,
    counters: Arc<SinkCounters>,
    stopper: Stopper,
    /// It has rows that may be in its buffer.
    dirty: bool,
    flushed: Instant,
}

impl SinkOutput {
    pub(super) fn new(sink: Box<dyn Sink>, counters: Arc<SinkCounters>, stopper: Stopper) -> Self {
        SinkOutput { sink, counters, stopper, dirty: false, flushed: Instant::now() }
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

    /// Nobody reads what the sink writes: the job has done its work.
    fn stop_if_closed(&self) {
        if self.counters.closed.load(Relaxed) {
            self.stopper.stop(Stop::Graceful);
        }
    }
}
