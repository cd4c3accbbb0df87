//! Whether the oracles see anything: each [`Mutant`] breaks one rule, and a seed must notice. Nearly all are noticed by one
//! of the first few.
//!
//! `SEED=n` lives through that seed alone.

use protocol::mutant::Mutant;

use crate::life::live;
use crate::seeds;

/// Seeds that a mutant must not live through all of.
const MOST: u64 = 1_000;

/// Passes when a seed fails.
fn is_caught(mutant: Mutant) {
    let caught = seeds(MOST).find_map(|seed| Some((seed, live(seed, Some(mutant)).result.err()?)));
    match caught {
        Some((seed, violation)) => println!("{mutant:?} is caught at SEED={seed} by {violation}"),
        None => panic!("{mutant:?} is not caught"),
    }
}

#[test]
fn a_sink_that_forgets_its_tokens_on_restore() {
    is_caught(Mutant::TokenForgotten);
}

#[test]
fn what_is_left_behind_without_being_published() {
    is_caught(Mutant::LeftBehindForgotten);
}

#[test]
fn a_token_that_is_published_before_the_manifest_is_written() {
    is_caught(Mutant::PublishedTooEarly);
}

#[test]
fn a_barrier_that_is_not_aligned_on_one_input() {
    is_caught(Mutant::InputNotAligned);
}

#[test]
fn a_watermark_that_is_not_restored() {
    is_caught(Mutant::WatermarkForgotten);
}

#[test]
fn an_incremental_file_that_omits_an_update() {
    is_caught(Mutant::UpdateOmitted);
}

#[test]
fn a_collector_that_ignores_savepoints() {
    is_caught(Mutant::SavepointIgnored);
}

#[test]
fn a_zombie_whose_manifest_is_accepted() {
    is_caught(Mutant::ZombieAccepted);
}

#[test]
fn a_range_of_keys_that_is_off_by_one_task_at_another_parallelism() {
    is_caught(Mutant::KeyRangeOff);
}

#[test]
fn an_open_window_that_is_forgotten() {
    is_caught(Mutant::WindowForgotten);
}

#[test]
fn an_exchange_that_drops_what_it_gathers_when_the_job_stops() {
    is_caught(Mutant::InFlightDropped);
}

#[test]
fn an_adopted_worker_that_obeys_the_zombie() {
    is_caught(Mutant::ZombieObeyed);
}

#[test]
fn an_epoch_in_flight_that_is_forgotten_when_its_worker_is_adopted() {
    is_caught(Mutant::FlightForgotten);
}
