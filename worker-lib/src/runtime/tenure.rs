//! Whom a running job obeys, and what the next controller must be told.
//!
//! A worker may outlive its controller (`docs/checkpoints.md`, Reattaching). Then the next one *adopts* it: it claims the log
//! with a fence, so the one before commits no more, and gives the worker its own generation. From then on the worker does
//! nothing that an older one says, and names its files by the new one.
//!
//! ```text
//!   controller g   Checkpoint(8) ─▶ tasks: barrier 8 ... report, report ─▶ ✗ nobody hears
//!   controller g'  fence is record 8. Adopt(g', 9): "what you call 8 will be record 9"
//!                                   report again, as 9 ─▶ manifest 9 ─▶ Publish(9) ─▶ tasks: publish 8
//! ```
//!
//! **Two numbers.** The fence has used up the number of the epoch that is in flight, and its barrier is on its way through the
//! queues, so tasks keep their number and the controller has its own. The tasks' number is what they publish by:
//! a task that has ended behind barrier 8 has prepared the rest under 9, which is *not* in the manifest that the controller
//! calls 9.
//!
//! **What is said again** is, of each task, what it has said of the newest epoch, at its end, and of what it has published. A
//! controller that knows it already loses nothing.
//!
//! Not here: streams, and how the next controller is found (`rpc`).

use std::collections::BTreeMap;

use protocol::checkpoint::TaskSnapshot;
use protocol::mutant::{self, Mutant};
use protocol::rpc::Standing;

use super::control::{Controls, Report, Stop};
use crate::exchange::Barrier;

/// What a task has said that a controller may not have heard.
#[derive(Debug, Default)]
struct Said {
    /// Of the newest epoch of which it has said anything, by the tasks' number.
    snapshot: Option<TaskSnapshot>,
    /// At its end. Tokens that it has published since are not in it.
    end: Option<TaskSnapshot>,
    /// By the tasks' number.
    published: u64,
}

/// The tenure of one controller after the other over a running job.
#[derive(Debug)]
pub struct Tenure {
    controls: Controls,
    generation: u64,
    /// As the controller numbers epochs.
    standing: Standing,
    /// An epoch by the tasks' number, and by the controller's, if that is another one.
    renamed: Option<(u64, u64)>,
    said: BTreeMap<(usize, usize), Said>,
}

impl Tenure {
    /// A job that was started by a generation; `restored` is the epoch that it goes on from, 0: none.
    pub fn new(controls: Controls, generation: u64, restored: u64) -> Tenure {
        let standing = Standing { first_generation: generation, restored, ..Standing::default() };
        Tenure { controls, generation, standing, renamed: None, said: BTreeMap::new() }
    }

    /// The one that is obeyed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What a controller must know that may adopt the job.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// A controller wants an epoch ended.
    pub fn checkpoint(&mut self, from: u64, barrier: Barrier) {
        if self.obeys(from) {
            self.standing.begun = self.standing.begun.max(barrier.epoch);
            self.standing.stopping |= barrier.last;
            self.controls.checkpoint(Barrier { epoch: self.ours(barrier.epoch), ..barrier });
        }
    }

    /// A controller has committed an epoch.
    pub fn publish(&mut self, from: u64, epoch: u64) {
        if self.obeys(from) {
            self.standing.published = self.standing.published.max(epoch);
            self.controls.publish(self.ours(epoch));
        }
    }

    /// A controller wants the job ended.
    pub fn stop(&mut self, from: u64, mode: Stop) {
        if self.obeys(from) {
            self.standing.stopping = true;
            self.controls.stop(mode);
        }
    }

    fn obeys(&self, from: u64) -> bool {
        from == self.generation || mutant::is(Mutant::ZombieObeyed)
    }

    /// What a task says, as the controller is to hear it.
    pub fn report(&mut self, report: Report) -> Report {
        match &report {
            Report::Snapshot(snapshot) => {
                let said = self.said.entry((snapshot.stage, snapshot.task)).or_default();
                let of = if snapshot.epoch.is_some() { &mut said.snapshot } else { &mut said.end };
                *of = Some((**snapshot).clone());
            }
            Report::Published { stage, task, epoch } => {
                let said = self.said.entry((*stage, *task)).or_default();
                said.published = said.published.max(*epoch);
                // What a task prepares at its end belongs to the epoch behind its last barrier.
                let last = said.snapshot.as_ref().and_then(|snapshot| snapshot.epoch).unwrap_or(0);
                if let Some(end) = said.end.as_mut().filter(|_| said.published > last) {
                    end.state.tokens.clear();
                }
            }
            Report::Failed { .. } => {}
        }
        self.renumbered(report)
    }

    /// From here on another generation is obeyed, and its number for the epoch in flight is that (0: there is none). What
    /// is to be said again.
    pub fn adopt(&mut self, generation: u64, epoch: u64) -> Vec<Report> {
        self.generation = generation;
        self.controls.adopt(generation);
        if epoch != 0 {
            self.renamed = Some((self.ours(self.standing.begun), epoch));
            self.standing.begun = epoch;
        }
        let mut again = Vec::new();
        for ((stage, task), said) in &self.said {
            again
                .extend([&said.snapshot, &said.end].into_iter().flatten().cloned().map(Box::new).map(Report::Snapshot));
            if said.published > 0 {
                again.push(Report::Published { stage: *stage, task: *task, epoch: said.published });
            }
        }
        again.into_iter().map(|report| self.renumbered(report)).collect()
    }

    /// The tasks' number of an epoch.
    fn ours(&self, theirs: u64) -> u64 {
        self.renamed.filter(|(_, renamed)| *renamed == theirs).map_or(theirs, |(ours, _)| ours)
    }

    fn theirs(&self, ours: u64) -> u64 {
        self.renamed.filter(|(renamed, _)| *renamed == ours).map_or(ours, |(_, theirs)| theirs)
    }

    /// With the controller's numbers.
    fn renumbered(&self, report: Report) -> Report {
        match report {
            Report::Snapshot(mut snapshot) => {
                snapshot.epoch = snapshot.epoch.map(|epoch| self.theirs(epoch));
                Report::Snapshot(snapshot)
            }
            Report::Published { stage, task, epoch } => Report::Published { stage, task, epoch: self.theirs(epoch) },
            failed @ Report::Failed { .. } => failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::checkpoint::TaskState;
    use serde_json::json;

    use super::*;

    fn tenure() -> Tenure {
        Tenure::new(Controls::new(3), 3, 5)
    }

    fn snapshot(epoch: Option<u64>, tokens: usize) -> Report {
        let tokens = (0..tokens).map(|number| json!(number)).collect();
        let state = TaskState { tokens, ended: epoch.is_none(), ..TaskState::default() };
        let (tables, times) = (Vec::new(), Default::default());
        Report::Snapshot(Box::new(TaskSnapshot { stage: 0, task: 1, epoch, state, tables, merged: None, times }))
    }

    fn published(epoch: u64) -> Report {
        Report::Published { stage: 0, task: 1, epoch }
    }

    fn barrier(epoch: u64) -> Barrier {
        Barrier { epoch, last: false }
    }

    #[test]
    fn an_epoch_in_flight_gets_another_number_and_keeps_its_own() {
        let mut it = tenure();
        let control = it.controls.subscribe();
        it.checkpoint(3, barrier(7));
        it.report(snapshot(Some(7), 1));
        it.publish(3, 7);
        assert_eq!(it.report(published(7)), published(7));
        it.checkpoint(3, barrier(8));
        assert_eq!(it.report(snapshot(Some(8), 1)), snapshot(Some(8), 1));
        let standing = Standing { first_generation: 3, restored: 5, begun: 8, published: 7, stopping: false };
        assert_eq!(it.standing(), standing);

        assert_eq!(it.adopt(4, 9), [snapshot(Some(9), 1), published(7)]);
        assert_eq!((it.generation(), control.borrow().generation), (4, 4));
        assert_eq!(it.standing(), Standing { begun: 9, ..standing });
        // The one that was left is not obeyed.
        it.publish(3, 9);
        it.checkpoint(3, barrier(10));
        it.stop(3, Stop::Immediate);
        let heard = *control.borrow();
        assert_eq!((heard.publish, heard.barrier, heard.stop), (7, Some(barrier(8)), None));
        it.publish(4, 9);
        assert_eq!(control.borrow().publish, 8, "not what was prepared behind the barrier");
        assert_eq!(it.report(published(8)), published(9));
        // From here on numbers are the same.
        it.checkpoint(4, barrier(10));
        assert_eq!(control.borrow().barrier, Some(barrier(10)));
        assert_eq!(it.report(snapshot(Some(10), 0)), snapshot(Some(10), 0));
        it.publish(4, 10);
        assert_eq!(control.borrow().publish, 10);
    }

    #[test]
    fn an_epoch_is_in_flight_through_several_adoptions() {
        let mut it = tenure();
        let control = it.controls.subscribe();
        it.checkpoint(3, barrier(7));
        it.adopt(4, 8);
        assert_eq!(it.report(snapshot(Some(7), 1)), snapshot(Some(8), 1));
        assert_eq!(it.adopt(6, 11), [snapshot(Some(11), 1)]);
        // The next one finds it committed.
        assert_eq!(it.standing().begun, 11);
        assert_eq!(it.adopt(7, 0), [snapshot(Some(11), 1)]);
        it.publish(7, 11);
        assert_eq!((control.borrow().publish, it.report(published(7))), (7, published(11)));
    }

    #[test]
    fn tokens_of_an_end_are_said_again_until_they_are_published() {
        let mut it = tenure();
        it.report(snapshot(Some(7), 1));
        it.report(snapshot(None, 1));
        it.report(published(7));
        assert_eq!(it.adopt(4, 0), [snapshot(Some(7), 1), snapshot(None, 1), published(7)]);
        it.report(published(9));
        assert_eq!(it.adopt(5, 0), [snapshot(Some(7), 1), snapshot(None, 0), published(9)]);
    }
}
