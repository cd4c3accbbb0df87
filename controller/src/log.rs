//! A job's log: who may commit, and what has been committed. `docs/checkpoints.md` has the protocol.
//!
//! ```text
//!   {job}/log/  1 fence g1   2 manifest g1   3 manifest g1   4 fence g2   5 manifest g2
//!                                                            └ Log::claim   └ Writer::append
//! ```
//!
//! A record is created at the number after the last one, or not at all. **It counts when, after it was there, none
//! with a larger number was seen.** The second half is for the collector (see [`crate::collect`]): it removes old
//! records, so a zombie whose next number was another's fence may find that number free again, long after. But the last
//! record is never removed and numbers only grow, so whoever has created a record in such a hole sees a later one, and
//! knows. A record that is the last in a listing made after its creation was the last when it was created.
//!
//! So the log is what ends with the last record and has no gaps, in which the generation changes at fences, upwards.
//! What lies below a gap, or does not follow, was left by a zombie: nobody reads it, and the collector takes it.
//!
//! **Going back.** A generation may begin at an earlier checkpoint, or at a savepoint: then its fence holds that manifest,
//! and until a manifest follows the fence it stands for the newest one. So whoever restarts the job after a crash goes
//! on from there too, and not from what the user has left behind. Of that, the fence holds the tokens of the newest one:
//! its output may not have been published.
//!
//! An operation that fails is asked again for a while, at the same number. Creating again is how to read an answer
//! that was lost: the record is there afterwards, durably, and its bytes say whose it is. Nothing else is ever tried.
//!
//! Not here: when to take a checkpoint, what is in it, what a restore does with it; a clock or a lease.
//!
//! Cost: a record is two operations (create, list); reading a log is a listing and one reading for each record from the
//! last one down to the newest manifest, which is one or two. A listing is as long as what the collector retains.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use artifacts::objects::{Created, Entry, ObjectError, Objects};
use bytes::Bytes;
use protocol::checkpoint::{FORMAT, Fence, Manifest, Record, TaskState};
use protocol::mutant::{self, Mutant};
use serde_json::Value;

/// How often a claim begins anew because somebody else was faster. Each time, another generation had its fence.
const CLAIMS: u32 = 32;

/// How often a log is read anew because records that were listed were collected before they were read.
const READINGS: u32 = 16;

/// Pauses between attempts double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The log of one job, and what lies beside it: savepoints and state.
#[derive(Clone, Debug)]
pub struct Log {
    objects: Arc<dyn Objects>,
    job: String,
    patience: Patience,
    /// What can be mended is waited for, too: a full disk, a right that is missing.
    lasting: bool,
}

/// How long a store is asked that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Most attempts of one operation, at least one.
    pub attempts: u32,
    /// Before the second attempt; it doubles from one to the next. Zero: none, and no timer is needed.
    pub pause: Duration,
}

impl Default for Patience {
    /// 12 seconds in all.
    fn default() -> Self {
        Patience { attempts: 8, pause: Duration::from_millis(100) }
    }
}

/// A log as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogView {
    /// The number of the last record; 0: there is none.
    pub last: u64,
    /// The newest checkpoint, or the one that a fence after it has gone back to.
    pub newest: Option<Manifest>,
    /// The largest generation in the log, which is its last record's; 0: there is none.
    pub generation: u64,
}

/// A generation's right to append, until the next one claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub generation: u64,
    /// Of its fence.
    pub number: u64,
    /// What it goes on from.
    pub restore: Option<Manifest>,
    /// Generations whose worker may go on: since they began nobody has claimed the log who may have started another.
    pub continues: Vec<u64>,
}

/// What a generation is to go on from, as users write it: `latest`, `17`, `savepoint:before-upgrade`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RestorePoint {
    /// Where the log ends.
    #[default]
    Latest,
    /// The checkpoint of that epoch, as long as the collector retains it.
    Epoch(u64),
    /// The checkpoint of that name.
    Savepoint(String),
}

const SAVEPOINT: &str = "savepoint:";

impl fmt::Display for RestorePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestorePoint::Latest => f.write_str("latest"),
            RestorePoint::Epoch(epoch) => write!(f, "{epoch}"),
            RestorePoint::Savepoint(name) => write!(f, "{SAVEPOINT}{name}"),
        }
    }
}

impl FromStr for RestorePoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "latest" {
            return Ok(RestorePoint::Latest);
        }
        if let Some(name) = text.strip_prefix(SAVEPOINT) {
            return match check_savepoint_name(name) {
                Ok(()) => Ok(RestorePoint::Savepoint(name.to_owned())),
                Err(error) => Err(error.to_string()),
            };
        }
        let wrong = || format!("must be \"latest\", the number of an epoch, or \"{SAVEPOINT}NAME\", not \"{text}\"");
        text.parse().map(RestorePoint::Epoch).map_err(|_| wrong())
    }
}

/// A manifest that was given a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Savepoint {
    pub name: String,
    pub manifest: Manifest,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("cannot read \"{path}\": {reason}")]
    Unreadable { path: String, reason: String },
    #[error("\"{path}\" was written by a newer version: its format is {found}, this program knows {known}")]
    Newer { path: String, found: u64, known: u32 },
    #[error("the log \"{path}\" is damaged: record {number} is missing or does not belong there")]
    Incomplete { path: String, number: u64 },
    #[error("cannot claim the log \"{path}\": others were faster {} times", CLAIMS)]
    Contended { path: String },
    #[error("\"{name}\" cannot be the name of a savepoint")]
    SavepointName { name: String },
    #[error("savepoint \"{name}\" already exists")]
    SavepointExists { name: String },
    #[error("savepoint \"{name}\" was made when another controller had gone on already: its files may be gone")]
    SavepointLate { name: String },
    #[error("there is no checkpoint \"{point}\" in \"{path}\"")]
    Missing { point: RestorePoint, path: String },
}

impl LogError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LogError::Object(error) => error.hint(),
            LogError::Newer { .. } => Some("use the newer version"),
            LogError::Incomplete { .. } | LogError::Unreadable { .. } => {
                Some("restore the job's directory from a backup, or begin anew, as another job")
            }
            LogError::Contended { .. } => Some("end the other programs that run this job"),
            LogError::SavepointName { .. } => Some("a name has 1 to 100 letters, digits, \"-\" and \"_\""),
            LogError::SavepointExists { .. } => Some("give another name"),
            LogError::SavepointLate { .. } => Some("end one of the two, and make another savepoint under another name"),
            LogError::Missing { .. } => Some("streamwright state ls shows which checkpoints and savepoints there are"),
        }
    }
}

/// Why a manifest was not committed, or may not have been. Either way the generation is over and publishes nothing: if
/// the record is there after all, the next generation finds it and publishes what it names.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(
        "generation {generation} is over: record {number} of the log is not its own{}",
        by_generation.map(|newest| format!("; the newest generation is {newest}")).unwrap_or_default()
    )]
    Fenced {
        generation: u64,
        number: u64,
        /// The newest generation in the log, unless it could not be read.
        by_generation: Option<u64>,
    },
    #[error("cannot tell whether record {number} of the log was created: {source}")]
    Unknown { number: u64, source: ObjectError },
}

impl AppendError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            AppendError::Fenced { .. } => Some("another controller runs this job; end one of them"),
            AppendError::Unknown { source, .. } => source.hint(),
        }
    }
}

impl Log {
    pub fn new(objects: Arc<dyn Objects>, job: impl Into<String>) -> Log {
        Log { objects, job: job.into(), patience: Patience::default(), lasting: false }
    }

    /// As it is asked by a job that runs: for so long, whatever is wrong with the store, for somebody may mend it.
    pub fn lasting(mut self, time: Duration) -> Log {
        let attempts = time.as_secs() / LONGEST_PAUSE.as_secs();
        self.patience.attempts = self.patience.attempts.saturating_add(u32::try_from(attempts).unwrap_or(u32::MAX));
        self.lasting = true;
        self
    }

    pub fn with_patience(mut self, patience: Patience) -> Log {
        self.patience = patience;
        self
    }

    pub fn job(&self) -> &str {
        &self.job
    }

    /// Where the log ends, and what it comes to.
    ///
    /// # Errors
    /// When it cannot be read or is damaged. Then nobody may run the job: without its newest manifest it would begin
    /// anew and write its output again.
    pub async fn read(&self) -> Result<LogView, LogError> {
        let tail = self.tail(1).await?;
        Ok(LogView { last: tail.last, newest: tail.newest().cloned(), generation: tail.generation })
    }

    /// The manifest that is meant: of the log the newest `keep` are looked at, which are those that stay while a
    /// generation begins.
    ///
    /// # Errors
    /// As [`Self::read`]; when there is no such checkpoint. That there is none at all is no error of `latest`.
    pub async fn find(&self, point: &RestorePoint, keep: usize) -> Result<Option<Manifest>, LogError> {
        let tail = self.tail(keep.max(1)).await?;
        self.find_in(&tail, point).await
    }

    async fn find_in(&self, tail: &Tail, point: &RestorePoint) -> Result<Option<Manifest>, LogError> {
        let found = match point {
            RestorePoint::Latest => return Ok(tail.newest().cloned()),
            RestorePoint::Epoch(epoch) => {
                tail.from.iter().chain(&tail.manifests).find(|manifest| manifest.epoch == *epoch).cloned()
            }
            RestorePoint::Savepoint(name) => self.savepoint(name).await?,
        };
        match found {
            Some(found) => Ok(Some(found)),
            None => Err(LogError::Missing { point: point.clone(), path: self.shown("log") }),
        }
    }

    /// The newest manifests, at most so many and at least one if there is any, the newest first.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn manifests(&self, count: usize) -> Result<Vec<Manifest>, LogError> {
        Ok(self.tail(count).await?.manifests)
    }

    /// Begins a generation: from here on, no older one commits. `at_least` is the generation that is wanted; it is
    /// larger if the log has it already. `owner` is a random word, another one each time.
    ///
    /// # Errors
    /// When the log cannot be read or written. The fence may be there nevertheless, and is nobody's.
    pub async fn claim(&self, at_least: u64, owner: impl Into<String>) -> Result<Claim, LogError> {
        self.claim_from(&RestorePoint::Latest, 1, at_least, owner).await
    }

    /// As [`Self::claim`], to go on with the worker that runs: whoever claims so starts none. If it comes to nothing, another
    /// generation must claim.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub async fn claim_running(&self, at_least: u64, owner: impl Into<String>) -> Result<Claim, LogError> {
        self.claim_as(&RestorePoint::Latest, 1, at_least, owner.into(), true).await
    }

    /// As [`Self::claim`], to go on from that point, of which [`Self::find`] says what `keep` is.
    ///
    /// Only what the collector retains can be chosen, and it is looked for anew at each attempt. So no collector, a
    /// zombie's neither, removes its files: what is among the newest `keep` manifests when the fence is created is
    /// among them in every earlier view of the log that knows it; and later views see the fence.
    ///
    /// # Errors
    /// As [`Self::claim`]; when there is no such checkpoint.
    pub async fn claim_from(
        &self,
        point: &RestorePoint,
        keep: usize,
        at_least: u64,
        owner: impl Into<String>,
    ) -> Result<Claim, LogError> {
        self.claim_as(point, keep, at_least, owner.into(), false).await
    }

    async fn claim_as(
        &self,
        point: &RestorePoint,
        keep: usize,
        at_least: u64,
        owner: String,
        adopts: bool,
    ) -> Result<Claim, LogError> {
        for _ in 0..CLAIMS {
            let tail = self.tail(keep.max(1)).await?;
            let (restore, from) = match (self.find_in(&tail, point).await?, tail.newest()) {
                (Some(found), Some(newest)) if is_same(&found, newest) => (Some(newest.clone()), None),
                (Some(found), newest) => {
                    let back = newest.iter().fold(found, |back, newest| leaving(back, newest));
                    (Some(back.clone()), Some(Box::new(back)))
                }
                (None, _) => (None, None),
            };
            let number = tail.last + 1;
            let generation = at_least.max(tail.generation + 1);
            let at_micros = chrono::Utc::now().timestamp_micros();
            let fence = Record::Fence(Fence { generation, owner: owner.clone(), at_micros, from, adopts });
            if self.create(number, text(serde_json::to_vec_pretty(&fence))).await? {
                return Ok(Claim { generation, number, restore, continues: tail.continues });
            }
        }
        Err(LogError::Contended { path: self.shown("log") })
    }

    /// What appends for a generation. One to a claim.
    pub fn writer(&self, claim: &Claim) -> Writer {
        Writer { log: self.clone(), generation: claim.generation, next: claim.number + 1 }
    }

    /// Gives a manifest a name, under which it is kept until somebody removes it. It must be one that the collector
    /// retains (the newest always is), or a savepoint: of others, files may be gone.
    ///
    /// # Errors
    /// A name that is taken by another manifest or is none, or a store that fails.
    pub async fn save(&self, name: &str, manifest: &Manifest) -> Result<(), LogError> {
        check_savepoint_name(name)?;
        let bytes = text(serde_json::to_vec_pretty(manifest));
        if self.create_or_compare(&self.savepoint_name(name), bytes).await? {
            Ok(())
        } else {
            Err(LogError::SavepointExists { name: name.to_owned() })
        }
    }

    /// As [`Self::save`], of the manifest that its writer has appended last. A zombie's may be collected by then; if it
    /// is the newest of the log after it has got its name, no collector has overlooked that.
    ///
    /// # Errors
    /// As [`Self::save`] and [`Self::read`]; when the log has gone on. Then something may be there under that name which
    /// cannot be restored.
    pub async fn save_newest(&self, name: &str, manifest: &Manifest) -> Result<(), LogError> {
        self.save(name, manifest).await?;
        let newest = self.read().await?.newest;
        match newest.is_some_and(|newest| is_same(&newest, manifest)) {
            true => Ok(()),
            false => Err(LogError::SavepointLate { name: name.to_owned() }),
        }
    }

    /// The manifest of that name.
    ///
    /// # Errors
    /// A name that is none, or a manifest that cannot be read.
    pub async fn savepoint(&self, name: &str) -> Result<Option<Manifest>, LogError> {
        check_savepoint_name(name)?;
        let object = self.savepoint_name(name);
        let Some(bytes) = self.get(&object).await? else { return Ok(None) };
        let manifest: serde_json::Result<Manifest> = serde_json::from_value(self.parse(&object, &bytes)?);
        manifest.map(Some).map_err(|error| self.unreadable(&object, error))
    }

    /// All savepoints, by name.
    ///
    /// # Errors
    /// When one cannot be read.
    pub async fn savepoints(&self) -> Result<Vec<Savepoint>, LogError> {
        let mut savepoints = vec![];
        for entry in self.list("savepoints/").await? {
            let name = self.below(&entry, "savepoints/").and_then(|file| file.strip_suffix(".json"));
            let Some(name) = name.filter(|name| check_savepoint_name(name).is_ok()) else { continue };
            if let Some(manifest) = self.savepoint(name).await? {
                savepoints.push(Savepoint { name: name.to_owned(), manifest });
            }
        }
        Ok(savepoints)
    }

    /// Whether this is record `number` now, and the last one. `false`: that is somebody else's, in any case by now.
    ///
    /// An error leaves it open: the record may be there, or come yet.
    async fn create(&self, number: u64, bytes: Bytes) -> Result<bool, ObjectError> {
        if !self.create_or_compare(&self.record_name(number), bytes).await? {
            return Ok(false);
        }
        // Or else it filled a hole; or it does count, and a generation has claimed since that publishes for this one.
        Ok(self.numbers().await?.last() == Some(&number))
    }

    /// Whether the object has these bytes, which it is given if there is none.
    async fn create_or_compare(&self, name: &str, bytes: Bytes) -> Result<bool, ObjectError> {
        let mut attempts = self.attempts();
        loop {
            match self.objects.create(name, bytes.clone()).await {
                Ok(Created::New) => return Ok(true),
                // Perhaps by an attempt of ours whose answer was lost. If it has been removed since, it is long past.
                Ok(Created::Exists) => return Ok(self.get(name).await?.is_some_and(|found| found == bytes)),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    /// The log from its end down to its `count`th manifest, or to where it begins.
    pub(crate) async fn tail(&self, count: usize) -> Result<Tail, LogError> {
        let mut missing = 0;
        for _ in 0..READINGS {
            match self.try_tail(count).await? {
                Ok(tail) => return Ok(tail),
                Err(number) => missing = number,
            }
        }
        Err(LogError::Incomplete { path: self.shown("log"), number: missing })
    }

    /// As [`Self::tail`], from one listing. The inner error is the number of a record that was not there, before any
    /// manifest was found: there must be one above it, or it was collected and there is a newer one.
    async fn try_tail(&self, count: usize) -> Result<Result<Tail, u64>, LogError> {
        let numbers = self.numbers().await?;
        let mut tail = Tail { last: numbers.last().copied().unwrap_or(0), ..Tail::default() };
        let mut expected = tail.last;
        // The generations that the next record downwards may have.
        let mut allowed = 0..=u64::MAX;
        // Nothing so far says that another worker was started.
        let mut one_worker = true;
        for number in numbers.into_iter().rev() {
            if number != expected {
                break;
            }
            let Some(record) = self.record(number).await? else { break };
            let generation = record.generation();
            if !allowed.contains(&generation) {
                break;
            }
            if number == tail.last {
                tail.generation = generation;
            }
            expected -= 1;
            if one_worker {
                tail.continues.extend((tail.continues.last() != Some(&generation)).then_some(generation));
                // What a manifest says comes from the worker of its generation, which obeys that one, or a later one.
                one_worker = matches!(&record, Record::Fence(fence) if fence.adopts);
            }
            match record {
                Record::Fence(fence) => {
                    allowed = 0..=generation.saturating_sub(1);
                    // Of several without a manifest between them the last one has the word.
                    if tail.manifests.is_empty() && tail.from.is_none() {
                        tail.from = fence.from.map(|from| *from);
                    }
                }
                Record::Checkpoint(manifest) => {
                    allowed = generation..=generation;
                    tail.manifests.push(manifest);
                    if tail.manifests.len() >= count {
                        break;
                    }
                }
            }
        }
        Ok(if tail.manifests.is_empty() && expected > 0 { Err(expected) } else { Ok(tail) })
    }

    /// The numbers of all records, upwards.
    async fn numbers(&self) -> Result<Vec<u64>, ObjectError> {
        let entries = self.list("log/").await?;
        let mut numbers: Vec<_> =
            entries.iter().filter_map(|entry| self.below(entry, "log/").and_then(record_number)).collect();
        // By name they are, up to ten digits.
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn record(&self, number: u64) -> Result<Option<Record>, LogError> {
        let name = self.record_name(number);
        let Some(bytes) = self.get(&name).await? else { return Ok(None) };
        let record: serde_json::Result<Record> = serde_json::from_value(self.parse(&name, &bytes)?);
        let record = record.map_err(|error| self.unreadable(&name, error))?;
        match &record {
            Record::Checkpoint(manifest) if manifest.epoch != number => {
                Err(self.unreadable(&name, format!("it is the checkpoint of epoch {}", manifest.epoch)))
            }
            _ => Ok(Some(record)),
        }
    }

    /// The document, if it is not of a newer format, of which nothing else can be expected to make sense.
    fn parse(&self, name: &str, bytes: &[u8]) -> Result<Value, LogError> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| self.unreadable(name, error))?;
        // Of a fence that goes back the format is that of its manifest.
        let format = value.get("format").or_else(|| value.pointer("/from/format"));
        match format.and_then(Value::as_u64) {
            Some(found) if found > u64::from(FORMAT) => {
                Err(LogError::Newer { path: self.url_of(name), found, known: FORMAT })
            }
            _ => Ok(value),
        }
    }

    fn unreadable(&self, name: &str, reason: impl ToString) -> LogError {
        LogError::Unreadable { path: self.url_of(name), reason: reason.to_string() }
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, ObjectError> {
        let mut attempts = self.attempts();
        loop {
            match self.objects.get(name).await {
                Ok(found) => return Ok(found),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    /// Objects of the job whose names go on with `prefix`, by name.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<Entry>, ObjectError> {
        let prefix = format!("{}/{prefix}", self.job);
        let mut attempts = self.attempts();
        loop {
            match self.objects.list(&prefix).await {
                Ok(entries) => return Ok(entries),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), ObjectError> {
        let mut attempts = self.attempts();
        loop {
            match self.objects.delete(name).await {
                Ok(()) => return Ok(()),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    fn attempts(&self) -> Attempts {
        let Patience { attempts, pause } = self.patience;
        Attempts { left: attempts, pause, lasting: self.lasting, said: false }
    }

    fn record_name(&self, number: u64) -> String {
        format!("{}/log/{}", self.job, record_file(number))
    }

    fn savepoint_name(&self, name: &str) -> String {
        format!("{}/savepoints/{name}.json", self.job)
    }

    /// What follows `{job}/{prefix}` in an entry's name.
    fn below<'a>(&self, entry: &'a Entry, prefix: &str) -> Option<&'a str> {
        entry.name.strip_prefix(&self.job)?.strip_prefix('/')?.strip_prefix(prefix)
    }

    /// What is below the job's directory, for messages.
    fn shown(&self, below: &str) -> String {
        self.url_of(&format!("{}/{below}", self.job))
    }

    fn url_of(&self, name: &str) -> String {
        format!("{}/{name}", self.objects.url().trim_end_matches('/'))
    }
}

/// Appends the manifests of one generation.
#[derive(Debug)]
pub struct Writer {
    log: Log,
    generation: u64,
    next: u64,
}

impl Writer {
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The epoch that is in flight: the number of the next manifest.
    pub fn epoch(&self) -> u64 {
        self.next
    }

    /// Commits a checkpoint, as the next record: its epoch and generation are set. Returns its epoch; only then may
    /// sinks publish.
    ///
    /// # Errors
    /// As [`AppendError`] says; in any case this writer's generation is over. Appending again is harmless: it is at the
    /// same number, where at most one record ever counts.
    pub async fn append(&mut self, mut manifest: Manifest) -> Result<u64, AppendError> {
        let (generation, number) = (self.generation, self.next);
        manifest.epoch = number;
        manifest.generation = generation;
        let bytes = text(serde_json::to_vec_pretty(&Record::Checkpoint(manifest)));
        match self.log.create(number, bytes).await {
            Ok(committed) if committed || mutant::is(Mutant::ZombieAccepted) => {
                self.next += 1;
                Ok(number)
            }
            Ok(_) => {
                // Only for the message: that this generation is over is certain.
                let by_generation = self.log.read().await.ok().map(|view| view.generation);
                Err(AppendError::Fenced { generation, number, by_generation })
            }
            Err(source) => Err(AppendError::Unknown { number, source }),
        }
    }
}

/// The end of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    pub(crate) last: u64,
    pub(crate) generation: u64,
    /// What the last fence has gone back to, if no manifest follows it.
    pub(crate) from: Option<Manifest>,
    /// The newest first.
    pub(crate) manifests: Vec<Manifest>,
    /// As in [`Claim`], for whoever claims next.
    pub(crate) continues: Vec<u64>,
}

impl Tail {
    /// What the next generation goes on from.
    fn newest(&self) -> Option<&Manifest> {
        self.from.as_ref().or(self.manifests.first())
    }
}

/// What is left of the patience with one operation.
struct Attempts {
    left: u32,
    pause: Duration,
    /// See [`Log`].
    lasting: bool,
    /// People have been told that it does not work.
    said: bool,
}

impl Attempts {
    /// Waits before the next attempt; gives the error back if there is none.
    async fn again(&mut self, error: ObjectError) -> Result<(), ObjectError> {
        self.left = self.left.saturating_sub(1);
        let mendable = self.lasting && !matches!(error, ObjectError::Url(_) | ObjectError::Name { .. });
        if self.left == 0 || !(error.retryable() || mendable) {
            return Err(error);
        }
        if self.pause == LONGEST_PAUSE && !self.said {
            self.said = true;
            tracing::warn!("checkpoints are waiting for their store: {error}");
        }
        tracing::debug!(%error, left = self.left, "asking the object store again");
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}

fn record_file(number: u64) -> String {
    format!("{number:010}.json")
}

/// The number of the record in a file of `log/`; `None`: it is no record.
pub(crate) fn record_number(file: &str) -> Option<u64> {
    let number: u64 = file.strip_suffix(".json")?.parse().ok()?;
    (number > 0 && record_file(number) == file).then_some(number)
}

/// Whether a savepoint can have that name.
///
/// # Errors
/// When it cannot.
pub fn check_savepoint_name(name: &str) -> Result<(), LogError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (1..=100).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(()),
        false => Err(LogError::SavepointName { name: name.to_owned() }),
    }
}

/// Whether it is the same checkpoint, whatever a fence has added to it.
fn is_same(one: &Manifest, other: &Manifest) -> bool {
    (one.epoch, one.generation) == (other.epoch, other.generation)
}

/// The manifest that a fence goes back to, with the tokens of the one that it leaves. Who goes back discards what earlier
/// generations have prepared; what a manifest names is published before, or going on from that one later would lack it.
fn leaving(mut back: Manifest, left: &Manifest) -> Manifest {
    for (sink, tasks) in left.stages.iter().filter_map(|stage| Some((stage.sink.as_ref()?, &stage.tasks))) {
        let same = back.stages.iter_mut().find(|stage| stage.sink.as_ref() == Some(sink));
        // A sink that is not there any more discards nothing either.
        let Some(first) = same.and_then(|stage| stage.tasks.first_mut()) else { continue };
        for token in tasks.iter().flat_map(TaskState::unpublished) {
            if !first.left_behind.contains(token) {
                first.left_behind.push(token.clone());
            }
        }
    }
    back
}

fn text(written: serde_json::Result<Vec<u8>>) -> Bytes {
    let mut text = written.expect("records have string keys and finite numbers");
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeSet, VecDeque};
    use std::future::poll_fn;
    use std::io;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    use artifacts::objects::{LocalObjects, MemoryObjects};
    use futures::FutureExt as _;
    use futures::future::{BoxFuture, LocalBoxFuture};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use protocol::checkpoint::{Outside, Reason, StageState};
    use serde_json::json;

    use super::*;
    use crate::collect::collect;

    /// Without pauses, so without timers.
    const IMPATIENT: Patience = Patience { attempts: 3, pause: Duration::ZERO };

    pub(crate) fn log(objects: Arc<dyn Objects>) -> Log {
        Log::new(objects, "job").with_patience(IMPATIENT)
    }

    /// Of no stages; `label` tells it from others.
    pub(crate) fn manifest(label: i64) -> Manifest {
        Manifest {
            format: FORMAT,
            job: "job".into(),
            epoch: 0,
            generation: 0,
            code: "c0de".into(),
            reason: Reason::Interval,
            begun_micros: 0,
            complete_micros: label,
            stages: vec![],
        }
    }

    /// What a future comes to that never waits.
    pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("objects in memory do not wait")
    }

    /// What becomes of one operation.
    #[derive(Clone, Copy, Debug)]
    enum Fault {
        Fine,
        /// An error, and nothing is done.
        Before,
        /// It is done, and the answer lost.
        After,
        /// An error; it is done at some later time.
        Late,
    }

    /// A store between whose clients every operation is one step, and that fails.
    #[derive(Debug, Default)]
    struct Unreliable {
        objects: Arc<MemoryObjects>,
        /// Of the operations to come; then there are none.
        faults: Mutex<VecDeque<Fault>>,
        late: Mutex<VecDeque<(String, Bytes)>>,
        /// Every creation that was one, in order.
        created: Mutex<Vec<(String, Bytes)>>,
        gets: AtomicUsize,
    }

    /// Lets others go first, once.
    async fn step() {
        let mut waited = false;
        poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn lost(path: &str) -> ObjectError {
        ObjectError::Io { action: "reach", path: path.into(), source: io::ErrorKind::TimedOut.into() }
    }

    impl Unreliable {
        fn failing(faults: impl IntoIterator<Item = Fault>) -> Arc<Unreliable> {
            Arc::new(Unreliable { faults: Mutex::new(faults.into_iter().collect()), ..Unreliable::default() })
        }

        fn fault(&self) -> Fault {
            self.faults.lock().unwrap().pop_front().unwrap_or(Fault::Fine)
        }

        fn do_create(&self, name: &str, bytes: Bytes) -> Created {
            let created = now(self.objects.create(name, bytes.clone())).unwrap();
            if created == Created::New {
                self.created.lock().unwrap().push((name.to_owned(), bytes));
            }
            created
        }

        /// Does one of the operations that are late.
        fn deliver(&self) {
            let late = self.late.lock().unwrap().pop_front();
            if let Some((name, bytes)) = late {
                self.do_create(&name, bytes);
            }
        }

        /// The records that were created as the last of the log, from number 1, and how many others there were.
        fn history(&self) -> (Vec<Record>, usize) {
            let (mut records, mut others) = (vec![], 0);
            for (name, bytes) in self.created.lock().unwrap().iter() {
                let number = record_number(name.strip_prefix("job/log/").unwrap()).unwrap();
                assert!(number <= records.len() as u64 + 1, "record {number} leaves a gap");
                if number <= records.len() as u64 {
                    others += 1;
                } else {
                    records.push(serde_json::from_slice::<Record>(bytes).unwrap());
                }
            }
            (records, others)
        }
    }

    impl Objects for Unreliable {
        fn url(&self) -> &str {
            "unreliable:"
        }

        fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectError>> {
            self.objects.put(name, bytes)
        }

        fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created, ObjectError>> {
            Box::pin(async move {
                step().await;
                match self.fault() {
                    Fault::Fine => return Ok(self.do_create(name, bytes)),
                    Fault::Before => {}
                    Fault::After => _ = self.do_create(name, bytes),
                    Fault::Late => self.late.lock().unwrap().push_back((name.to_owned(), bytes)),
                }
                Err(lost(name))
            })
        }

        fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectError>> {
            Box::pin(async move {
                step().await;
                self.gets.fetch_add(1, Ordering::Relaxed);
                match self.fault() {
                    Fault::Fine => self.objects.get(name).await,
                    _ => Err(lost(name)),
                }
            })
        }

        fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, ObjectError>> {
            Box::pin(async move {
                step().await;
                match self.fault() {
                    Fault::Fine => self.objects.list(prefix).await,
                    _ => Err(lost(prefix)),
                }
            })
        }

        fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
            Box::pin(async move {
                step().await;
                match self.fault() {
                    Fault::Fine => self.objects.delete(name).await,
                    Fault::Before | Fault::Late => Err(lost(name)),
                    Fault::After => {
                        self.objects.delete(name).await?;
                        Err(lost(name))
                    }
                }
            })
        }
    }

    #[test]
    fn a_log_is_claimed_appended_to_and_read() {
        let objects: Arc<dyn Objects> = Arc::new(MemoryObjects::new());
        let log = log(objects.clone());
        assert_eq!(now(log.read()).unwrap(), LogView::default());

        let first = now(log.claim(0, "a")).unwrap();
        assert_eq!(first, Claim { generation: 1, number: 1, restore: None, continues: vec![] });
        let mut writer = log.writer(&first);
        assert_eq!((writer.generation(), writer.epoch()), (1, 2));
        assert_eq!(now(writer.append(manifest(10))).unwrap(), 2);
        assert_eq!(now(writer.append(manifest(11))).unwrap(), 3);
        let newest = Manifest { epoch: 3, generation: 1, ..manifest(11) };
        let view = LogView { last: 3, newest: Some(newest.clone()), generation: 1 };
        assert_eq!(now(log.read()).unwrap(), view);

        // Between a fence and its first checkpoint it may crash any number of times.
        let second = now(log.claim(7, "b")).unwrap();
        let restore = Some(newest.clone());
        assert_eq!(second, Claim { generation: 7, number: 4, restore, continues: vec![1] });
        let third = now(log.claim(7, "c")).unwrap();
        let restore = Some(newest.clone());
        assert_eq!(third, Claim { generation: 8, number: 5, restore, continues: vec![7] });
        assert_eq!(now(log.read()).unwrap(), LogView { last: 5, newest: Some(newest.clone()), generation: 8 });

        let error = now(writer.append(manifest(12))).unwrap_err();
        assert!(matches!(error, AppendError::Fenced { generation: 1, number: 4, by_generation: Some(8) }), "{error}");
        assert!(error.to_string().ends_with("is not its own; the newest generation is 8"), "{error}");

        let mut writer = log.writer(&third);
        assert_eq!(now(writer.append(manifest(13))).unwrap(), 6);
        let epochs: Vec<_> = now(log.manifests(2)).unwrap().iter().map(|manifest| manifest.epoch).collect();
        assert_eq!(epochs, [6, 3]);
        let text = now(objects.get("job/log/0000000006.json")).unwrap().unwrap();
        assert!(text.starts_with(b"{\n  \"record\": \"checkpoint\",\n"), "{text:?}");
    }

    #[test]
    fn points_are_read_as_they_are_written() {
        let name = || "before-upgrade_2".to_owned();
        for point in [RestorePoint::Latest, RestorePoint::Epoch(17), RestorePoint::Savepoint(name())] {
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        let error = "newest".parse::<RestorePoint>().unwrap_err();
        assert_eq!(error, r#"must be "latest", the number of an epoch, or "savepoint:NAME", not "newest""#);
        let error = "savepoint:../a".parse::<RestorePoint>().unwrap_err();
        assert_eq!(error, r#""../a" cannot be the name of a savepoint"#);
        assert!("-1".parse::<RestorePoint>().is_err() && "savepoint:".parse::<RestorePoint>().is_err());
    }

    #[test]
    fn a_generation_can_go_back() {
        let log = log(Arc::new(MemoryObjects::new()));
        let mut writer = log.writer(&now(log.claim(0, "a")).unwrap());
        for label in 2..8 {
            assert_eq!(now(writer.append(manifest(label))).unwrap(), label as u64);
        }
        let at = |epoch: u64| Manifest { epoch, generation: 1, ..manifest(epoch as i64) };
        now(log.save("kept", &at(2))).unwrap();
        let go_back = |point: RestorePoint| now(log.claim_from(&point, 3, 0, "b"));

        let claim = go_back(RestorePoint::Epoch(5)).unwrap();
        assert_eq!((claim.generation, claim.number, claim.restore.as_ref()), (2, 8, Some(&at(5))));
        // It crashes before its first checkpoint: the next one goes back too, though there are newer manifests.
        let view = now(log.read()).unwrap();
        assert_eq!((view.last, view.newest, view.generation), (8, Some(at(5)), 2));
        assert_eq!(now(log.claim(0, "c")).unwrap().restore, Some(at(5)));
        // One changes one's mind.
        assert_eq!(go_back(RestorePoint::Epoch(7)).unwrap().restore, Some(at(7)));
        assert_eq!(go_back(RestorePoint::Savepoint("kept".into())).unwrap().restore, Some(at(2)));
        assert_eq!(now(log.find(&RestorePoint::Epoch(2), 1)).unwrap(), Some(at(2)), "the fence keeps it");

        // What is not retained, or was never there, is no choice, and leaves no fence.
        let last = now(log.read()).unwrap().last;
        for point in [RestorePoint::Epoch(4), RestorePoint::Epoch(8), RestorePoint::Savepoint("other".into())] {
            let error = go_back(point.clone()).unwrap_err();
            assert!(matches!(error, LogError::Missing { .. }), "{error}");
            let expected = format!("there is no checkpoint \"{point}\" in \"memory:/job/log\"");
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(now(log.read()).unwrap().last, last);

        // The first manifest behind the fence is where the log goes on.
        let claim = now(log.claim(0, "d")).unwrap();
        let mut writer = log.writer(&claim);
        let epoch = now(writer.append(manifest(99))).unwrap();
        assert_eq!(epoch, last + 2);
        assert_eq!(now(log.claim(0, "e")).unwrap().restore.unwrap().complete_micros, 99);
        // Of what was left behind nothing is lost, as long as it is retained.
        assert_eq!(go_back(RestorePoint::Epoch(7)).unwrap().restore, Some(at(7)));
        assert_eq!(go_back(RestorePoint::Latest).unwrap().restore, Some(at(7)));
    }

    #[test]
    fn who_goes_back_knows_what_may_not_have_been_published() {
        let log = log(Arc::new(MemoryObjects::new()));
        let sink = |table: &str, token: i64| StageState {
            stage: 0,
            name: table.into(),
            operators: vec![],
            source: None,
            sink: Some(Outside { table: table.into(), connector: "kept".into() }),
            tables: vec![],
            tasks: vec![TaskState::default(), TaskState { tokens: vec![token.into()], ..TaskState::default() }],
        };
        let mut writer = log.writer(&now(log.claim(0, "a")).unwrap());
        let epochs = [2, 3, 4].map(|label| {
            let stages = match label {
                // A sink that the query has no more, and another stage.
                4 => vec![sink("other", 40), sink("rows", 4)],
                _ => vec![sink("rows", label)],
            };
            now(writer.append(Manifest { stages, ..manifest(label) })).unwrap()
        });
        let left_behind = |point: RestorePoint| {
            let restore = now(log.claim_from(&point, 9, 0, "b")).unwrap().restore.unwrap();
            assert_eq!(now(log.read()).unwrap().newest.as_ref(), Some(&restore), "whoever comes next publishes it too");
            let tokens = |task: &TaskState| task.left_behind.iter().map(|token| token.as_i64().unwrap()).collect();
            restore.stages[0].tasks.iter().map(tokens).collect::<Vec<Vec<i64>>>()
        };
        assert_eq!(left_behind(RestorePoint::Epoch(epochs[2])), [[], [0; 0]], "that is no going back");
        assert_eq!(left_behind(RestorePoint::Epoch(epochs[1])), [vec![4], vec![]]);
        assert_eq!(left_behind(RestorePoint::Latest), [vec![4], vec![]]);
        assert_eq!(left_behind(RestorePoint::Epoch(epochs[1])), [vec![4], vec![]], "it is there already");
        // Neither attempt has come as far as a checkpoint.
        assert_eq!(left_behind(RestorePoint::Epoch(epochs[0])), [vec![4, 3], vec![]]);
        let mut writer = log.writer(&now(log.claim(0, "c")).unwrap());
        now(writer.append(Manifest { stages: vec![sink("rows", 9)], ..manifest(9) })).unwrap();
        assert_eq!(left_behind(RestorePoint::Epoch(epochs[1])), [vec![9], vec![]]);
    }

    #[test]
    fn a_fence_that_goes_back_to_a_newer_format_is_refused() {
        let objects = Arc::new(MemoryObjects::new());
        let log = log(objects.clone());
        let fence = r#"{"record":"fence","generation":1,"owner":"a","at_micros":0,"from":{"format":99}}"#;
        now(objects.put("job/log/0000000001.json", fence.into())).unwrap();
        let error = now(log.read()).unwrap_err();
        assert!(matches!(error, LogError::Newer { found: 99, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_log_in_a_directory_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::new(Arc::new(LocalObjects::open(directory.path()).unwrap()), "job");
        let claim = log.claim(0, "a").await.unwrap();
        let mut old = log.writer(&claim);
        assert_eq!(old.append(manifest(1)).await.unwrap(), 2);
        let claim = log.claim(0, "b").await.unwrap();
        assert_eq!((claim.generation, claim.number), (2, 3));
        assert!(matches!(old.append(manifest(2)).await, Err(AppendError::Fenced { number: 3, .. })));
        let mut new = log.writer(&claim);
        assert_eq!(new.append(manifest(3)).await.unwrap(), 4);
        assert!(directory.path().join("job/log/0000000004.json").is_file());
        let view = log.read().await.unwrap();
        assert_eq!((view.last, view.generation, view.newest.unwrap().complete_micros), (4, 2, 3));
    }

    #[tokio::test]
    async fn reading_a_long_log_reads_its_end() {
        let store = Unreliable::failing([]);
        let log = log(store.clone());
        log.claim(0, "a").await.unwrap();
        for epoch in 2..=3000 {
            let record = Record::Checkpoint(Manifest { epoch, generation: 1, ..manifest(epoch as i64) });
            let bytes = text(serde_json::to_vec_pretty(&record));
            store.put(&log.record_name(epoch), bytes).await.unwrap();
        }
        for _ in 0..3 {
            log.claim(0, "b").await.unwrap();
        }
        store.gets.store(0, Ordering::Relaxed);
        let view = log.read().await.unwrap();
        assert_eq!((view.last, view.generation), (3003, 4));
        assert_eq!(view.newest.unwrap().complete_micros, 3000);
        assert_eq!(store.gets.load(Ordering::Relaxed), 4, "three fences and a manifest");
    }

    #[tokio::test]
    async fn a_lost_answer_is_found_out() {
        use Fault::{After, Before, Fine, Late};
        // What becomes of the operations of a claim: it lists, creates (again, and then reads), and lists.
        for faults in [
            vec![Fine, After],
            vec![Fine, Before, After, Fine],
            vec![Before, Before, Fine, Late, Fine],
            vec![Fine, After, Fine, After, Fine, After, After, Fine],
        ] {
            let store = Unreliable::failing(faults.clone());
            let log = log(store.clone());
            let claim = log.claim(0, "a").await.unwrap();
            assert_eq!((claim.generation, claim.number), (1, 1), "{faults:?}");
            store.faults.lock().unwrap().extend([After, Before, Fine]);
            assert_eq!(log.writer(&claim).append(manifest(1)).await.unwrap(), 2, "{faults:?}");
            store.deliver();
            let (history, others) = store.history();
            assert_eq!((history.len(), others), (2, 0), "{faults:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_known_is_not_claimed_to_be() {
        let store = Unreliable::failing([]);
        let log = log(store.clone());
        let claim = log.claim(0, "a").await.unwrap();
        let mut writer = log.writer(&claim);
        store.faults.lock().unwrap().extend([Fault::Late, Fault::Before, Fault::Before]);
        let error = writer.append(manifest(1)).await.unwrap_err();
        assert!(matches!(error, AppendError::Unknown { number: 2, .. }), "{error}");
        // It comes to be after all: then the number is taken, also for its own generation.
        store.deliver();
        let error = writer.append(manifest(2)).await.unwrap_err();
        assert!(matches!(error, AppendError::Fenced { number: 2, by_generation: Some(1), .. }), "{error}");
        let claim = log.claim(0, "b").await.unwrap();
        assert_eq!((claim.number, claim.restore.unwrap().complete_micros), (3, 1));
    }

    /// A store that is full until it has been asked so often.
    #[derive(Debug)]
    struct Full(MemoryObjects, AtomicUsize);

    impl Objects for Full {
        fn url(&self) -> &str {
            "full:"
        }

        fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectError>> {
            self.0.put(name, bytes)
        }

        fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created, ObjectError>> {
            if self.1.load(Ordering::Relaxed) == 0 {
                return self.0.create(name, bytes);
            }
            self.1.fetch_sub(1, Ordering::Relaxed);
            let (action, path, source) = ("write", name.to_owned(), io::ErrorKind::StorageFull.into());
            Box::pin(async move { Err(ObjectError::Io { action, path, source }) })
        }

        fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectError>> {
            self.0.get(name)
        }

        fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, ObjectError>> {
            self.0.list(prefix)
        }

        fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
            self.0.delete(name)
        }
    }

    /// Minutes pass in no time.
    #[tokio::test(start_paused = true)]
    async fn a_job_that_runs_waits_for_a_store_that_is_mended() {
        let store = Arc::new(Full(MemoryObjects::new(), AtomicUsize::new(1)));
        let log = Log::new(store.clone(), "job");
        assert!(log.claim(0, "a").await.is_err(), "who begins is told at once");
        let claim = log.claim(0, "a").await.unwrap();
        let begun = tokio::time::Instant::now();
        store.1.store(60, Ordering::Relaxed);
        let lasting = log.clone().lasting(Duration::from_secs(600));
        assert_eq!(lasting.writer(&claim).append(manifest(1)).await.unwrap(), 2);
        assert!(begun.elapsed() > Duration::from_secs(240), "{:?}", begun.elapsed());
        // But not for ever.
        store.1.store(usize::MAX, Ordering::Relaxed);
        let given_up = tokio::time::Instant::now();
        assert!(lasting.claim(0, "b").await.is_err());
        let waited = given_up.elapsed().as_secs();
        assert!((500..700).contains(&waited), "{waited}");
    }

    #[test]
    fn a_worker_goes_on_until_another_may_have_been_started() {
        let log = log(Arc::new(MemoryObjects::new()));
        let continues = |claim: &Claim| claim.continues.clone();
        // Nobody has committed yet.
        let first = now(log.claim_running(0, "a")).unwrap();
        assert_eq!((first.generation, continues(&first)), (1, vec![]));
        assert_eq!(continues(&now(log.claim(0, "b")).unwrap()), [1]);
        let third = now(log.claim_running(0, "c")).unwrap();
        assert_eq!(continues(&third), [2], "the first may be another worker's");
        // Of those that have only claimed to go on with it, the worker may know any.
        assert_eq!(continues(&now(log.claim_running(0, "d")).unwrap()), [3, 2]);
        let fifth = now(log.claim_running(0, "e")).unwrap();
        assert_eq!(continues(&fifth), [4, 3, 2]);
        // It obeys the fifth, or nothing would have been committed.
        now(log.writer(&fifth).append(manifest(1))).unwrap();
        let sixth = now(log.claim_running(0, "f")).unwrap();
        assert_eq!((continues(&sixth), sixth.restore.unwrap().generation), (vec![5], 5));
        assert_eq!(continues(&now(log.claim_running(0, "g")).unwrap()), [6, 5]);
        // Going back is starting another.
        now(log.claim_from(&RestorePoint::Latest, 1, 0, "h")).unwrap();
        assert_eq!(continues(&now(log.claim(0, "i")).unwrap()), [8]);
    }

    #[test]
    fn a_zombie_does_not_commit_in_a_hole() {
        let objects = Arc::new(MemoryObjects::new());
        let log = log(objects.clone());
        let mut zombie = log.writer(&now(log.claim(0, "a")).unwrap());
        now(zombie.append(manifest(1))).unwrap();
        let mut living = log.writer(&now(log.claim(0, "b")).unwrap());
        for label in 2..6 {
            now(living.append(manifest(label))).unwrap();
        }
        now(collect(&log, 1, living.generation())).unwrap();
        assert_eq!(now(log.numbers()).unwrap(), [7]);

        for _ in 0..2 {
            let error = now(zombie.append(manifest(6))).unwrap_err();
            assert!(matches!(error, AppendError::Fenced { number: 3, by_generation: Some(2), .. }), "{error}");
        }
        assert_eq!(now(log.numbers()).unwrap(), [3, 7], "it did fill the hole");
        assert_eq!(now(log.manifests(5)).unwrap().len(), 1, "which is not read");
        assert_eq!(now(living.append(manifest(7))).unwrap(), 8);
        let claim = now(log.claim(0, "c")).unwrap();
        assert_eq!((claim.generation, claim.number, claim.restore.unwrap().complete_micros), (3, 9, 7));
        now(collect(&log, 5, claim.generation)).unwrap();
        assert_eq!(now(log.numbers()).unwrap(), [7, 8, 9]);
    }

    #[test]
    fn what_does_not_follow_is_not_read() {
        let objects = Arc::new(MemoryObjects::new());
        let log = log(objects.clone());
        let mut writer = log.writer(&now(log.claim(5, "a")).unwrap());
        now(writer.append(manifest(1))).unwrap();
        now(writer.append(manifest(2))).unwrap();
        // As if a zombie had filled a hole next to the oldest record.
        let zombie = Record::Checkpoint(Manifest { epoch: 1, generation: 4, ..manifest(3) });
        now(objects.put("job/log/0000000001.json", text(serde_json::to_vec_pretty(&zombie)))).unwrap();
        let labels: Vec<_> = now(log.manifests(9)).unwrap().iter().map(|manifest| manifest.complete_micros).collect();
        assert_eq!(labels, [2, 1]);
    }

    #[test]
    fn a_damaged_log_is_not_an_empty_one() {
        let objects = Arc::new(MemoryObjects::new());
        let log = log(objects.clone());
        let mut writer = log.writer(&now(log.claim(0, "a")).unwrap());
        now(writer.append(manifest(1))).unwrap();
        now(log.claim(0, "b")).unwrap();
        let path = "job/log/0000000002.json";
        let good = now(objects.get(path)).unwrap().unwrap();
        let damage = |bytes: Bytes| {
            now(objects.put(path, bytes)).unwrap();
            now(log.read()).unwrap_err()
        };

        let error = damage("{ half a".into());
        assert!(matches!(error, LogError::Unreadable { .. }), "{error}");
        assert!(error.to_string().starts_with("cannot read \"memory:/job/log/0000000002.json\": "), "{error}");
        let other = Record::Checkpoint(Manifest { epoch: 3, generation: 1, ..manifest(1) });
        let error = damage(text(serde_json::to_vec_pretty(&other)));
        assert!(error.to_string().ends_with("it is the checkpoint of epoch 3"), "{error}");
        let error = damage(r#"{"record":"checkpoint","format":99,"news":true}"#.into());
        assert!(matches!(error, LogError::Newer { found: 99, .. }) && error.hint().is_some(), "{error}");

        now(objects.delete(path)).unwrap();
        let error = now(log.claim(0, "c")).unwrap_err();
        assert!(matches!(error, LogError::Incomplete { number: 2, .. }), "{error}");
        now(objects.put(path, good)).unwrap();
        assert_eq!(now(log.claim(0, "c")).unwrap().restore.unwrap().epoch, 2);
    }

    #[test]
    fn other_files_are_no_records() {
        for (file, number) in [
            ("0000000001.json", Some(1)),
            ("9999999999.json", Some(9_999_999_999)),
            ("10000000000.json", Some(10_000_000_000)),
            ("0000000000.json", None),
            ("1.json", None),
            ("+000000001.json", None),
            ("0000000001.json.bak", None),
            ("old/0000000001.json", None),
        ] {
            assert_eq!(record_number(file), number, "{file}");
        }
    }

    #[test]
    fn a_savepoint_is_made_once() {
        let objects = Arc::new(MemoryObjects::new());
        let log = log(objects.clone());
        let (one, two) = (manifest(1), manifest(2));
        now(log.save("before-upgrade_2", &one)).unwrap();
        now(log.save("before-upgrade_2", &one)).unwrap();
        now(log.save("a", &two)).unwrap();
        let error = now(log.save("a", &one)).unwrap_err();
        assert!(matches!(error, LogError::SavepointExists { .. }), "{error}");
        assert_eq!(now(log.savepoint("a")).unwrap(), Some(two.clone()));
        assert_eq!(now(log.savepoint("b")).unwrap(), None);
        for bad in ["", "a/b", "..", "a.json", "ä", &"x".repeat(101)] {
            assert!(matches!(now(log.save(bad, &one)), Err(LogError::SavepointName { .. })), "{bad}");
            assert!(matches!(now(log.savepoint(bad)), Err(LogError::SavepointName { .. })), "{bad}");
        }
        now(objects.put("job/savepoints/README", "not ours".into())).unwrap();
        let savepoint = |name: &str, manifest| Savepoint { name: name.into(), manifest };
        assert_eq!(now(log.savepoints()).unwrap(), [savepoint("a", two), savepoint("before-upgrade_2", one)]);
    }

    #[test]
    fn a_zombie_does_not_say_that_it_has_made_a_savepoint() {
        let log = log(Arc::new(MemoryObjects::new()));
        let mut zombie = log.writer(&now(log.claim(0, "a")).unwrap());
        let epoch = now(zombie.append(manifest(1))).unwrap();
        let newest = Manifest { epoch, generation: 1, ..manifest(1) };
        now(log.save_newest("in-time", &newest)).unwrap();
        // A claim alone changes nothing: whoever made it goes on from there.
        let mut writer = log.writer(&now(log.claim(0, "b")).unwrap());
        now(log.save_newest("behind-the-fence", &newest)).unwrap();
        now(writer.append(manifest(2))).unwrap();
        let error = now(log.save_newest("late", &newest)).unwrap_err();
        assert!(matches!(&error, LogError::SavepointLate { name } if name == "late"), "{error}");
    }

    /// What a controller does: it claims and appends so often; then it has died, and the next one claims.
    #[derive(Clone, Copy, Debug)]
    struct Life {
        appends: i64,
        /// Goes on after it was told that it is over, as no controller should.
        stubborn: bool,
        /// Collects after each append, and retains so many; 0: does not.
        keep: usize,
    }

    /// What a controller was told that it relies on.
    #[derive(Debug)]
    enum Told {
        Claimed { claim: Claim, owner: String },
        Appended { number: u64, generation: u64, label: i64 },
    }

    async fn live(log: Log, controller: i64, lives: Vec<Life>, told: &Mutex<Vec<Told>>) {
        for (count, life) in lives.into_iter().enumerate() {
            let owner = format!("{controller}/{count}");
            let Ok(claim) = log.claim(0, owner.as_str()).await else { continue };
            let mut writer = log.writer(&claim);
            told.lock().unwrap().push(Told::Claimed { claim, owner });
            for turn in 0..life.appends {
                let label = controller * 10_000 + count as i64 * 100 + turn;
                match writer.append(manifest(label)).await {
                    Ok(number) => {
                        let generation = writer.generation();
                        told.lock().unwrap().push(Told::Appended { number, generation, label });
                    }
                    Err(_) if life.stubborn => {}
                    Err(_) => break,
                }
                if life.keep > 0 {
                    let _ = collect(&log, life.keep, writer.generation()).await;
                }
            }
        }
    }

    /// Lets the controllers go as scheduled, one operation a time, then in turn until all are done.
    fn play(store: &Arc<Unreliable>, controllers: &[Vec<Life>], schedule: &[usize]) -> Vec<Told> {
        let told = Mutex::new(vec![]);
        let mut running: Vec<Option<LocalBoxFuture<'_, ()>>> = controllers
            .iter()
            .enumerate()
            .map(|(number, lives)| {
                let life = live(log(store.clone()), number as i64, lives.clone(), &told);
                Some(Box::pin(life) as LocalBoxFuture<'_, ()>)
            })
            .collect();
        let mut context = Context::from_waker(Waker::noop());
        let mut go = |controller: &mut Option<LocalBoxFuture<'_, ()>>| {
            let done = controller.as_mut().is_some_and(|future| future.as_mut().poll(&mut context).is_ready());
            if done {
                *controller = None;
            }
        };
        for turn in schedule {
            match running.get_mut(*turn) {
                Some(controller) => go(controller),
                None => store.deliver(),
            }
        }
        let mut rounds = 0;
        while running.iter().any(Option::is_some) {
            running.iter_mut().for_each(&mut go);
            store.deliver();
            rounds += 1;
            assert!(rounds < 100_000, "it does not come to an end");
        }
        while !store.late.lock().unwrap().is_empty() {
            store.deliver();
        }
        drop(running);
        told.into_inner().unwrap()
    }

    fn checkpoint(record: &Record) -> Option<&Manifest> {
        match record {
            Record::Checkpoint(manifest) => Some(manifest),
            Record::Fence(_) => None,
        }
    }

    /// What the protocol promises, of all that was created and all that anybody relies on.
    fn check(store: &Arc<Unreliable>, told: &[Told], collected: bool) {
        let (history, others) = store.history();
        if !collected {
            assert_eq!(others, 0, "each number is created once");
        }
        let mut generation = 0;
        for record in &history {
            match record {
                Record::Fence(fence) => assert!(fence.generation > generation, "{history:?}"),
                Record::Checkpoint(manifest) => assert_eq!(manifest.generation, generation, "{history:?}"),
            }
            generation = record.generation();
        }

        let mut numbers = BTreeSet::new();
        for told in told {
            match told {
                Told::Claimed { claim, owner } => {
                    assert!(numbers.insert(claim.number), "{told:?} is told twice");
                    let before = &history[..claim.number as usize - 1];
                    assert!(
                        matches!(&history[before.len()], Record::Fence(fence)
                            if fence.owner == *owner && fence.generation == claim.generation),
                        "{told:?}, {history:?}"
                    );
                    assert_eq!(claim.restore.as_ref(), before.iter().rev().find_map(checkpoint));
                }
                Told::Appended { number, generation, label } => {
                    assert!(numbers.insert(*number), "{told:?} is told twice");
                    let expected =
                        Record::Checkpoint(Manifest { epoch: *number, generation: *generation, ..manifest(*label) });
                    assert_eq!(history[*number as usize - 1], expected);
                    let name = format!("job/log/{}", record_file(*number));
                    let found = now(store.objects.get(&name)).unwrap();
                    assert!(
                        collected || found.is_some_and(|found| found == text(serde_json::to_vec_pretty(&expected)))
                    );
                }
            }
        }

        let view = now(log(store.objects.clone()).read()).unwrap();
        assert_eq!((view.last, view.generation), (history.len() as u64, generation));
        assert_eq!(view.newest.as_ref(), history.iter().rev().find_map(checkpoint));
    }

    fn any_fault() -> impl Strategy<Value = Fault> {
        prop_oneof![
            6 => Just(Fault::Fine),
            1 => Just(Fault::Before),
            2 => Just(Fault::After),
            2 => Just(Fault::Late),
        ]
    }

    fn any_life(keep: impl Strategy<Value = usize>) -> impl Strategy<Value = Life> {
        (0i64..5, any::<bool>(), keep).prop_map(|(appends, stubborn, keep)| Life { appends, stubborn, keep })
    }

    /// What can have become of an object's bytes.
    #[derive(Clone, Debug)]
    enum Damage {
        Cut(prop::sample::Index),
        Flip(prop::sample::Index, u8),
        /// Something else is there.
        Other(Vec<u8>),
        /// As a newer version might write it.
        Format(u32),
    }

    impl Damage {
        fn of(&self, bytes: &[u8]) -> Bytes {
            let mut bytes = bytes.to_vec();
            match self {
                Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
                Damage::Flip(at, with) => {
                    let at = at.index(bytes.len());
                    bytes[at] ^= with;
                }
                Damage::Other(other) => bytes.clone_from(other),
                Damage::Format(format) => {
                    let text = String::from_utf8(bytes).unwrap();
                    let known = format!("\"format\": {FORMAT}");
                    bytes = text.replacen(&known, &format!("\"format\": {format}"), 1).into_bytes();
                }
            }
            bytes.into()
        }
    }

    fn any_damage() -> impl Strategy<Value = Damage> {
        prop_oneof![
            any::<prop::sample::Index>().prop_map(Damage::Cut),
            (any::<prop::sample::Index>(), 1u8..).prop_map(|(at, with)| Damage::Flip(at, with)),
            vec(any::<u8>(), 0..40).prop_map(Damage::Other),
            (FORMAT + 1..).prop_map(Damage::Format),
        ]
    }

    /// With something in every field.
    fn full_manifest() -> Manifest {
        let file = json!({
            "path": "state/0000000002-1-0-0-groups.parquet", "sha256": "00", "bytes": 10, "rows": 2, "epoch": 2,
            "generation": 1, "task": 0, "hashes": ["0000000000000000", "ffffffffffffffff"], "expires": 20,
        });
        let table = json!({
            "name": "groups", "kind": "time_keyed", "version": 1, "keys": 1, "lifetime": { "column": 0, "nanos": 5 },
            "columns": [{ "name": "start", "type": "int64", "nullable": false }], "files": [file],
            "operator": { "kind": "tumble", "sources": ["bids"], "sinks": ["totals"], "rows": "bids" },
        });
        let task = json!({
            "watermark": 7, "ended": false, "tokens": [{ "parts": [] }], "left_behind": [{ "parts": [] }],
            "source": { "position": { "row": 3 }, "watermarks": [[0, 7]] },
        });
        let outside = json!({ "table": "bids", "connector": "kept" });
        let stage = json!({
            "stage": 0, "name": "bids", "operators": ["tumble"], "source": outside, "sink": outside, "tables": [table],
            "tasks": [task],
        });
        Manifest { stages: vec![serde_json::from_value(stage).unwrap()], ..manifest(1) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever becomes of a record or a savepoint, nobody panics, and the error says what it is about and what one can
        /// do. Damage that leaves a document of the same kind is not seen: records have no digest.
        #[test]
        fn a_damaged_record_is_named(damage in any_damage(), which in 0usize..3) {
            let objects = Arc::new(MemoryObjects::new());
            let log = log(objects.clone());
            let mut writer = log.writer(&now(log.claim(0, "a")).unwrap());
            let epochs = [1, 2].map(|label| {
                let manifest = Manifest { complete_micros: label, ..full_manifest() };
                now(writer.append(manifest)).unwrap()
            });
            let saved = now(log.find(&RestorePoint::Epoch(epochs[0]), 2)).unwrap().unwrap();
            now(log.save("kept", &saved)).unwrap();
            let claim = now(log.claim_from(&RestorePoint::Epoch(epochs[0]), 2, 0, "b")).unwrap();
            // A manifest; a fence that holds one; a savepoint.
            let fence = format!("job/log/{}", record_file(claim.number));
            let object = ["job/log/0000000003.json", fence.as_str(), "job/savepoints/kept.json"][which];
            let bytes = damage.of(&now(objects.get(object)).unwrap().unwrap());
            now(objects.put(object, bytes)).unwrap();

            let point = RestorePoint::Savepoint("kept".into());
            let errors = [
                now(log.read()).err(),
                now(log.manifests(5)).err(),
                now(log.find(&point, 5)).err(),
                now(log.savepoints()).err(),
                now(collect(&log, 1, 2)).err(),
                now(log.claim_from(&point, 5, 0, "c")).err(),
            ];
            for error in errors.into_iter().flatten() {
                let text = error.to_string();
                prop_assert!(text.contains(object) || text.contains("job/log"), "{}", text);
                prop_assert!(error.hint().is_some(), "{}", text);
            }
        }

        /// Two or three controllers that each believe that the job is theirs, and a store that loses and delays.
        #[test]
        fn generations_do_not_mix(
            controllers in vec(vec(any_life(Just(0)), 1..4), 2..=3),
            schedule in vec(0usize..5, 0..400),
            faults in vec(any_fault(), 0..120),
        ) {
            let store = Unreliable::failing(faults);
            let told = play(&store, &controllers, &schedule);
            check(&store, &told, false);
        }

        /// The same while they collect, zombies too: numbers become free that zombies may have next.
        #[test]
        fn generations_do_not_mix_in_holes(
            controllers in vec(vec(any_life(0usize..3), 1..4), 2..=3),
            schedule in vec(0usize..5, 0..600),
            faults in vec(any_fault(), 0..120),
        ) {
            let store = Unreliable::failing(faults);
            let told = play(&store, &controllers, &schedule);
            check(&store, &told, true);
        }
    }
}
