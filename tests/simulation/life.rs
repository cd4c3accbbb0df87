//! The life of a job: attempt after attempt, until one comes to the end.
//!
//! ```text
//!   attempt 1:  claim ─ worker ─ checkpoints ... ✗ killed, cut off, stopped, or left alone as a zombie
//!   attempt 2:        claim ─ restore ─ worker ─ checkpoints ...
//!   ...                                                          then calm: an attempt to which nothing happens
//! ```
//!
//! An attempt may go back: to an earlier checkpoint or a savepoint, which need not be on the way to the newest checkpoint.
//!
//! Attempts overlap: one that is believed dead goes on for as long as it can, with its controller, while others have begun. And
//! a worker may outlive its controller: then the next attempt may go on with it, unless it goes back.
//!
//! A life has a thread and a runtime of its own, whose clock moves when nothing can happen at present. So all that is
//! random is the seed, and a seed is lived through in the same way each time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use protocol::mutant::{self, Mutant};
use tokio::runtime::Builder;
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};

use crate::attempt::{Attempt, Beginning, Outcome};
use crate::oracle::{Oracle, Violation};
use crate::pipeline::forget_workers;
use crate::process::{Doom, Fate, Side, Step, moments, moments_of_adopting, moments_of_restoring};
use crate::reattach::forget_board;
use crate::world::{Random, World};

/// Most attempts to which something happens, one less.
const TROUBLES: u64 = 7;
/// Then so many: zombies may claim the log from each other.
const CALM_ATTEMPTS: u64 = 20;
/// The time of an attempt to which nothing happens.
const CALM: Duration = Duration::from_secs(120);
/// The time of zombies when the job is over.
const AFTERWARDS: Duration = Duration::from_secs(30);

pub(crate) struct Life {
    pub(crate) result: Result<(), Violation>,
    /// All that has happened.
    pub(crate) trace: Vec<String>,
    /// The moments at which something has happened to a process, and to one whose attempt went back.
    pub(crate) met: [BTreeSet<(Step, Side)>; 2],
    /// How often the job went back.
    pub(crate) gone_back: usize,
}

/// Lives through a seed, with a mutant if there is one.
pub(crate) fn live(seed: u64, mutant: Option<Mutant>) -> Life {
    mutant::during(mutant, || {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let life = runtime.block_on(async {
            let world = Arc::new(World::new(seed));
            tokio::select! {
                biased;
                () = world.violated() => {}
                () = attempts(&world) => {}
            }
            let result = world.violation().map_or(Ok(()), Err);
            Life { result, trace: world.take_trace(), met: world.take_met(), gone_back: world.gone_back() }
        });
        drop(runtime);
        forget_workers();
        forget_board();
        life
    })
}

async fn attempts(world: &Arc<World>) {
    let troubles = world.random.below(TROUBLES);
    for number in 1.. {
        if number > troubles + CALM_ATTEMPTS {
            world.violate(Violation::new(Oracle::Progress, "no end is in sight"));
            return;
        }
        let mut attempt = Attempt::start(world, number, number > troubles);
        let outcome = if number <= troubles {
            Trouble::any(&world.random, attempt.beginning).befalls(world, &mut attempt).await
        } else {
            world.calm();
            timeout(CALM, &mut attempt.ended).await.ok().and_then(|ended| outcome(world, ended))
        };
        world.note("life", format_args!("attempt {number}: {outcome:?}"));
        // One that is over may be started again, and has nothing to say.
        if number > troubles && outcome == Some(Outcome::Finished) {
            sleep(AFTERWARDS).await;
            if world.is_at_its_end() {
                break;
            }
            // A zombie has woken up, and gone back before it died.
        }
        world.random.pause(50).await;
        world.remove_savepoint();
    }
    world.check_end();
}

/// How an attempt has ended; `None`: in a panic.
fn outcome(world: &World, ended: Result<Outcome, JoinError>) -> Option<Outcome> {
    ended.map_err(|error| world.violate(Violation::new(Oracle::Progress, error))).ok()
}

/// What happens to an attempt.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// At a step.
    Doom(Doom),
    /// At some time.
    ControllerDies,
    WorkerDies,
    BothDie,
    LinkBreaks,
    LinkStalls,
    /// Nothing, but it is believed dead.
    Slander,
    /// It is stopped with a checkpoint.
    Stop,
}

impl Trouble {
    /// Of an attempt that goes back or adopts, what is of interest is how it begins.
    fn any(random: &Random, beginning: Beginning) -> Trouble {
        match random.below(22) {
            // Often enough that workers are left to be adopted.
            0..3 => Trouble::ControllerDies,
            3 => Trouble::WorkerDies,
            4 => Trouble::BothDie,
            5 => Trouble::LinkBreaks,
            6 => Trouble::LinkStalls,
            7 => Trouble::Slander,
            8..12 => Trouble::Stop,
            _ => {
                let at: Vec<_> = match beginning {
                    Beginning::On => moments().collect(),
                    Beginning::Back => moments_of_restoring().collect(),
                    Beginning::Adopting => moments_of_adopting().collect(),
                };
                let (step, side) = random.pick(&at);
                let turn = 1 + random.below(step.often());
                let fate = if random.one_in(2) { Fate::Dies } else { Fate::StandsStill(random.millis(3_000)) };
                Trouble::Doom(Doom { step, side, turn, fate })
            }
        }
    }

    /// Until the attempt has ended (how), or is given up.
    async fn befalls(self, world: &World, attempt: &mut Attempt) -> Option<Outcome> {
        world.note("life", format_args!("{self:?}"));
        let random = &world.random;
        let Attempt { controller, worker, link, stop, ended, .. } = attempt;
        let time = match self {
            Trouble::Doom(doom) => {
                if doom.step.is_controllers() {
                    controller.doom(doom)
                } else {
                    worker.doom(doom)
                }
                random.millis(1_500)
            }
            _ => random.millis(600),
        };
        tokio::select! {
            biased;
            ended = &mut *ended => return outcome(world, ended),
            () = controller.doomed() => {}
            () = worker.doomed() => {}
            () = sleep(time) => {}
        }
        match self {
            Trouble::Doom(_) if random.one_in(3) => link.breaks(),
            Trouble::Doom(_) | Trouble::Slander => {}
            Trouble::ControllerDies => controller.meets(Fate::Dies),
            Trouble::WorkerDies => worker.meets(Fate::Dies),
            Trouble::BothDie => {
                controller.meets(Fate::Dies);
                worker.meets(Fate::Dies);
            }
            Trouble::LinkBreaks => link.breaks(),
            Trouble::LinkStalls => link.stalls(random.millis(3_000)),
            Trouble::Stop => stop.notify_one(),
        }
        // The other end of a dead process finds out, or does not.
        if matches!(self, Trouble::ControllerDies | Trouble::WorkerDies) && random.one_in(2) {
            link.breaks();
        }
        let patience = match self {
            Trouble::Stop => Duration::from_secs(20),
            _ => random.millis(1_000),
        };
        timeout(patience, ended).await.ok().and_then(|ended| outcome(world, ended))
    }
}
