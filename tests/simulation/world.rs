//! What a simulated job lives in: chance, and everything outside of its processes. That is the object store, what sinks
//! have prepared and published, and the books of an observer who sees it all ([`crate::oracle`]).
//!
//! Whatever happens is written down in order, with the time: two lives of one seed have one trace.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use artifacts::Digest;
use artifacts::objects::{Created, Entry, MemoryObjects, Objects as _};
use bytes::Bytes;
use controller::log::RestorePoint;
use futures::FutureExt as _;
use protocol::checkpoint::{Manifest, Reason, Record};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::oracle::{Books, Oracle, Row, Violation};
use crate::pipeline::JOB;
use crate::process::{Side, Step};

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(AtomicU64::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D)))
    }

    fn word(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.word() % limit
    }

    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Less than so many milliseconds.
    pub(crate) fn millis(&self, most: u64) -> Duration {
        Duration::from_micros(self.below(most * 1000))
    }

    pub(crate) async fn pause(&self, most_millis: u64) {
        tokio::time::sleep(self.millis(most_millis)).await;
    }
}

/// What may become of an operation that somebody else is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not done.
    Before,
    /// It is done, and the answer lost.
    After,
    /// The answer is an error, and then it is done.
    Late,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) objects: Arc<MemoryObjects>,
    begun: Instant,
    /// One operation in so many fails; 0: none does.
    faults: u64,
    /// All fail.
    outage: Range<Duration>,
    /// No more faults.
    calm: AtomicBool,
    books: Mutex<Books>,
    trace: Mutex<Vec<String>>,
    /// The steps at which something has happened to a process; and to one whose attempt goes back.
    met: Mutex<BTreeSet<(Step, Side)>>,
    met_back: Mutex<BTreeSet<(Step, Side)>>,
    /// Manifests that collectors retain.
    pub(crate) keep: usize,
    violation: Mutex<Option<Violation>>,
    violated: Notify,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let random = Random::new(seed);
        let faults = random.pick(&[0, 0, 300, 100, 40]);
        let begin = random.millis(1_000);
        let outage = if random.one_in(4) { begin..begin + random.millis(3_000) } else { begin..begin };
        let keep = 1 + random.below(3) as usize;
        World {
            random,
            keep,
            objects: Arc::default(),
            begun: Instant::now(),
            faults,
            outage,
            calm: AtomicBool::new(false),
            books: Mutex::new(Books::new(keep)),
            trace: Mutex::default(),
            met: Mutex::default(),
            met_back: Mutex::default(),
            violation: Mutex::default(),
            violated: Notify::new(),
        }
    }

    pub(crate) fn note(&self, who: &str, what: impl Display) {
        let at = self.begun.elapsed().as_micros();
        self.trace.lock().unwrap().push(format!("{:>6}.{:03} {who}: {what}", at / 1000, at % 1000));
    }

    pub(crate) fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.trace.lock().unwrap())
    }

    pub(crate) fn meet(&self, step: Step, side: Side, back: bool) {
        self.met.lock().unwrap().insert((step, side));
        if back {
            self.met_back.lock().unwrap().insert((step, side));
        }
    }

    pub(crate) fn take_met(&self) -> [BTreeSet<(Step, Side)>; 2] {
        [&self.met, &self.met_back].map(|met| std::mem::take(&mut *met.lock().unwrap()))
    }

    /// From here on nothing fails any more.
    pub(crate) fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        if self.calm.load(Ordering::Relaxed) {
            return None;
        }
        let out = self.outage.contains(&self.begun.elapsed());
        let faulty = out || self.faults > 0 && self.random.one_in(self.faults);
        faulty.then(|| self.random.pick(&[Fault::Before, Fault::Before, Fault::After, Fault::After, Fault::Late]))
    }

    /// How long something is under way.
    pub(crate) fn delay(&self) -> Duration {
        let most = match self.random.below(400) {
            0 => 2_000,
            1..20 => 60,
            _ => 4,
        };
        self.random.millis(most)
    }

    /// What a clock on the wall says, which may be anything.
    pub(crate) fn wall(&self) -> i64 {
        self.random.below(1 << 50) as i64
    }

    // --- what must not be ---------------------------------------------------------------------------------------------

    pub(crate) fn violate(&self, violation: Violation) {
        self.note("oracle", &violation);
        self.violation.lock().unwrap().get_or_insert(violation);
        self.violated.notify_one();
    }

    fn judge<T>(&self, judged: Result<T, Violation>) -> Option<T> {
        judged.map_err(|violation| self.violate(violation)).ok()
    }

    pub(crate) async fn violated(&self) {
        self.violated.notified().await;
    }

    /// The first one.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.lock().unwrap().clone()
    }

    /// A generation has met an error that is not tried again. A zombie may: what it works on can be gone.
    pub(crate) fn fails_for_good(&self, generation: u64, error: impl Display) {
        if self.books.lock().unwrap().is_newest(generation) {
            self.violate(Violation::new(Oracle::Progress, format!("generation {generation} fails for good: {error}")));
        }
    }

    pub(crate) fn log_is_damaged(&self, error: impl Display) {
        self.violate(Violation::new(Oracle::Log, error));
    }

    /// The job has come to its end.
    pub(crate) fn check_end(&self) {
        let judged = self.books.lock().unwrap().check_end(&self.objects);
        self.judge(judged);
    }

    // --- the object store ---------------------------------------------------------------------------------------------

    pub(crate) fn put(&self, by: &str, name: &str, bytes: &Bytes) {
        let before = self.get_now(name);
        self.objects.put(name, bytes.clone()).now_or_never().unwrap().unwrap();
        self.note(by, format_args!("put {name}, {}", Digest::of(bytes).short()));
        if before.is_some_and(|before| before != *bytes) {
            self.violate(Violation::new(Oracle::Commit, format!("{name} is overwritten")));
        }
    }

    pub(crate) fn create(&self, by: &str, name: &str, bytes: &Bytes) -> Created {
        let created = self.objects.create(name, bytes.clone()).now_or_never().unwrap().unwrap();
        let what = match serde_json::from_slice(bytes) {
            // Its bytes have the time.
            Ok(Record::Fence(fence)) => format!("fence {} of {}", fence.generation, fence.owner),
            _ => Digest::of(bytes).short(),
        };
        self.note(by, format_args!("create {name}, {what}: {created:?}"));
        if created == Created::New {
            let judged = self.books.lock().unwrap().created(name, bytes, &self.objects);
            self.judge(judged);
        }
        created
    }

    pub(crate) fn get(&self, by: &str, name: &str) -> Option<Bytes> {
        let found = self.get_now(name);
        self.note(by, format_args!("get {name}: {}", if found.is_some() { "found" } else { "nothing" }));
        found
    }

    fn get_now(&self, name: &str) -> Option<Bytes> {
        self.objects.get(name).now_or_never().unwrap().unwrap()
    }

    pub(crate) fn list(&self, by: &str, prefix: &str) -> Vec<Entry> {
        let mut found = self.objects.list(prefix).now_or_never().unwrap().unwrap();
        for entry in &mut found {
            // Nobody may rely on it.
            entry.modified = SystemTime::UNIX_EPOCH + Duration::from_micros(self.wall() as u64);
        }
        self.note(by, format_args!("list {prefix}: {}", found.len()));
        found
    }

    pub(crate) fn delete(&self, by: &str, name: &str) {
        let there = self.get_now(name).is_some();
        self.objects.delete(name).now_or_never().unwrap().unwrap();
        self.note(by, format_args!("delete {name}{}", if there { "" } else { ", which is not there" }));
        if there {
            let judged = self.books.lock().unwrap().deleted(name);
            self.judge(judged);
        }
    }

    /// The user has been told that this savepoint is made.
    pub(crate) fn saved(&self, by: &str, name: String, manifest: Manifest) {
        self.note(by, format_args!("savepoint {name} of checkpoint {}", manifest.epoch));
        let judged = self.books.lock().unwrap().saved(name, manifest, &self.objects);
        self.judge(judged);
    }

    // --- its user -----------------------------------------------------------------------------------------------------

    /// Where `who` is to have the job go on: mostly where it was, else at an earlier checkpoint or a savepoint. The
    /// checkpoint may be too old by then.
    pub(crate) fn choose(&self, who: &str) -> RestorePoint {
        let mut books = self.books.lock().unwrap();
        let points = books.points();
        if points.is_empty() || !self.random.one_in(2) {
            return RestorePoint::Latest;
        }
        let point = points[self.random.below(points.len() as u64) as usize].clone();
        books.choose(who, &point);
        point
    }

    /// Whether `who` may rely on the savepoint that it was to go back to. Once its fence has been there, the user may remove
    /// it; a zombie that then finds that its fence does not count looks for it in vain.
    pub(crate) fn is_about_to_go_back(&self, who: &str) -> bool {
        self.books.lock().unwrap().is_about_to_go_back(who)
    }

    /// Removes a savepoint, perhaps.
    pub(crate) fn remove_savepoint(&self) {
        let mut removable = self.books.lock().unwrap().removable();
        if removable.is_empty() || !self.random.one_in(4) {
            return;
        }
        let object = removable.swap_remove(self.random.below(removable.len() as u64) as usize);
        self.books.lock().unwrap().forget(&object);
        self.delete("user", &format!("{JOB}/{object}"));
    }

    /// Whether there is nothing to go on from.
    pub(crate) fn is_at_its_end(&self) -> bool {
        self.books.lock().unwrap().newest().is_some_and(|newest| newest.reason == Reason::End)
    }

    pub(crate) fn gone_back(&self) -> usize {
        self.books.lock().unwrap().gone_back()
    }

    /// The generation to which the log belongs.
    pub(crate) fn generation(&self) -> u64 {
        self.books.lock().unwrap().generation()
    }

    // --- where the sink writes ----------------------------------------------------------------------------------------

    pub(crate) fn prepare(&self, by: &str, token: &str, rows: &[Row]) {
        self.note(by, format_args!("prepare {token}, {} rows", rows.len()));
        self.books.lock().unwrap().prepare(token, rows);
    }

    /// An error: there is nothing that the token stands for.
    pub(crate) fn publish(&self, by: &str, token: &str) -> Result<(), String> {
        self.note(by, format_args!("publish {token}"));
        let judged = self.books.lock().unwrap().publish(token);
        self.judge(judged).unwrap_or(Ok(()))
    }

    /// What generations before this one have prepared.
    pub(crate) fn discard(&self, by: &str, generation: &str) {
        let judged = self.books.lock().unwrap().discard(generation);
        let gone = self.judge(judged);
        self.note(by, format_args!("discard what is older than {generation}: {gone:?}"));
    }
}
