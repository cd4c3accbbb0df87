//! Memory of state: how much there may be, who has it, and where it goes when there is too much.
//!
//! ```text
//!   batch ─▶ enough has come in? ─▶ what does the state occupy? ─▶ over the limit, and more than a fair share?
//!                                            │                                  │
//!                                            ▼ pool                             ▼ the coldest part goes to disk
//! ```
//!
//! A worker has one [`MemoryPool`] with one limit. Each task says what its stage's state occupies, when as many bytes have
//! come in as could make a difference: nothing is counted by row, and by batch one number is added and compared.
//!
//! **Who makes room.** When the pool is over its limit a task makes room if it has more than an equal part of the limit.
//! There always is one, for if nobody had more, the pool would not be over. It goes down to three quarters of what it may
//! have (an equal part, or what the others leave, if that is more), and by a quarter at least, so that making room is rare:
//! each group that stays is moved once for every quarter that leaves. A task below that wakes those that wait for input,
//! which might otherwise hold on to what they have.
//!
//! **What counts.** Keys, states, rows of joins, sets, and rows of a snapshot until they have been written. Memory that is
//! reserved for groups to come and has never been touched does not: the system has not given it yet. What is in queues
//! has limits of its own. A limit is not a wall: between two looks state grows by what comes in, and tables double.
//!
//! Not here: what leaves ([`crate::window`], [`crate::updating`], [`crate::window_join`]), how it is kept on disk
//! ([`crate::cold`]).

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::cold::{Cold, Space};
use crate::error::TaskError;

/// Bytes that come in between two looks at what a state occupies; fewer where the limit is small.
const LOOK_AFTER: u64 = 256 << 10;
/// And this part of what a task may have.
const LOOK_PART: usize = 16;

/// The least that a limit is by default.
const LEAST: u64 = 256 << 20;
/// Where nothing says how much memory there is.
const UNKNOWN: u64 = 1 << 30;

/// The limit of a worker, if its user sets none: half of the memory that it can have, by the control group or the system.
pub fn default_limit() -> u64 {
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = group.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    // A group without a limit may say some number that is larger than any machine.
    let memory = group.chain(system).min().unwrap_or(2 * UNKNOWN);
    (memory / 2).max(LEAST)
}

/// `MemTotal:       24623456 kB`
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The memory of a worker's state.
#[derive(Debug)]
pub(crate) struct MemoryPool {
    limit: usize,
    used: AtomicUsize,
    /// Tasks that have any of it.
    holders: AtomicUsize,
    /// There is too much, and some of it may be with a task that waits.
    pressure: Notify,
}

impl MemoryPool {
    pub(crate) fn new(limit: u64) -> Arc<MemoryPool> {
        Arc::new(MemoryPool {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            used: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
            pressure: Notify::new(),
        })
    }

    fn fair(&self) -> usize {
        self.limit / self.holders.load(Relaxed).max(1)
    }
}

/// What one task has of a pool.
#[derive(Debug)]
pub(crate) struct TaskMemory {
    pool: Arc<MemoryPool>,
    /// Of its state, as the pool knows it.
    held: usize,
    /// Bytes that have come in since.
    came: u64,
    /// So many are a reason to look again.
    look_after: u64,
}

impl TaskMemory {
    pub(crate) fn new(pool: Arc<MemoryPool>) -> TaskMemory {
        let look_after = LOOK_AFTER.min((pool.limit / LOOK_PART) as u64);
        TaskMemory { pool, held: 0, came: 0, look_after }
    }

    /// Bytes have come in. Whether it is time to look at what the state occupies.
    #[inline]
    pub(crate) fn comes(&mut self, bytes: u64) -> bool {
        self.came += bytes;
        self.came >= self.look_after
    }

    /// The state occupies so much now.
    pub(crate) fn report(&mut self, held: usize) {
        self.came = 0;
        let fair = self.pool.fair();
        self.look_after = LOOK_AFTER.min((fair / LOOK_PART) as u64);
        if held >= self.held {
            self.pool.used.fetch_add(held - self.held, Relaxed);
        } else {
            self.pool.used.fetch_sub(self.held - held, Relaxed);
        }
        match (self.held > 0, held > 0) {
            (false, true) => drop(self.pool.holders.fetch_add(1, Relaxed)),
            (true, false) => drop(self.pool.holders.fetch_sub(1, Relaxed)),
            _ => {}
        }
        self.held = held;
    }

    /// Which part of its state has to leave.
    pub(crate) fn excess(&self) -> Option<f64> {
        let used = self.pool.used.load(Relaxed);
        if used <= self.pool.limit {
            return None;
        }
        let fair = self.pool.fair();
        if self.held <= fair {
            self.pool.pressure.notify_waiters();
            return None;
        }
        let others = used.saturating_sub(self.held);
        let may_have = fair.max(self.pool.limit.saturating_sub(others));
        let stays = (may_have / 4 * 3) as f64 / self.held as f64;
        Some((1.0 - stays).max(0.25))
    }

    /// The pool is so near its limit that it is worth knowing which groups are touched.
    pub(crate) fn is_near_limit(&self) -> bool {
        self.pool.used.load(Relaxed) > self.pool.limit / 4 * 3
    }

    pub(crate) fn holds_any(&self) -> bool {
        self.held > 0
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Comes back when somebody needs room.
    pub(crate) async fn pressed(&self) {
        self.pool.pressure.notified().await;
    }

    /// Bytes beside the state, until the guard is dropped.
    pub(crate) fn reserve(&self, bytes: usize) -> Reserved {
        self.pool.used.fetch_add(bytes, Relaxed);
        Reserved { pool: self.pool.clone(), bytes }
    }
}

impl Drop for TaskMemory {
    fn drop(&mut self) {
        self.report(0);
    }
}

/// Memory that is not a task's state.
#[derive(Debug)]
pub(crate) struct Reserved {
    pool: Arc<MemoryPool>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.bytes, Relaxed);
    }
}

/// Where a task's state goes that memory has no room for; nothing is there until it is needed.
#[derive(Clone)]
pub struct Spill(Arc<Place>);

struct Place {
    directory: PathBuf,
    cold: Mutex<Option<Cold>>,
    /// Groups, or windows of a join.
    entries: AtomicU64,
    /// Spaces that have got a number.
    numbered: AtomicU64,
    _scratch: Arc<Scratch>,
}

impl fmt::Debug for Spill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spill").field(&self.0.directory).finish()
    }
}

impl Spill {
    pub(crate) fn new(scratch: &Arc<Scratch>, stage: usize, task: usize) -> Spill {
        Spill(Arc::new(Place {
            directory: scratch.directory.join(format!("{stage}-{task}")),
            cold: Mutex::default(),
            entries: AtomicU64::new(0),
            numbered: AtomicU64::new(0),
            _scratch: scratch.clone(),
        }))
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Spill {
        Spill::new(&Scratch::alone(&std::env::temp_dir()), 0, 0)
    }

    pub(crate) fn space(&self, name: &str) -> Result<Space, TaskError> {
        let mut cold = self.cold();
        let cold = match &mut *cold {
            Some(cold) => cold,
            closed => closed.insert(Cold::open(&self.0.directory)?),
        };
        cold.space(name)
    }

    /// A space with a name of its own.
    pub(crate) fn another_space(&self, name: &str) -> Result<Space, TaskError> {
        self.space(&format!("{name}-{}", self.0.numbered.fetch_add(1, Relaxed)))
    }

    fn cold(&self) -> MutexGuard<'_, Option<Cold>> {
        self.0.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.cold().as_ref().map_or(0, Cold::disk_bytes)
    }

    /// How many groups of the task are there, for its counters.
    pub(crate) fn entries(&self) -> u64 {
        self.0.entries.load(Relaxed)
    }

    pub(crate) fn set_entries(&self, entries: usize) {
        self.0.entries.store(entries as u64, Relaxed);
    }
}

/// A directory of a job for what does not fit into memory, made when it is needed and removed when the last task has gone.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    /// That of an attempt at a job. What earlier attempts have left there, because they were killed, is removed.
    pub(crate) fn of_job(below: &Path, job: &str, generation: u64) -> Arc<Scratch> {
        let prefix = format!("spill-{job}-");
        for entry in fs::read_dir(below).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let of = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
            if of.is_some_and(|of| of < generation) {
                // What cannot be removed is found by its user.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Arc::new(Scratch { directory: below.join(format!("{prefix}{generation}")) })
    }

    /// That of a job which nobody goes on with.
    pub(crate) fn alone(below: &Path) -> Arc<Scratch> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("spill-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        Arc::new(Scratch { directory: below.join(name) })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("cannot remove \"{}\": {error}", self.directory.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_goes_by_the_machine() {
        assert_eq!(total_of("MemFree: 7 kB\nMemTotal:       2048 kB\n"), Some(2 << 20));
        assert_eq!(total_of("MemFree: 7 kB\n"), None);
        assert!(default_limit() >= LEAST);
    }

    #[test]
    fn whoever_has_more_than_a_fair_share_makes_room() {
        let pool = MemoryPool::new(1_000);
        let [mut large, mut small, mut idle] = [0; 3].map(|_| TaskMemory::new(pool.clone()));
        large.report(600);
        small.report(100);
        assert_eq!((large.excess(), small.excess()), (None, None));
        assert!(!small.is_near_limit());
        small.report(410);
        assert!(small.is_near_limit());
        // A half each would be fair; three quarters of what the other leaves stays.
        assert_eq!(small.excess(), None);
        let stays = f64::from(590 / 4 * 3) / 600.0;
        assert_eq!(large.excess(), Some(1.0 - stays));
        large.report(442);
        assert_eq!(large.excess(), None);
        // A third each: nobody is below it and everybody over it.
        idle.report(200);
        assert!([&large, &small].iter().all(|task| task.excess() >= Some(0.25)) && idle.excess().is_none());
        let reserved = idle.reserve(1);
        drop((large, small));
        assert_eq!(pool.used.load(Relaxed), 201);
        drop((reserved, idle));
        assert_eq!((pool.used.load(Relaxed), pool.holders.load(Relaxed)), (0, 0));
    }

    #[test]
    fn nothing_stays_where_there_is_no_room() {
        let mut task = TaskMemory::new(MemoryPool::new(0));
        assert!(task.comes(0));
        task.report(5);
        assert_eq!(task.excess(), Some(1.0));
    }

    #[test]
    fn scratch_is_made_when_needed_and_removed_at_the_end() {
        let below = std::env::temp_dir().join(format!("streamwright-memory-{}", std::process::id()));
        let left = ["spill-job-6", "spill-job-7", "spill-job-8", "spill-other-1"].map(|name| below.join(name));
        left.iter().for_each(|path| fs::create_dir_all(path).unwrap());
        let scratch = Scratch::of_job(&below, "job", 7);
        assert_eq!(left.each_ref().map(|path| path.exists()), [false, true, true, true]);
        assert_eq!(scratch.directory, left[1]);
        drop(scratch);
        assert!(!left[1].exists());
        fs::remove_dir_all(&below).unwrap();

        let scratch = Scratch::alone(&below);
        let directory = scratch.directory.clone();
        let spill = Spill::new(&scratch, 1, 2);
        assert!(!directory.exists());
        let mut space = spill.space("groups").unwrap();
        space.put([("key", "value")].into_iter()).unwrap();
        assert!(directory.join("1-2").exists());
        drop((space, scratch));
        assert!(directory.exists());
        drop(spill);
        assert!(!directory.exists());
        fs::remove_dir_all(&below).unwrap();
    }
}
