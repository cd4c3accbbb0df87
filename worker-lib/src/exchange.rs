//! How rows get from the tasks of one stage to the tasks of the next.
//!
//! ```text
//!   task 0 ──┬─[queue]──▶┐            one bounded queue for each (sender, receiver) pair
//!            └─[queue]─┐ ├ task 0     of an edge that exchanges rows
//!                      │ │
//!   task 1 ──┬─[queue]─┼▶┘
//!            └─[queue]─┴▶─ task 1
//! ```
//!
//! **Queues.** There is a queue for each pair, not one for each receiver, because a receiver must be able to take from
//! one sender and not from another: the alignment of checkpoint barriers holds an input back until the others have
//! caught up ([`Inputs::hold`]), and a join may prefer one side. [`Inputs`] polls its queues in turn and says which one
//! a message came from; an input that is held back is one that is not polled. Each queue holds at most `queue_batches` messages; a full one makes the sender wait, which is all
//! the backpressure there is, and the wait is counted. So an edge holds at most senders × receivers × `queue_batches`
//! batches.
//!
//! **Order.** Within a queue rows and watermarks keep the order in which the sender produced them. What is late is
//! therefore decided by the data and not by timing wherever a receiver has one sender. Only this is merged: of
//! watermarks with no rows between them the last is enough.
//!
//! **Routing.** A row goes to the task that owns its key's hash: task `t` of `n` owns the range
//! `[t * 2^64 / n, (t + 1) * 2^64 / n)`, so that another parallelism later means other ranges over the same hashes, and
//! state files can be cut by range. Batches are split with Arrow's `take`, a column at a time; where all rows of a
//! batch go one way it is passed on by reference, and a fan-out to several edges always is.
//!
//! **Small batches.** Splitting 512 rows among 16 tasks would make messages of 32. The router holds small batches
//! (by reference) until there are [`ROWS_PER_DESTINATION`] for each destination, and gathers the rows of all of them
//! at once. It adds no latency that can be seen: when the sender's input pauses everything leaves at once, and
//! while it is busy nothing is held for longer than [`HOLD_MOST`]. A watermark that follows rows makes them leave.
//!
//! Invariants: every row reaches exactly one task of each edge; rows of equal keys reach the same task, in order; an
//! `End` is the last message of a queue, and a queue that closes without one is a lost sender, never an end.
//!
//! Not here: exchange between processes.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{interleave, take};
use protocol::job::ExchangePlan;
use protocol::mutant::{self, Mutant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::error::TaskError;
use crate::keys::hash_columns;
use crate::metrics::TaskCounters;

/// Batches with fewer rows than this for each destination are worth waiting for more.
const ROWS_PER_DESTINATION: usize = 256;

/// Longest that a busy sender holds rows or a watermark back.
const HOLD_MOST: Duration = Duration::from_millis(5);

/// What goes through a queue.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Batch(Batch),
    Watermark(i64),
    /// The sender does not take part in the receiver's watermark until it is active again.
    Idle,
    Active,
    /// Rows before it belong to this epoch and earlier ones, rows behind it to later ones.
    Barrier(Barrier),
    /// The sender has nothing more to say, in good order.
    End,
}

/// The end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    pub epoch: u64,
    /// Nothing follows it: the job stops with this checkpoint.
    pub last: bool,
}

/// Why a task stops before its input has ended.
#[derive(Debug)]
pub(crate) enum Halt {
    Error(TaskError),
    /// A neighbour is gone. Whatever ended it is the error to report.
    Abandoned,
}

impl From<TaskError> for Halt {
    fn from(error: TaskError) -> Self {
        Halt::Error(error)
    }
}

/// The sending end of a queue.
#[derive(Debug)]
pub(crate) struct QueueSender {
    sender: mpsc::Sender<Message>,
    counters: Arc<TaskCounters>,
}

impl QueueSender {
    pub(crate) fn new(sender: mpsc::Sender<Message>, counters: Arc<TaskCounters>) -> Self {
        QueueSender { sender, counters }
    }

    async fn send(&self, message: Message) -> Result<(), Halt> {
        let message = match self.sender.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Halt::Abandoned),
            Err(TrySendError::Full(message)) => message,
        };
        let _blocked = self.counters.blocked();
        self.sender.send(message).await.map_err(|_| Halt::Abandoned)
    }
}

/// The receiving ends of all queues of a task.
pub(crate) struct Inputs {
    /// `None` once ended.
    queues: Vec<Option<mpsc::Receiver<Message>>>,
    /// Which input of the stage each queue belongs to.
    ports: Vec<usize>,
    /// Inputs from which nothing is taken.
    held: Vec<bool>,
    open: usize,
    /// Where the next round begins, so that no sender is preferred.
    next: usize,
}

/// What [`Inputs::poll`] found.
#[derive(Debug)]
pub(crate) enum Received {
    Message(usize, Message),
    /// All inputs have ended.
    End,
    /// A sender is gone without having said `End`.
    Lost,
}

impl Inputs {
    /// Queues, each with the port of the stage that it belongs to.
    pub(crate) fn new(queues: Vec<(usize, mpsc::Receiver<Message>)>) -> Self {
        let count = queues.len();
        let (ports, queues) = queues.into_iter().map(|(port, queue)| (port, Some(queue))).unzip();
        Inputs { queues, ports, held: vec![false; count], open: count, next: 0 }
    }

    /// The port of the stage that an input belongs to.
    pub(crate) fn port(&self, input: usize) -> usize {
        self.ports[input]
    }

    /// Takes nothing more from an input, until [`Self::release`].
    pub(crate) fn hold(&mut self, input: usize) {
        self.held[input] = true;
    }

    /// No input is held any more.
    pub(crate) fn release(&mut self) {
        self.held.fill(false);
    }

    /// Every input that has not ended is held.
    pub(crate) fn all_held(&self) -> bool {
        self.queues.iter().zip(&self.held).all(|(queue, held)| queue.is_none() || *held)
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }

    /// The next message of any input, fairly.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        if self.open == 0 {
            return Poll::Ready(Received::End);
        }
        for turn in 0..self.queues.len() {
            let input = (self.next + turn) % self.queues.len();
            let Some(queue) = self.queues[input].as_mut().filter(|_| !self.held[input]) else { continue };
            match queue.poll_recv(cx) {
                Poll::Pending => {}
                Poll::Ready(None) => return Poll::Ready(Received::Lost),
                Poll::Ready(Some(message)) => {
                    if matches!(message, Message::End) {
                        self.queues[input] = None;
                        self.open -= 1;
                    }
                    self.next = input + 1;
                    return Poll::Ready(Received::Message(input, message));
                }
            }
        }
        Poll::Pending
    }
}

/// One task's end of an edge.
pub(crate) struct EdgeOutput {
    senders: Vec<QueueSender>,
    /// `None`: there is one destination at most.
    router: Option<HashRouter>,
    /// To be sent before the next rows.
    watermark: Option<i64>,
    /// When the oldest thing that is held was given to us.
    held_since: Option<Instant>,
}

impl EdgeOutput {
    /// `senders` has one for each task that this one may send to: all of them for a hash exchange, one otherwise.
    pub(crate) fn new(exchange: &ExchangePlan, senders: Vec<QueueSender>) -> Self {
        let router = match exchange {
            ExchangePlan::Hash(columns) if senders.len() > 1 => Some(HashRouter::new(columns.clone(), senders.len())),
            ExchangePlan::Hash(_) | ExchangePlan::Forward | ExchangePlan::Gather => None,
        };
        EdgeOutput { senders, router, watermark: None, held_since: None }
    }

    pub(crate) async fn rows(&mut self, batch: Batch, now: Instant) -> Result<(), Halt> {
        self.send_watermark().await?;
        let Some(router) = &mut self.router else {
            return match self.senders.first() {
                Some(sender) => sender.send(Message::Batch(batch)).await,
                None => Ok(()),
            };
        };
        router.add(batch);
        if router.is_full() {
            return self.release().await;
        }
        self.held_since.get_or_insert(now);
        Ok(())
    }

    pub(crate) async fn watermark(&mut self, watermark: i64, now: Instant) -> Result<(), Halt> {
        self.send_rows().await?;
        if self.watermark.replace(watermark).is_none() {
            self.held_since = Some(now);
        }
        Ok(())
    }

    /// Sends what has been held for too long. Called between batches.
    pub(crate) async fn turn(&mut self, now: Instant) -> Result<(), Halt> {
        match self.held_since {
            Some(since) if now.saturating_duration_since(since) >= HOLD_MOST => self.release().await,
            _ => Ok(()),
        }
    }

    /// Sends all that is held.
    pub(crate) async fn release(&mut self) -> Result<(), Halt> {
        if self.held_since.take().is_none() && self.router.as_ref().is_none_or(HashRouter::is_empty) {
            return Ok(());
        }
        self.send_rows().await?;
        self.send_watermark().await
    }

    /// Sends a message to everyone, after all that is held.
    pub(crate) async fn announce(&mut self, message: Message) -> Result<(), Halt> {
        if matches!(message, Message::Barrier(Barrier { last: true, .. }))
            && mutant::is(Mutant::InFlightDropped)
            && let Some(router) = &mut self.router
        {
            router.drain()?;
        }
        self.release().await?;
        for sender in &self.senders {
            sender.send(message.clone()).await?;
        }
        Ok(())
    }

    async fn send_rows(&mut self) -> Result<(), Halt> {
        let Some(router) = &mut self.router else { return Ok(()) };
        for (destination, batch) in router.drain()? {
            self.senders[destination].send(Message::Batch(batch)).await?;
        }
        Ok(())
    }

    async fn send_watermark(&mut self) -> Result<(), Halt> {
        if let Some(watermark) = self.watermark.take() {
            self.held_since = None;
            for sender in &self.senders {
                sender.send(Message::Watermark(watermark)).await?;
            }
        }
        Ok(())
    }
}

/// Splits batches by the hash of their keys.
struct HashRouter {
    columns: Vec<usize>,
    destinations: usize,
    /// Batches whose rows have not left.
    held: Vec<Batch>,
    /// The destination of each row of `held`, in order.
    targets: Vec<u32>,
    hashes: Vec<u64>,
}

impl HashRouter {
    fn new(columns: Vec<usize>, destinations: usize) -> Self {
        HashRouter { columns, destinations, held: Vec::new(), targets: Vec::new(), hashes: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn is_full(&self) -> bool {
        self.targets.len() >= ROWS_PER_DESTINATION * self.destinations
    }

    fn add(&mut self, batch: Batch) {
        let keys: Vec<ArrayRef> = self.columns.iter().map(|column| batch.columns[*column].clone()).collect();
        self.hashes.clear();
        hash_columns(&keys, batch.rows, &mut self.hashes);
        debug_assert_eq!(self.hashes.len(), batch.rows, "a hash for each row");
        let destinations = self.destinations;
        self.targets.extend(self.hashes.iter().map(|hash| destination(*hash, destinations)));
        self.held.push(batch);
    }

    /// What is held, split: at most one batch for each destination, unless all goes to one.
    fn drain(&mut self) -> Result<Vec<(usize, Batch)>, TaskError> {
        let held = std::mem::take(&mut self.held);
        let mut counts = vec![0usize; self.destinations];
        for target in &self.targets {
            counts[*target as usize] += 1;
        }
        let parts = match (held.as_slice(), counts.iter().position(|count| *count == self.targets.len())) {
            ([], _) => Ok(Vec::new()),
            (_, Some(only)) => Ok(held.into_iter().map(|batch| (only, batch)).collect()),
            ([batch], None) => self.split_one(batch, &counts),
            (batches, None) => self.split_many(batches, &counts),
        };
        self.targets.clear();
        parts
    }

    fn split_one(&self, batch: &Batch, counts: &[usize]) -> Result<Vec<(usize, Batch)>, TaskError> {
        // A counting sort: row numbers by destination, in order within each.
        let mut ends = Vec::with_capacity(counts.len());
        let mut end = 0;
        for count in counts {
            ends.push(end);
            end += count;
        }
        let mut rows = vec![0u32; batch.rows];
        for (row, target) in self.targets.iter().enumerate() {
            let end = &mut ends[*target as usize];
            rows[*end] = row as u32;
            *end += 1;
        }
        let rows = UInt32Array::from(rows);
        let mut parts = Vec::with_capacity(counts.len());
        for (target, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let picked = rows.slice(ends[target] - count, *count);
            let columns = batch.columns.iter().map(|column| take(column, &picked, None)).collect::<Result<_, _>>();
            parts.push((target, Batch::new(columns.map_err(|error| unroutable(&error))?, *count)));
        }
        Ok(parts)
    }

    fn split_many(&self, batches: &[Batch], counts: &[usize]) -> Result<Vec<(usize, Batch)>, TaskError> {
        let mut picks: Vec<Vec<(usize, usize)>> = counts.iter().map(|count| Vec::with_capacity(*count)).collect();
        let rows = batches.iter().enumerate().flat_map(|(i, batch)| (0..batch.rows).map(move |row| (i, row)));
        for (pick, target) in rows.zip(&self.targets) {
            picks[*target as usize].push(pick);
        }
        let columns: Vec<Vec<&dyn Array>> = (0..batches[0].columns.len())
            .map(|column| batches.iter().map(|batch| batch.columns[column].as_ref()).collect())
            .collect();
        let mut parts = Vec::with_capacity(counts.len());
        for (target, picked) in picks.iter().enumerate().filter(|(_, picked)| !picked.is_empty()) {
            let columns = columns.iter().map(|arrays| interleave(arrays, picked)).collect::<Result<_, _>>();
            parts.push((target, Batch::new(columns.map_err(|error| unroutable(&error))?, picked.len())));
        }
        Ok(parts)
    }
}

/// The hashes that task `task` of `tasks` owns: the first, and the last.
pub(crate) fn hash_range(task: usize, tasks: usize) -> (u64, u64) {
    let first = |task: usize| ((task as u128) << 64).div_ceil(tasks as u128);
    (first(task) as u64, (first(task + 1) - 1) as u64)
}

/// The task that owns a hash.
pub(crate) fn destination(hash: u64, destinations: usize) -> u32 {
    ((u128::from(hash) * destinations as u128) >> 64) as u32
}

fn unroutable(error: &arrow::error::ArrowError) -> TaskError {
    TaskError::fatal(format!("cannot split a batch for a hash exchange: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    fn batch(keys: &[Option<&str>], first: i64) -> Batch {
        let values: Vec<i64> = (first..first + keys.len() as i64).collect();
        Batch::new(vec![Arc::new(StringArray::from(keys.to_vec())), Arc::new(Int64Array::from(values))], keys.len())
    }

    #[test]
    fn ranges_cover_all_hashes_evenly() {
        assert_eq!(destination(0, 3), 0);
        assert_eq!(destination(u64::MAX, 3), 2);
        assert_eq!(destination(u64::MAX / 3, 3), 0);
        assert_eq!(destination(u64::MAX / 3 + 1, 3), 1);
        assert_eq!(destination(u64::MAX, 1), 0);
        for tasks in 1..20 {
            let ranges: Vec<_> = (0..tasks).map(|task| hash_range(task, tasks)).collect();
            assert_eq!((ranges[0].0, ranges[tasks - 1].1), (0, u64::MAX));
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
            for (task, (first, last)) in ranges.into_iter().enumerate() {
                assert_eq!([first, last].map(|hash| destination(hash, tasks) as usize), [task; 2]);
            }
        }
    }

    #[test]
    fn a_batch_of_one_key_is_passed_by_reference() {
        let mut router = HashRouter::new(vec![0], 4);
        let whole = batch(&[Some("a"); 10], 0);
        router.add(whole.clone());
        let parts = router.drain().unwrap();
        assert_eq!(parts.len(), 1);
        assert!(Arc::ptr_eq(&parts[0].1.columns[1], &whole.columns[1]));
        assert!(router.is_empty() && router.drain().unwrap().is_empty());
    }

    proptest! {
        /// Any cut into batches, any moments of draining: every row arrives once, in the order of its key, and keys
        /// keep to one destination.
        #[test]
        fn routing_loses_nothing_and_keeps_keys_together(
            batches in proptest::collection::vec(proptest::collection::vec(proptest::option::of("[a-f]{0,2}"), 1..40), 1..8),
            drains in proptest::collection::vec(any::<bool>(), 8),
            destinations in 2usize..6,
        ) {
            let mut router = HashRouter::new(vec![0], destinations);
            let mut arrived: Vec<(usize, Option<String>, i64)> = Vec::new();
            let mut sent = 0i64;
            let mut collect = |router: &mut HashRouter| {
                for (destination, part) in router.drain().unwrap() {
                    let keys = part.columns[0].as_string::<i32>();
                    let values = part.columns[1].as_primitive::<Int64Type>();
                    for row in 0..part.rows {
                        let key = (!keys.is_null(row)).then(|| keys.value(row).to_owned());
                        arrived.push((destination, key, values.value(row)));
                    }
                }
            };
            for (keys, drain) in batches.iter().zip(&drains) {
                let keys: Vec<Option<&str>> = keys.iter().map(Option::as_deref).collect();
                router.add(batch(&keys, sent));
                sent += keys.len() as i64;
                if *drain {
                    collect(&mut router);
                }
            }
            collect(&mut router);
            let mut owner: HashMap<Option<String>, (usize, i64)> = HashMap::new();
            for (destination, key, value) in &arrived {
                let last = owner.entry(key.clone()).or_insert((*destination, -1));
                prop_assert_eq!(last.0, *destination);
                prop_assert!(last.1 < *value, "out of order");
                last.1 = *value;
            }
            let mut values: Vec<i64> = arrived.iter().map(|(_, _, value)| *value).collect();
            values.sort_unstable();
            prop_assert_eq!(values, (0..sent).collect::<Vec<_>>());
        }
    }

    fn edge(destinations: usize, capacity: usize) -> (EdgeOutput, Vec<mpsc::Receiver<Message>>) {
        let counters = Arc::new(TaskCounters::new((0, "test"), 0, None, None));
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..destinations)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(capacity);
                (QueueSender::new(sender, counters.clone()), receiver)
            })
            .unzip();
        (EdgeOutput::new(&ExchangePlan::Hash(vec![0]), senders), receivers)
    }

    fn received(receiver: &mut mpsc::Receiver<Message>) -> Vec<String> {
        std::iter::from_fn(|| receiver.try_recv().ok())
            .map(|message| match message {
                Message::Batch(batch) => format!("{} rows", batch.rows),
                Message::Watermark(watermark) => format!("watermark {watermark}"),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[tokio::test]
    async fn watermarks_stay_behind_their_rows_and_before_the_next() {
        let (mut edge, mut receivers) = edge(1, 16);
        let now = Instant::now();
        edge.rows(batch(&[Some("a")], 0), now).await.unwrap();
        edge.watermark(1, now).await.unwrap();
        edge.watermark(2, now).await.unwrap();
        edge.rows(batch(&[Some("a"), None], 1), now).await.unwrap();
        edge.watermark(3, now).await.unwrap();
        edge.announce(Message::End).await.unwrap();
        assert_eq!(received(&mut receivers[0]), ["1 rows", "watermark 2", "2 rows", "watermark 3", "End"]);
    }

    #[tokio::test]
    async fn small_batches_are_held_until_the_input_pauses_or_time_is_up() {
        let (mut edge, mut receivers) = edge(2, 16);
        let now = Instant::now();
        edge.rows(batch(&[Some("a")], 0), now).await.unwrap();
        edge.turn(now).await.unwrap();
        edge.rows(batch(&[Some("a")], 1), now).await.unwrap();
        assert!(receivers.iter_mut().all(|receiver| received(receiver).is_empty()));
        edge.release().await.unwrap();
        assert_eq!(receivers.iter_mut().flat_map(received).collect::<Vec<_>>(), ["1 rows", "1 rows"]);
        edge.rows(batch(&[Some("a")], 2), now).await.unwrap();
        edge.turn(now + HOLD_MOST).await.unwrap();
        assert_eq!(receivers.iter_mut().flat_map(received).collect::<Vec<_>>(), ["1 rows"]);
    }

    #[tokio::test]
    async fn a_lost_sender_is_no_end() {
        let (edge, receivers) = edge(1, 16);
        drop(edge);
        let mut inputs = Inputs::new(receivers.into_iter().map(|receiver| (0, receiver)).collect());
        let found = std::future::poll_fn(|cx| inputs.poll(cx)).await;
        assert!(matches!(found, Received::Lost));
    }
}
