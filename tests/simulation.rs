//! A job through crashes, in a world of its own, whose oracles see everything.
//!
//! The real coordinator, log, collector, tasks, exchanges, tables and state files; the object store, the outside world
//! behind source and sink, the network and the clock are simulated. Processes die or stand still at every step of the
//! protocol; messages take their time, overtake, come twice; links stall and break; the store fails, loses answers, and does
//! late what it said it could not; clocks are fast and slow; zombies go on for as long as they can. And the user goes
//! back, to checkpoints and savepoints.
//!
//! | file | is |
//! |---|---|
//! | `life` | attempt after attempt, and what happens to each |
//! | `attempt` | a controller with its worker |
//! | `reattach` | a worker, and how it goes from one controller to the next |
//! | `process`, `link`, `world` | what can happen to them: steps, messages, everything outside |
//! | `pipeline` | the job |
//! | `oracle` | what must hold |
//! | `mutants` | that the oracles would notice |
//!
//! `SEEDS=n` lives through so many seeds, `SEED=n` through one, and prints what happens. A seed is the same life each time.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "simulation/attempt.rs"]
mod attempt;
#[path = "simulation/life.rs"]
mod life;
#[path = "simulation/link.rs"]
mod link;
#[path = "simulation/mutants.rs"]
mod mutants;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/pipeline.rs"]
mod pipeline;
#[path = "simulation/process.rs"]
mod process;
#[path = "simulation/reattach.rs"]
mod reattach;
#[path = "simulation/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use life::{Life, live};
use process::{moments, moments_of_restoring};

/// Seeds unless told otherwise.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `SEED`, or so many from the first.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

/// Lives through seeds on all cores; what comes of each, by seed.
fn live_all<T: Send>(seeds: Range<u64>, of: impl Fn(u64, Life) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(seeds.start);
    let lives = || {
        let mut lived = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return lived;
            }
            lived.push((seed, of(seed, live(seed, None))));
        }
    };
    let mut lived: Vec<(u64, T)> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(lives)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    lived.sort_by_key(|(seed, _)| *seed);
    lived.into_iter().map(|(_, of)| of).collect()
}

#[test]
fn the_output_is_that_of_one_run_whatever_happens() {
    let seeds = seeds(number("SEEDS").unwrap_or(SEEDS));
    let alone = number("SEED").is_some();
    let lives = live_all(seeds.clone(), |seed, life| {
        if alone {
            println!("{}", life.trace.join("\n"));
        }
        let end = &life.trace[life.trace.len().saturating_sub(30)..];
        let failed = life.result.err().map(|violation| format!("SEED={seed}: {violation}\n{}", end.join("\n")));
        (failed, life.met, life.gone_back)
    });
    let failed: Vec<&String> = lives.iter().filter_map(|(failed, ..)| failed.as_ref()).collect();
    for failed in failed.iter().take(3) {
        eprintln!("{failed}\n");
    }
    assert!(failed.is_empty(), "{} of {} seeds failed", failed.len(), lives.len());
    if seeds == (0..seeds.end) && seeds.end >= SEEDS {
        let met_by = |which: usize| lives.iter().flat_map(move |(_, met, _)| &met[which]).collect::<BTreeSet<_>>();
        let (met, met_back) = (met_by(0), met_by(1));
        let unmet: Vec<_> = moments().filter(|moment| !met.contains(moment)).collect();
        assert!(unmet.is_empty(), "nothing has happened to any process at {unmet:?}");
        let unmet: Vec<_> = moments_of_restoring().filter(|moment| !met_back.contains(moment)).collect();
        assert!(unmet.is_empty(), "nothing has happened to any process that goes back at {unmet:?}");
        let gone_back: usize = lives.iter().map(|(_, _, gone_back)| gone_back).sum();
        assert!(gone_back > lives.len() / 4, "{gone_back} times has any job gone back");
    }
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    // Each on a thread of its own, so that nothing is left over from the life before.
    let trace = |seed| thread::spawn(move || live(seed, None).trace).join().unwrap();
    for seed in seeds(12) {
        let (first, second) = (trace(seed), trace(seed));
        assert!(first.len() > 50, "SEED={seed}: {} events", first.len());
        for (number, (first, second)) in first.iter().zip(&second).enumerate() {
            assert_eq!(first, second, "SEED={seed}, event {number}");
        }
        assert_eq!(first.len(), second.len(), "SEED={seed}");
    }
}
