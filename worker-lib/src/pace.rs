//! Numbered events: which of them a task of a generator makes, and when.
//!
//! **Which.** The events of a table are numbered 0, 1, 2 ... and dealt out in blocks: of `p` tasks, task `t` makes the
//! blocks `t, t + p, t + 2p ...`. Such a class is a *share*. It is made in order, so one number says how much of it has
//! been made, and a position is short:
//!
//! ```text
//!   {"start": 1700000000000000000, "shares": [{"task": 0, "of": 3, "made": 1234}]}
//! ```
//!
//! Shares are those of the first run for ever. Restored at another parallelism, they go on under new owners: share `i`
//! in task `i mod p`. A task with several makes the lowest number first, so that its event times do not go back; one
//! with none has ended. So each event is made exactly once, whatever the history of parallelisms.
//!
//! **When.** With a rate, event `n` is due `n / rate` seconds after the start; the first one of a task is there at
//! once. Events that are due leave together, at the latest when the oldest has waited for the linger time, and without
//! waiting when no other would become due meanwhile. What could not be made in time (backpressure) is made up for,
//! in whole batches, and shows as lag. After a restore the first event that the table has left is due at once
//! and the others after it: the time that the job was down is not made up for. Without a rate batches are made as fast
//! as they are taken.
//!
//! Not here: what an event is, and its event time, but for the start that it counts from: a position keeps it, so that
//! a table whose start was the clock's goes on counting from there.
//!
//! Cost: about a nanosecond an event; with a rate, under a microsecond a batch.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::connector::{SourceContext, SourceCounters};
use crate::error::TaskError;

/// Later than any event of a job is due; keeps clock arithmetic from overflowing at tiny rates.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The events of a table, whatever the parallelism.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    /// So many in a row are made by one task.
    pub block: u64,
    /// `None`: there is no end.
    pub count: Option<u64>,
    /// Events per second; `None`: as fast as they are taken.
    pub rate: Option<f64>,
}

/// The numbers of the events that a task makes, as they become due.
pub struct Numbers {
    shares: Shares,
    pace: Option<Pace>,
    batch_rows: u64,
    counters: Arc<SourceCounters>,
    /// What event times count from: nanoseconds since the epoch. Part of the position.
    pub start: i64,
}

impl Numbers {
    /// `start` is that of a table which says so; otherwise the clock says it at the first start. A restored one has
    /// precedence.
    ///
    /// # Errors
    /// When what is restored are not the positions of all tasks of such a table.
    pub fn new(cx: &SourceContext, events: Events, start: Option<i64>) -> Result<Self, TaskError> {
        let (task, tasks) = (cx.task as u64, cx.parallelism.max(1) as u64);
        let (block, count) = (events.block.max(1), events.count.unwrap_or(u64::MAX));
        let (mut shares, mut origin, mut restored_start) = (Vec::new(), 0, None);
        match &cx.restored {
            None => shares.extend(Share::new(task, tasks, 0, block)),
            Some(positions) => {
                let all = parse(positions, block).ok_or_else(|| {
                    let positions = Value::from(positions.clone());
                    TaskError::fatal(format!("table \"{}\" cannot go on from positions {positions}", cx.table))
                })?;
                let left = all.iter().map(|(share, _)| share.next).filter(|next| *next < count);
                origin = left.min().unwrap_or(0);
                let mine = all.into_iter().filter(|(share, _)| share.task % tasks == task);
                for (share, start) in mine {
                    // Those of other tasks started a moment apart: with the latest, no event time goes back.
                    restored_start = restored_start.max(Some(start));
                    shares.push(share);
                }
            }
        }
        Ok(Numbers {
            shares: Shares { block, count, shares },
            pace: events.rate.map(|rate| Pace { rate, linger: cx.linger, origin, begun: None, made: false }),
            batch_rows: cx.batch_rows.max(1) as u64,
            counters: Arc::clone(&cx.counters),
            start: restored_start.or(start).unwrap_or_else(clock_nanos),
        })
    }

    /// The numbers of the events to make now, at least one and at most a batch of them, rising; `None`: there are no
    /// more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Vec<u64>> {
        loop {
            let left = self.shares.left();
            if left == 0 {
                return None;
            }
            let Some(pace) = &mut self.pace else {
                return Some(self.shares.take(left.min(self.batch_rows)));
            };
            let begun = *pace.begun.get_or_insert_with(Instant::now);
            match pace.plan(&self.shares, self.batch_rows, begun.elapsed()) {
                Ok((rows, lag)) => {
                    pace.made = true;
                    self.counters.lag.store(lag, Relaxed);
                    return Some(self.shares.take(rows));
                }
                Err(until) => tokio::time::sleep_until(begun + until).await,
            }
        }
    }

    /// What [`SourceContext::restored`] is to have for this task, for the events after those that were given out.
    pub fn position(&self) -> Value {
        json!({ "start": self.start, "shares": self.shares.shares.iter().map(Share::position).collect::<Vec<_>>() })
    }

    /// How many tasks the table had at its first start: event `n` of blocks of one was dealt to task `n mod` that.
    pub fn first_tasks(&self) -> u64 {
        self.shares.shares.first().map_or(1, |share| share.of)
    }
}

/// Nanoseconds since the epoch, by the clock.
pub fn clock_nanos() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// The shares of all tasks, in order, each with its task's start.
fn parse(positions: &[Value], block: u64) -> Option<Vec<(Share, i64)>> {
    let mut all = Vec::new();
    for position in positions {
        let start = position.get("start")?.as_i64()?;
        for share in position.get("shares")?.as_array()? {
            let number = |key: &str| share.get(key).and_then(Value::as_u64);
            all.push((Share::new(number("task")?, number("of")?, number("made")?, block)?, start));
        }
    }
    all.sort_by_key(|(share, _)| share.task);
    let shares = all.len() as u64;
    let complete = all.iter().zip(0..).all(|((share, _), task)| share.task == task && share.of == shares);
    (shares > 0 && complete).then_some(all)
}

/// The blocks `task, task + of, task + 2 of ...`.
#[derive(Clone, Debug)]
struct Share {
    task: u64,
    of: u64,
    /// Its events that have been made.
    made: u64,
    /// The number of the next one, and how many its block has left, with it.
    next: u64,
    rest: u64,
}

impl Share {
    /// `None`: there is no such share.
    fn new(task: u64, of: u64, made: u64, block: u64) -> Option<Share> {
        of.checked_mul(block)?;
        let round = (made / block).checked_mul(of)?;
        let next = round.checked_add(task)?.checked_mul(block)?.checked_add(made % block)?;
        (task < of).then_some(Share { task, of, made, next, rest: block - made % block })
    }

    /// How many of its events have numbers below `end`.
    fn below(&self, end: u64, block: u64) -> u64 {
        let round = block * self.of;
        end / round * block + (end % round).saturating_sub(self.task * block).min(block)
    }

    /// Makes at most `most` events with numbers below `until`.
    fn make(&mut self, until: u64, most: usize, block: u64, numbers: &mut Vec<u64>) {
        if block == 1 {
            let run = until.saturating_sub(self.next).div_ceil(self.of).min(most as u64);
            numbers.extend((0..run).map(|i| self.next + i * self.of));
            self.made += run;
            self.next = self.next.saturating_add(run.saturating_mul(self.of));
            return;
        }
        let full = numbers.len() + most;
        while self.next < until && numbers.len() < full {
            let run = self.rest.min(until - self.next).min((full - numbers.len()) as u64);
            numbers.extend(self.next..self.next + run);
            self.made += run;
            self.next += run;
            self.rest -= run;
            if self.rest == 0 {
                self.rest = block;
                self.next = self.next.saturating_add((self.of - 1) * block);
            }
        }
    }

    fn position(&self) -> Value {
        json!({ "task": self.task, "of": self.of, "made": self.made })
    }
}

/// The shares of one task.
#[derive(Debug)]
struct Shares {
    block: u64,
    /// Events in all.
    count: u64,
    shares: Vec<Share>,
}

impl Shares {
    /// Events that are left.
    fn left(&self) -> u64 {
        self.left_below(self.count)
    }

    /// Those of them with numbers below `end`.
    fn left_below(&self, end: u64) -> u64 {
        let end = end.min(self.count);
        self.shares.iter().map(|share| share.below(end, self.block).saturating_sub(share.made)).sum()
    }

    /// The number of the first event that is left. There must be one.
    fn first(&self) -> u64 {
        self.shares.iter().map(|share| share.next).min().unwrap_or(0)
    }

    /// The number of the `n`th event that is left, from 1. There must be so many.
    fn nth(&self, n: u64) -> u64 {
        let (mut low, mut high) = (self.first(), self.count.saturating_sub(1));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.left_below(middle + 1) >= n {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// The next events, the lowest numbers first: `rows` of them if so many are left.
    fn take(&mut self, rows: u64) -> Vec<u64> {
        let rows = rows as usize;
        let mut numbers = Vec::with_capacity(rows);
        while numbers.len() < rows {
            let Some(lowest) = (0..self.shares.len()).min_by_key(|share| self.shares[*share].next) else { break };
            // It goes on until another one is lower.
            let others = self.shares.iter().enumerate().filter(|(share, _)| *share != lowest);
            let until = others.map(|(_, share)| share.next).min().unwrap_or(u64::MAX).min(self.count);
            if self.shares[lowest].next >= until {
                break;
            }
            self.shares[lowest].make(until, rows - numbers.len(), self.block, &mut numbers);
        }
        numbers
    }
}

/// When events are due.
#[derive(Debug)]
struct Pace {
    /// Events per second, of all tasks.
    rate: f64,
    linger: Duration,
    /// The event that is due at the start.
    origin: u64,
    /// When the first event was asked for, and whether any has been made since.
    begun: Option<Instant>,
    made: bool,
}

impl Pace {
    /// When an event is due, after the start.
    fn due(&self, number: u64) -> Duration {
        let after = number.saturating_sub(self.origin) as f64 / self.rate;
        Duration::try_from_secs_f64(after).map_or(FAR, |after| after.min(FAR))
    }

    /// How many events to make now, and how many more are due; or until when after the start to wait. Some must be
    /// left.
    fn plan(&self, shares: &Shares, batch_rows: u64, elapsed: Duration) -> Result<(u64, u64), Duration> {
        let newest = self.origin.saturating_add((elapsed.as_secs_f64() * self.rate) as u64);
        let waiting = shares.left_below(newest.saturating_add(1));
        let whole = batch_rows.min(shares.left());
        let oldest = self.due(shares.first());
        if waiting == 0 {
            return Err(oldest);
        }
        let deadline = oldest.saturating_add(self.linger);
        if waiting >= whole || !self.made || deadline <= elapsed || deadline < self.due(shares.nth(waiting + 1)) {
            let rows = waiting.min(whole);
            return Ok((rows, waiting - rows));
        }
        Err(deadline.min(self.due(shares.nth(whole))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context((task, parallelism): (usize, usize), restored: Option<Vec<Value>>) -> SourceContext {
        SourceContext {
            table: "t".into(),
            options: Value::Null,
            schema: schema::Schema::default(),
            metadata: Vec::new(),
            task,
            parallelism,
            batch_rows: 4,
            linger: Duration::from_millis(100),
            counters: Arc::default(),
            restored,
        }
    }

    /// Without a rate.
    fn numbers(block: u64, count: u64, place: (usize, usize), restored: Option<Vec<Value>>) -> Numbers {
        let events = Events { block, count: Some(count), rate: None };
        Numbers::new(&context(place, restored), events, Some(0)).unwrap()
    }

    proptest! {
        /// Each generation has tasks, and each of them makes some of its events before the next generation begins.
        #[test]
        fn each_event_is_made_once_whatever_the_parallelisms(
            block in prop_oneof![Just(1_u64), Just(3), Just(50)],
            count in 0_u64..900,
            generations in proptest::collection::vec(proptest::collection::vec(0_u64..130, 1..5), 1..6),
        ) {
            let mut seen = Vec::new();
            let mut restored = None;
            let last = generations.len() - 1;
            for (generation, amounts) in generations.iter().enumerate() {
                let mut positions = Vec::new();
                for (task, amount) in amounts.iter().enumerate() {
                    let mut numbers = numbers(block, count, (task, amounts.len()), restored.clone());
                    let left = numbers.shares.left();
                    let made = numbers.shares.take(if generation == last { left } else { *amount });
                    prop_assert!(made.is_sorted());
                    prop_assert_eq!(numbers.shares.left(), left - made.len() as u64);
                    seen.extend(made);
                    positions.push(numbers.position());
                }
                restored = Some(positions);
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }

        /// The closed forms agree with the events themselves.
        #[test]
        fn what_is_left_is_what_comes(
            block in prop_oneof![Just(1_u64), Just(3), Just(50)],
            count in 0_u64..500,
            made in proptest::collection::vec(0_u64..60, 1..5),
            end in 0_u64..600,
        ) {
            let of = made.len() as u64;
            let shares = made.iter().zip(0..).map(|(made, task)| Share::new(task, of, *made, block).unwrap());
            let mut shares = Shares { block, count, shares: shares.step_by(2).collect() };
            let (left, below) = (shares.left(), shares.left_below(end));
            let nth: Vec<u64> = (1..=left).map(|n| shares.nth(n)).collect();
            let taken = shares.take(left + 1);
            prop_assert_eq!(&taken, &nth);
            prop_assert_eq!(below, taken.iter().filter(|number| **number < end).count() as u64);
            prop_assert_eq!(shares.left(), 0);
        }
    }

    #[test]
    fn the_same_parallelism_changes_nothing_and_a_position_is_short() {
        let mut first = numbers(50, 1_000, (1, 3), None);
        first.shares.take(60);
        let others = [numbers(50, 1_000, (0, 3), None).position(), numbers(50, 1_000, (2, 3), None).position()];
        let position = first.position();
        assert_eq!(position, json!({ "start": 0, "shares": [{ "task": 1, "of": 3, "made": 60 }] }));
        let restored = vec![others[0].clone(), position, others[1].clone()];
        let mut again = numbers(50, 1_000, (1, 3), Some(restored));
        assert_eq!(again.shares.take(100), first.shares.take(100));
    }

    #[test]
    fn the_clocks_start_is_kept_and_does_not_go_back() {
        let events = Events { block: 1, count: None, rate: None };
        let position =
            |task: u64, start: i64| json!({ "start": start, "shares": [{ "task": task, "of": 2, "made": 7 }] });
        let restored = vec![position(0, 100), position(1, 103)];
        let start = |place| Numbers::new(&context(place, Some(restored.clone())), events, None).unwrap().start;
        assert_eq!((start((0, 2)), start((1, 2)), start((0, 1))), (100, 103, 103));
        assert_eq!(Numbers::new(&context((0, 1), None), events, Some(9)).unwrap().start, 9);
        assert!(Numbers::new(&context((0, 1), None), events, None).unwrap().start > 1_700_000_000_000_000_000);
    }

    #[test]
    fn positions_of_something_else_are_refused() {
        let share =
            |task: u64, of: u64, made: u64| json!({ "start": 0, "shares": [{ "task": task, "of": of, "made": made }] });
        for positions in [
            vec![],
            vec![json!({ "done": [], "open": [] })],
            vec![share(0, 2, 5)],
            vec![share(0, 2, 5), share(0, 2, 5)],
            vec![share(1, 1, 5)],
            vec![share(0, 1, u64::MAX), share(1, 2, 0)],
            vec![share(0, 0, 0)],
        ] {
            let events = Events { block: 50, count: None, rate: None };
            let error = Numbers::new(&context((0, 1), Some(positions)), events, None).err().unwrap();
            assert!(error.message.starts_with("table \"t\" cannot go on from positions ["), "{error}");
        }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn pace(rate: f64, made: bool) -> Pace {
        Pace { rate, linger: millis(100), origin: 0, begun: None, made }
    }

    fn made(made: u64, count: u64) -> Shares {
        Shares { block: 1, count, shares: vec![Share::new(0, 1, made, 1).unwrap()] }
    }

    #[test]
    fn the_first_event_does_not_wait_and_others_gather() {
        let endless = |events| made(events, u64::MAX);
        assert_eq!(pace(25.0, false).plan(&endless(0), 4, millis(0)), Ok((1, 0)));
        let pace_25 = pace(25.0, true);
        assert_eq!(pace_25.plan(&endless(1), 4, millis(10)), Err(millis(40)), "none is due");
        assert_eq!(pace_25.plan(&endless(1), 4, millis(41)), Err(millis(140)), "the first has waited long enough then");
        assert_eq!(pace_25.plan(&endless(1), 4, millis(140)), Ok((3, 0)));
        assert_eq!(pace_25.plan(&endless(4), 4, millis(1_140)), Ok((4, 21)), "whole batches make up for a pause");
        assert_eq!(pace(1_000.0, true).plan(&endless(4), 4, millis(5)), Err(millis(7)), "the batch is full then");
    }

    #[test]
    fn a_rare_event_is_not_held_for_company_nor_the_last_one() {
        assert_eq!(pace(1.0, true).plan(&made(1, 3), 4, millis(1_001)), Ok((1, 0)));
        assert_eq!(pace(1_000.0, true).plan(&made(2, 3), 4, millis(2)), Ok((1, 0)));
    }

    #[test]
    fn blocks_of_others_are_waited_for() {
        // Events 0 and 1 have been made; 2 and 3 are the other task's.
        let shares = Shares { block: 2, count: u64::MAX, shares: vec![Share::new(0, 2, 2, 2).unwrap()] };
        let pace = pace(100.0, true);
        assert_eq!(pace.plan(&shares, 4, millis(35)), Err(millis(40)));
        assert_eq!(pace.plan(&shares, 4, millis(45)), Err(millis(90)), "4, 5, 8 and 9 are a batch");
    }

    #[test]
    fn after_a_restore_the_rest_is_due_from_then_on() {
        let restored: Vec<Value> = (0..2)
            .map(|task| json!({ "start": 0, "shares": [{ "task": task, "of": 2, "made": 500 + task * 10 }] }))
            .collect();
        let events = Events { block: 1, count: None, rate: Some(100.0) };
        let numbers = |place| Numbers::new(&context(place, Some(restored.clone())), events, None).unwrap();
        let plan = |numbers: &Numbers, elapsed| numbers.pace.as_ref().unwrap().plan(&numbers.shares, 4, elapsed);
        // 1,000 is the first that is left; the second task's next is 1,021.
        assert_eq!(plan(&numbers((0, 2)), millis(0)), Ok((1, 0)));
        assert_eq!(plan(&numbers((1, 2)), millis(0)), Err(millis(210)));
        let mut both = numbers((0, 1));
        assert_eq!(plan(&both, millis(25)), Ok((2, 0)));
        assert_eq!(
            both.shares.take(12),
            [1_000, 1_002, 1_004, 1_006, 1_008, 1_010, 1_012, 1_014, 1_016, 1_018, 1_020, 1_021]
        );
    }

    #[tokio::test]
    async fn events_with_a_rate_come() {
        let events = Events { block: 1, count: Some(100), rate: Some(1e6) };
        let mut numbers = Numbers::new(&context((1, 2), None), events, None).unwrap();
        let mut seen = Vec::new();
        while let Some(more) = numbers.next().await {
            assert!((1..=4).contains(&more.len()));
            seen.extend(more);
        }
        assert_eq!(seen, (0..50).map(|event| event * 2 + 1).collect::<Vec<_>>());
        assert_eq!(numbers.position()["shares"][0]["made"], 50);
    }
}
