//! What every stage must be able to do, as one test: [`check`].
//!
//! Whatever happens to a stage that is not a row and not a watermark must change nothing in what comes out:
//!
//! | is done | because |
//! |---|---|
//! | the same, once more | a restart reads rows again and relies on the same effects, in the same order |
//! | rows one by one, batches halved, joined, empty ones between | sources cut as they like |
//! | each watermark twice | event time that does not move says nothing |
//! | two and three tasks | parallelism is data |
//! | a barrier and a snapshot after each step | checkpoints come when they come |
//! | a call of the timer after each step | so do the times that a stage has asked for |
//! | a crash after any step, restored by one to three tasks | that is what state is for |
//! | most of the above without any memory for state: after each call all that can goes to disk | that is what disks are for |
//! | a snapshot directly behind a restart has no rows | what was restored is in files already |
//! | a crash when some tasks have got a watermark that others have not | a window is emitted by the one or by the other |
//!
//! Stages stand in a line, as they do in a pipeline, because a partial aggregate means something only to the one that
//! merges it. They are called as the runtime calls them, but without threads and queues, and with a clock that stands;
//! state goes through real files and is shared out among other tasks as a restart does it. What comes out is compared as a
//! multiset of rows, to the last digit: inputs should have floats whose sums are exact. Of a changelog that is what is left
//! when rows are gone that later ones take back; none may be taken back that is not there.
//!
//! Not here: stages of other crates and their inputs (`tests/conformance.rs` has the generated ones), sources, sinks.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use artifacts::objects::MemoryObjects;
use protocol::checkpoint::{StateFile, TableSpec, TableState};
use protocol::job::ExchangePlan;

use super::files::{Owner, Share, StateFiles};
use super::task::Restored;
use crate::batch::Batch;
use crate::error::TaskError;
use crate::event_time::END;
use crate::exchange::destination;
use crate::keys::hash_columns;
use crate::memory::{Scratch, Spill};
use crate::select::Selection;
use crate::stage::{Stage, StageContext};

/// Tasks that a line has before and after a crash.
const PARALLELISMS: [usize; 3] = [1, 2, 3];

/// A stage of a line.
pub struct Link {
    name: &'static str,
    new: fn() -> Box<dyn Stage>,
    input: ExchangePlan,
    /// By port: the columns that it gets. None: there is one port, which gets all.
    ports: Vec<Vec<usize>>,
    tables: Vec<TableSpec>,
    /// Its rows are a changelog.
    changelog: bool,
}

impl Link {
    /// `input` is how rows come to its tasks. Those of the first link come from outside, where `Forward` deals them out in
    /// turn, like partitions of a source.
    pub fn new(name: &'static str, new: fn() -> Box<dyn Stage>, input: ExchangePlan) -> Link {
        Link { name, new, input, ports: Vec::new(), tables: Vec::new(), changelog: false }
    }

    /// The next of its ports, and the columns that it gets of each row: a join's two sides have the same rows here.
    pub fn port(mut self, columns: &[usize]) -> Link {
        self.ports.push(columns.to_vec());
        self
    }

    /// The next of its tables, as the plan has them.
    pub fn table(mut self, spec: TableSpec) -> Link {
        self.tables.push(spec);
        self
    }

    /// Its rows say in their first column whether they are taken back: what counts is what is left of them.
    pub fn changelog(mut self) -> Link {
        self.changelog = true;
        self
    }

    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// What comes to a line.
#[derive(Clone, Debug)]
pub enum Step {
    Rows(Batch),
    /// Nanoseconds since the epoch. The end of all input follows the last step by itself.
    Watermark(i64),
}

/// Puts a line of stages through everything that must not change what comes out of these steps. Among them should be
/// late rows, several windows, and keys that come again after they were written.
///
/// To be called outside of any async runtime.
///
/// # Errors
/// What has changed it, and how.
pub fn check(line: &[Link], steps: &[Step]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    runtime.block_on(check_all(line, steps))
}

async fn check_all(line: &[Link], steps: &[Step]) -> Result<(), String> {
    let nothing = |_: usize| Incident::Nothing;
    let expected = rehearse("alone", line, steps, 1, nothing).await?;
    if expected.rows.is_empty() {
        return Err("nothing comes out, so nothing is shown".to_owned());
    }
    if rehearse("once more", line, steps, 1, nothing).await?.rows != expected.rows {
        return Err("once more: other rows come out, or the same in another order".to_owned());
    }
    let others = [
        ("rows one by one", cut(steps, |_| 1)),
        ("batches halved", cut(steps, |rows| rows.div_ceil(2))),
        ("batches joined", joined(steps)),
        ("empty batches between", with_empty_batches(steps)),
        ("each watermark twice", with_watermarks_twice(steps)),
    ];
    for (what, steps) in others {
        expected.compare(what, &rehearse(what, line, &steps, 1, nothing).await?)?;
    }
    for parallelism in PARALLELISMS {
        let what = format!("{parallelism} tasks");
        expected.compare(&what, &rehearse(&what, line, steps, parallelism, nothing).await?)?;
        let what = format!("{parallelism} tasks, a checkpoint after each step");
        let found = rehearse(&what, line, steps, parallelism, |_| Incident::Checkpoint).await?;
        expected.compare(&what, &found)?;
        if let Some(table) = found.unwritten {
            return Err(format!("{table} is never written, so nothing is shown"));
        }
        let what = format!("{parallelism} tasks, a call of the timer after each step");
        expected.compare(&what, &rehearse(&what, line, steps, parallelism, |_| Incident::Timer).await?)?;
        let what = format!("{parallelism} tasks, a crash after each step");
        let turning = |step: usize| Incident::Crash(PARALLELISMS[(step + parallelism) % PARALLELISMS.len()]);
        expected.compare(&what, &rehearse(&what, line, steps, parallelism, turning).await?)?;
        for (what, incident) in [
            ("", &nothing as &dyn Fn(usize) -> Incident),
            (", a checkpoint after each step", &|_| Incident::Checkpoint),
            (", a call of the timer after each step", &|_| Incident::Timer),
            (", a crash after each step", &turning),
        ] {
            let what = format!("{parallelism} tasks without memory{what}");
            expected.compare(&what, &rehearse_short(&what, line, steps, parallelism, incident).await?)?;
        }
    }
    for crash in 0..=steps.len() {
        for before in PARALLELISMS {
            for after in PARALLELISMS {
                let what = format!("a crash after step {crash}, from {before} to {after} tasks");
                let once = |step: usize| if step == crash { Incident::Crash(after) } else { Incident::Nothing };
                expected.compare(&what, &rehearse(&what, line, steps, before, once).await?)?;
            }
            // The other way round: a change of each epoch in a file of its own.
            let after = PARALLELISMS[before % PARALLELISMS.len()];
            let what = format!("checkpoints and a crash after step {crash}, from {before} to {after} tasks");
            let often = |step: usize| match step.cmp(&crash) {
                Ordering::Less => Incident::Checkpoint,
                Ordering::Equal => Incident::Crash(after),
                Ordering::Greater => Incident::Nothing,
            };
            expected.compare(&what, &rehearse(&what, line, steps, before, often).await?)?;
            let what = format!("without memory, {what}");
            expected.compare(&what, &rehearse_short(&what, line, steps, before, often).await?)?;
        }
        let is_watermark = crash.checked_sub(1).is_some_and(|last| matches!(steps[last], Step::Watermark(_)));
        let links = line.iter().enumerate().filter(|(_, link)| is_watermark && !link.tables.is_empty());
        for (link, _) in links {
            for (before, parallelism) in [(2, 3), (3, 2), (3, 1)] {
                let what = format!("a crash in the middle of watermark {crash}, from {before} to {parallelism} tasks");
                let incident = Incident::UnevenCrash { link, parallelism };
                let once = |step: usize| if step == crash { incident } else { Incident::Nothing };
                expected.compare(&what, &rehearse(&what, line, steps, before, once).await?)?;
            }
        }
    }
    Ok(())
}

/// What happens after a step that is not in the input.
#[derive(Clone, Copy, Debug)]
enum Incident {
    Nothing,
    Timer,
    Checkpoint,
    /// A checkpoint, then a restart with so many tasks.
    Crash(usize),
    /// The same when of that link's tasks every other one has not got the watermark of the step, and no later link has.
    UnevenCrash {
        link: usize,
        parallelism: usize,
    },
}

/// A row that has come out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// It takes back an equal one.
    retracts: bool,
    text: String,
}

/// What has come out.
struct Outcome {
    /// In their order.
    rows: Vec<Row>,
    /// The largest watermark that was derived from rows.
    observed: Option<i64>,
    /// A table without any file.
    unwritten: Option<String>,
}

impl Outcome {
    fn compare(&self, what: &str, found: &Outcome) -> Result<(), String> {
        let left = |outcome: &Outcome| folded(&outcome.rows).map_err(|wrong| format!("{what}: {wrong}"));
        let (expected, left) = (left(self)?, left(found)?);
        let (missing, more) = (without(&expected, &left), without(&left, &expected));
        if !missing.is_empty() || !more.is_empty() {
            return Err(format!("{what}: missing {missing:#?}, too much {more:#?}"));
        }
        match self.observed == found.observed {
            true => Ok(()),
            false => Err(format!("{what}: the watermark is {:?}, not {:?}", found.observed, self.observed)),
        }
    }
}

/// What is left when rows are gone that later ones take back.
fn folded(rows: &[Row]) -> Result<Vec<String>, String> {
    let mut left: Vec<String> = Vec::new();
    for Row { retracts, text } in rows {
        if !retracts {
            left.push(text.clone());
        } else if let Some(at) = left.iter().position(|known| known == text) {
            left.remove(at);
        } else {
            return Err(format!("{text} is taken back and was not there"));
        }
    }
    Ok(left)
}

/// These rows less those, as multisets.
fn without(these: &[String], those: &[String]) -> Vec<String> {
    let mut left = these.to_vec();
    for row in those {
        if let Some(at) = left.iter().position(|known| known == row) {
            left.remove(at);
        }
    }
    left
}

/// One run over all steps; `incident` says what happens after so many of them.
async fn rehearse(
    what: &str,
    line: &[Link],
    steps: &[Step],
    parallelism: usize,
    incident: impl Fn(usize) -> Incident,
) -> Result<Outcome, String> {
    run(what, Rehearsal::new(line, parallelism, false), steps, incident).await
}

/// The same without memory.
async fn rehearse_short(
    what: &str,
    line: &[Link],
    steps: &[Step],
    parallelism: usize,
    incident: impl Fn(usize) -> Incident,
) -> Result<Outcome, String> {
    run(what, Rehearsal::new(line, parallelism, true), steps, incident).await
}

async fn run(
    what: &str,
    mut job: Rehearsal<'_>,
    steps: &[Step],
    incident: impl Fn(usize) -> Incident,
) -> Result<Outcome, String> {
    let failed = |error: TaskError| format!("{what}: {error}");
    for done in 0..=steps.len() {
        let incident = incident(done);
        match (done.checked_sub(1).map(|last| &steps[last]), incident) {
            (Some(Step::Watermark(watermark)), Incident::UnevenCrash { link, .. }) => {
                job.uneven_watermark(*watermark, link).map_err(failed)?;
            }
            (Some(step), _) => job.step(step).map_err(failed)?,
            (None, _) => {}
        }
        match incident {
            Incident::Nothing => {}
            Incident::Timer => job.call_all(|stage, cx| stage.on_timer(cx)).map_err(failed)?,
            Incident::Checkpoint => drop(job.checkpoint().await.map_err(failed)?),
            Incident::Crash(parallelism) | Incident::UnevenCrash { parallelism, .. } => {
                job.checkpoint().await.map_err(failed)?;
                job.restart(parallelism).await.map_err(failed)?;
                if let Some(table) = job.checkpoint().await.map_err(failed)? {
                    return Err(format!("{what}: {table} has rows again that were restored"));
                }
            }
        }
    }
    job.step(&Step::Watermark(END)).map_err(failed)?;
    job.outcome().map_err(|error| format!("{what}: {error}"))
}

/// The tasks of a line, between two calls.
struct Rehearsal<'a> {
    line: &'a [Link],
    /// By link, then task.
    stages: Vec<Vec<Actor>>,
    /// The same of how far their event time has come.
    watermarks: Vec<Vec<Option<i64>>>,
    /// Nothing fits into memory.
    short: bool,
    observed: Option<i64>,
    out: Vec<Batch>,
    epoch: u64,
    files: StateFiles,
    /// By link, then table: what the last manifest would have.
    kept: Vec<Vec<Vec<StateFile>>>,
    /// Whether there has been any.
    written: Vec<Vec<bool>>,
}

impl<'a> Rehearsal<'a> {
    fn new(line: &'a [Link], parallelism: usize, short: bool) -> Self {
        let stages = stages(line, parallelism);
        Rehearsal {
            line,
            watermarks: stages.iter().map(|tasks| vec![None; tasks.len()]).collect(),
            stages,
            short,
            observed: None,
            out: Vec::new(),
            epoch: 0,
            files: StateFiles { objects: Arc::new(MemoryObjects::new()), job: "rehearsal".to_owned(), generation: 1 },
            kept: line.iter().map(|link| vec![Vec::new(); link.tables.len()]).collect(),
            written: line.iter().map(|link| vec![false; link.tables.len()]).collect(),
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), TaskError> {
        match step {
            Step::Rows(batch) => self.send(0, None, batch),
            Step::Watermark(watermark) => self.watermark(*watermark),
        }
    }

    fn watermark(&mut self, watermark: i64) -> Result<(), TaskError> {
        self.watermark_of(watermark, |_, _| true)
    }

    /// Every other task of the link does not get it, and so nobody behind them.
    fn uneven_watermark(&mut self, watermark: i64, link: usize) -> Result<(), TaskError> {
        self.watermark_of(watermark, |number, task| number < link || number == link && task % 2 == 0)
    }

    fn watermark_of(&mut self, watermark: i64, gets: impl Fn(usize, usize) -> bool) -> Result<(), TaskError> {
        if watermark != END {
            for (link, tasks) in self.watermarks.iter_mut().enumerate() {
                let tasks = tasks.iter_mut().enumerate().filter(|(task, _)| gets(link, *task));
                tasks.for_each(|(_, reached)| *reached = (*reached).max(Some(watermark)));
            }
        }
        self.call_those(gets, |stage, cx| stage.on_watermark(watermark, cx))
    }

    fn call_all(
        &mut self,
        call: impl Fn(&mut dyn Stage, &mut StageContext) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        self.call_those(|_, _| true, call)
    }

    /// Calls the stages of tasks, and passes on what each emits before it calls the next of the line.
    fn call_those(
        &mut self,
        which: impl Fn(usize, usize) -> bool,
        call: impl Fn(&mut dyn Stage, &mut StageContext) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        for link in 0..self.line.len() {
            for task in (0..self.stages[link].len()).filter(|task| which(link, *task)) {
                self.call(link, task, &call)?;
                self.make_room(link, task)?;
            }
        }
        Ok(())
    }

    /// Calls a stage, again for as long as it leaves off, and passes on what it emits.
    fn call(
        &mut self,
        link: usize,
        task: usize,
        call: &dyn Fn(&mut dyn Stage, &mut StageContext) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        loop {
            let Actor { stage, spill } = &mut self.stages[link][task];
            let mut cx = context(spill);
            call(stage.as_mut(), &mut cx)?;
            let more = cx.more;
            self.pass_on(link, task, cx)?;
            if !more {
                return Ok(());
            }
        }
    }

    fn make_room(&mut self, link: usize, task: usize) -> Result<(), TaskError> {
        match self.short {
            true => self.call(link, task, &|stage, cx| stage.evict(1.0, cx)),
            false => Ok(()),
        }
    }

    /// Rows for the tasks of a link, from a task of the one before it. Behind the last link they are out.
    fn send(&mut self, to: usize, from: Option<usize>, batch: &Batch) -> Result<(), TaskError> {
        let line = self.line;
        let Some(link) = line.get(to) else {
            self.out.push(batch.clone());
            return Ok(());
        };
        if link.ports.is_empty() {
            return self.send_to_port(to, 0, from, batch);
        }
        link.ports.iter().enumerate().try_for_each(|(port, columns)| {
            let columns = columns.iter().map(|column| batch.columns[*column].clone()).collect();
            self.send_to_port(to, port, from, &Batch::new(columns, batch.rows))
        })
    }

    fn send_to_port(&mut self, to: usize, port: usize, from: Option<usize>, batch: &Batch) -> Result<(), TaskError> {
        let tasks = self.stages[to].len();
        let task_of = destinations(&self.line[to], from, tasks, batch);
        for task in 0..tasks {
            // Nobody would take a batch without rows if it went by its rows.
            if tasks == 1 || batch.rows == 0 {
                self.rows(to, task, port, batch.clone())?;
                continue;
            }
            let mine: Vec<bool> = task_of.iter().map(|of| *of == task).collect();
            let mine = Selection::of_flags(&mine, None);
            if !mine.is_empty() {
                self.rows(to, task, port, mine.take_batch(batch))?;
            }
        }
        Ok(())
    }

    fn rows(&mut self, link: usize, task: usize, port: usize, batch: Batch) -> Result<(), TaskError> {
        let Actor { stage, spill } = &mut self.stages[link][task];
        let mut cx = StageContext { port, ..context(spill) };
        stage.on_batch(batch, &mut cx)?;
        self.observed = self.observed.max(cx.observed_watermark);
        self.pass_on(link, task, cx)?;
        self.make_room(link, task)
    }

    /// What a task has emitted.
    fn pass_on(&mut self, link: usize, task: usize, cx: StageContext) -> Result<(), TaskError> {
        cx.emitted.iter().try_for_each(|batch| self.send(link + 1, Some(task), batch))
    }

    /// A barrier through the whole line, and the files of the epoch that it ends. Gives a table that has one.
    async fn checkpoint(&mut self) -> Result<Option<String>, TaskError> {
        self.epoch += 1;
        let line = self.line;
        let mut changed = None;
        for (number, link) in line.iter().enumerate() {
            let parallelism = self.stages[number].len();
            for task in 0..parallelism {
                self.call(number, task, &|stage, cx| stage.on_barrier(cx))?;
                let snapshot = self.stages[number][task].stage.snapshot()?;
                if snapshot.len() > link.tables.len() {
                    let (found, known) = (snapshot.len(), link.tables.len());
                    return Err(TaskError::fatal(format!("{} has {found} tables, the plan {known}", link.name)));
                }
                let share = Share { stage: number, task, parallelism };
                for (table, (spec, rows)) in link.tables.iter().zip(snapshot).enumerate() {
                    let files = self.files.write(spec, rows, share, self.epoch).await?;
                    if !files.is_empty() {
                        self.written[number][table] = true;
                        spec.kind.add(&mut self.kept[number][table], &files);
                        changed = Some(name_of(link, spec));
                    }
                }
            }
            if let Some(watermark) = self.watermarks[number].iter().min().copied().flatten() {
                for files in &mut self.kept[number] {
                    files.retain(|file| file.expires.is_none_or(|expires| expires > watermark));
                }
            }
        }
        Ok(changed)
    }

    /// Fresh stages, which have what the last checkpoint has.
    async fn restart(&mut self, parallelism: usize) -> Result<(), TaskError> {
        self.stages = stages(self.line, parallelism);
        self.files.generation += 1;
        for (number, link) in self.line.iter().enumerate() {
            let before = std::mem::take(&mut self.watermarks[number]);
            let tables = link.tables.iter().zip(&self.kept[number]);
            let tables = tables.map(|(spec, files)| TableState { spec: spec.clone(), files: files.clone() });
            let mut restored = Restored {
                tables: tables.collect(),
                owners: before.iter().map(|watermark| Owner { watermark: *watermark, ended: false }).collect(),
                ..Restored::default()
            };
            let parallelism = self.stages[number].len();
            let short = self.short;
            for (task, Actor { stage, spill }) in self.stages[number].iter_mut().enumerate() {
                // As `take_over` has it.
                restored.watermark = match before.len() == parallelism {
                    true => before[task],
                    false => before.iter().copied().max().flatten(),
                };
                let share = Share { stage: number, task, parallelism };
                let mut cx = StageContext { tracks_changes: false, ..context(spill) };
                let mut make_room = |stage: &mut dyn Stage, _: u64| match short {
                    true => stage.evict(1.0, &mut cx),
                    false => Ok(()),
                };
                self.files.restore(stage.as_mut(), &link.tables, share, &restored, &mut make_room).await?;
                self.watermarks[number].push(restored.watermark);
            }
        }
        Ok(())
    }

    fn outcome(self) -> Result<Outcome, ArrowError> {
        let changelog = self.line.last().is_some_and(|link| link.changelog);
        let mut rows = Vec::new();
        for batch in &self.out {
            rows.extend(rows_of(batch, changelog)?);
        }
        let mut unwritten = self.line.iter().zip(&self.written).flat_map(|(link, written)| {
            let tables = link.tables.iter().zip(written).filter(|(_, written)| !**written);
            tables.map(move |(spec, _)| name_of(link, spec))
        });
        Ok(Outcome { rows, observed: self.observed, unwritten: unwritten.next() })
    }
}

fn name_of(link: &Link, spec: &TableSpec) -> String {
    format!("table \"{}\" of {}", spec.name, link.name)
}

/// A task's instance of a stage, and its disk.
struct Actor {
    stage: Box<dyn Stage>,
    spill: Spill,
}

/// New instances, by link and task.
fn stages(line: &[Link], parallelism: usize) -> Vec<Vec<Actor>> {
    let scratch = Scratch::alone(&std::env::temp_dir());
    let mut all: Vec<Vec<Actor>> = Vec::with_capacity(line.len());
    for (number, link) in line.iter().enumerate() {
        let tasks = match &link.input {
            ExchangePlan::Forward => all.last().map_or(parallelism, Vec::len),
            ExchangePlan::Hash(_) => parallelism,
            ExchangePlan::Gather => 1,
        };
        let actor = |task| Actor { stage: (link.new)(), spill: Spill::new(&scratch, number, task) };
        all.push((0..tasks).map(actor).collect());
    }
    all
}

fn context(spill: &Spill) -> StageContext {
    // Time stands, so nothing grows too old.
    StageContext { tracks_changes: true, ttl: i64::MAX, spill: Some(spill.clone()), ..StageContext::default() }
}

/// The task that each row goes to.
fn destinations(link: &Link, from: Option<usize>, tasks: usize, batch: &Batch) -> Vec<usize> {
    match (&link.input, from) {
        (ExchangePlan::Gather, _) => vec![0; batch.rows],
        (ExchangePlan::Forward, Some(task)) => vec![task; batch.rows],
        (ExchangePlan::Forward, None) => (0..batch.rows).map(|row| row % tasks).collect(),
        (ExchangePlan::Hash(columns), _) => {
            let keys: Vec<ArrayRef> = columns.iter().map(|column| batch.columns[*column].clone()).collect();
            let mut hashes = Vec::with_capacity(batch.rows);
            hash_columns(&keys, batch.rows, &mut hashes);
            hashes.into_iter().map(|hash| destination(hash, tasks) as usize).collect()
        }
    }
}

/// The rows of a batch, a line of text each. Of a changelog the first column is no part of it.
fn rows_of(batch: &Batch, changelog: bool) -> Result<Vec<Row>, ArrowError> {
    let options = FormatOptions::default().with_null("null");
    let columns = batch.columns[usize::from(changelog)..].iter();
    let columns = columns.map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let row = |row: usize| Row {
        retracts: changelog && batch.bool(0).get(row) == Some(true),
        text: columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | "),
    };
    Ok((0..batch.rows).map(row).collect())
}

/// The steps with batches of at most so many rows, by how many they have.
fn cut(steps: &[Step], most: impl Fn(usize) -> usize) -> Vec<Step> {
    let mut out = Vec::new();
    for step in steps {
        match step {
            Step::Rows(batch) => {
                let most = most(batch.rows).max(1);
                let starts = (0..batch.rows).step_by(most);
                out.extend(starts.map(|from| Step::Rows(slice(batch, from, most.min(batch.rows - from)))));
            }
            Step::Watermark(_) => out.push(step.clone()),
        }
    }
    out
}

/// The steps with one batch for all rows between two watermarks.
fn joined(steps: &[Step]) -> Vec<Step> {
    let mut out: Vec<Step> = Vec::new();
    for step in steps {
        match (out.last_mut(), step) {
            (Some(Step::Rows(last)), Step::Rows(more)) => *last = concatenated(last, more),
            _ => out.push(step.clone()),
        }
    }
    out
}

fn with_empty_batches(steps: &[Step]) -> Vec<Step> {
    let batch = steps.iter().find_map(|step| match step {
        Step::Rows(batch) => Some(batch),
        Step::Watermark(_) => None,
    });
    let empty: Vec<Step> = batch.map(|batch| Step::Rows(slice(batch, 0, 0))).into_iter().collect();
    steps.iter().flat_map(|step| empty.iter().chain([step])).chain(&empty).cloned().collect()
}

fn with_watermarks_twice(steps: &[Step]) -> Vec<Step> {
    let times = |step: &Step| if matches!(step, Step::Watermark(_)) { 2 } else { 1 };
    steps.iter().flat_map(|step| std::iter::repeat_n(step.clone(), times(step))).collect()
}

fn slice(batch: &Batch, from: usize, rows: usize) -> Batch {
    Batch::new(batch.columns.iter().map(|column| column.slice(from, rows)).collect(), rows)
}

fn concatenated(first: &Batch, second: &Batch) -> Batch {
    let columns = first.columns.iter().zip(&second.columns).map(|(first, second)| {
        arrow::compute::concat(&[first.as_ref(), second.as_ref()]).expect("batches of a stage have the same types")
    });
    Batch::new(columns.collect(), first.rows + second.rows)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::sync::atomic::AtomicI64;
    use std::sync::atomic::Ordering::Relaxed;

    use protocol::checkpoint::{Lifetime, Operator, TableKind};
    use schema::{Field, ScalarType, Schema, TimeUnit};

    use super::*;
    use crate::column;
    use crate::runtime::toys::{Totals, totals_table};
    use crate::select::Rows;
    use crate::state::TableRows;
    use crate::window::{Changed, Input, States, Tumble};

    /// What is wrong with a stage.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fault {
        None,
        /// Two instances give different rows.
        Moody,
        CountsBatches,
        AnswersEmptyBatches,
        AnswersWatermarks,
        /// The last batch waits for the next step, in no table.
        HoldsBack,
        NoSnapshot,
        OmitsUpdates,
        ExpiresEarly,
        ForgetsWatermark,
        AddsToState,
        /// Leaves the states of groups that have gone to disk to others.
        LosesStates,
        /// Counts what it has restored as changed.
        WritesAgain,
        /// Goes by one watermark for all rows of its state.
        EvenWatermark,
        /// Says that task 0 has all of its state.
        OwnsAlone,
    }

    static MOOD: AtomicI64 = AtomicI64::new(0);

    /// Counts rows by key, in windows of 10 ns.
    struct Counts {
        fault: Fault,
        tumble: Tumble,
        states: States<i64>,
        written: HashSet<(i64, i64)>,
        held: Option<Batch>,
        watermark: Option<i64>,
    }

    impl Counts {
        fn boxed(fault: Fault) -> Box<dyn Stage> {
            let tumble = Tumble::new(10, &[ScalarType::Int64]);
            let (states, written) = (States::new(), HashSet::new());
            Box::new(Counts { fault, tumble, states, written, held: None, watermark: None })
        }

        fn add(&mut self, batch: &Batch, cx: &mut StageContext) -> Result<(), TaskError> {
            let keys = [Input::row(batch.array(0))];
            self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(1)), &keys, cx)?;
            self.thaw();
            let more = i64::from(self.fault == Fault::CountsBatches);
            for part in self.tumble.parts() {
                let states = self.states.of(part.bin, part.groups);
                for (at, (_, group)) in self.tumble.pairs(part).enumerate() {
                    states[group] += if at == 0 { 1 + more } else { 1 };
                }
            }
            Ok(())
        }

        fn thaw(&mut self) {
            while let Some(rows) = self.tumble.next_thawed() {
                self.put(&rows);
            }
        }

        fn put(&mut self, rows: &Batch) {
            let counts = rows.i64(2);
            for part in self.tumble.parts() {
                let states = self.states.of(part.bin, part.groups);
                for (row, group) in self.tumble.pairs(part) {
                    let before = if self.fault == Fault::AddsToState { states[group] } else { 0 };
                    states[group] = before + counts.value(row);
                }
            }
        }

        fn rows_of(&self, changed: &Changed) -> Batch {
            let counts = self.states.changed(changed);
            let count = counts.len();
            let columns = vec![changed.keys[0].clone(), changed.window_start(), column::from_i64(counts, None)];
            Batch::new(columns, count)
        }
    }

    impl Stage for Counts {
        fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
            crate::window::observe(batch.array(1), 0, cx);
            if batch.rows == 0 && self.fault == Fault::AnswersEmptyBatches {
                cx.emit(rows(&[(0, 0)]));
            }
            if self.fault == Fault::HoldsBack {
                return match self.held.replace(batch) {
                    Some(before) => self.add(&before, cx),
                    None => Ok(()),
                };
            }
            self.add(&batch, cx)
        }

        fn on_watermark(&mut self, watermark: i64, cx: &mut StageContext) -> Result<(), TaskError> {
            if let Some(held) = self.held.take() {
                self.add(&held, cx)?;
            }
            if self.fault == Fault::AnswersWatermarks {
                cx.emit(rows(&[(0, watermark)]));
            }
            let moody = if self.fault == Fault::Moody { MOOD.fetch_add(1, Relaxed) } else { 0 };
            while let Some(closed) = self.tumble.next_closed(watermark, cx)? {
                self.thaw();
                let counts = self.states.closed(&closed).iter().map(|count| count + moody).collect();
                let columns = vec![closed.keys[0].clone(), closed.window_start(), column::from_i64(counts, None)];
                cx.emit(Batch::new(columns, closed.groups.len()));
                self.states.release(&closed);
            }
            Ok(())
        }

        fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
            let mut table = TableRows::default();
            for changed in self.tumble.changed(&mut table)? {
                let mut batch = self.rows_of(&changed);
                if self.fault == Fault::OmitsUpdates {
                    let keys = column::i64(&changed.keys[0]);
                    let new = |row: usize| self.written.insert((changed.start, keys.value(row)));
                    let new = Selection::filter(batch.rows, None, new);
                    batch = new.take_batch(&batch);
                }
                let expires = if self.fault == Fault::ExpiresEarly { changed.start } else { changed.end };
                table.push(batch, expires);
            }
            Ok(if self.fault == Fault::NoSnapshot { Vec::new() } else { vec![table] })
        }

        fn restore(&mut self, _table: usize, batch: &Batch, watermark: Option<i64>) -> Result<(), TaskError> {
            if self.fault == Fault::EvenWatermark {
                self.watermark = self.watermark.max(watermark);
            }
            let watermark = self.watermark.or(watermark);
            self.tumble.begin_restore(watermark.filter(|_| self.fault != Fault::ForgetsWatermark));
            let mut cx = StageContext::default();
            let keys = [Input::row(batch.array(0))];
            self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(1)), &keys, &mut cx)?;
            self.thaw();
            self.put(batch);
            Ok(())
        }

        fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
            while let Some(cold) = self.tumble.next_cold(portion, cx)? {
                let rows = self.rows_of(&cold);
                let kept = self.tumble.freeze(&cold, &rows, &[])?;
                if self.fault != Fault::LosesStates {
                    self.states.keep(cold.bin, kept.as_deref());
                }
            }
            Ok(())
        }

        fn restored(&mut self, watermark: i64) {
            if !matches!(self.fault, Fault::ForgetsWatermark | Fault::WritesAgain) {
                self.tumble.restored(watermark);
            }
        }
    }

    /// Keys and times.
    fn rows(rows: &[(i64, i64)]) -> Batch {
        let keys = column::from_i64(rows.iter().map(|row| row.0).collect(), None);
        let times = rows.iter().map(|row| row.1).collect();
        let times = column::from_timestamp(times, None, TimeUnit::Nanosecond, None);
        // A third column, so that rows that are emitted as they are look like results.
        let counts = column::from_i64(vec![0; rows.len()], None);
        Batch::new(vec![keys, times, counts], rows.len())
    }

    fn steps() -> Vec<Step> {
        vec![
            Step::Rows(rows(&[(1, 1), (2, 3), (1, 5), (5, 2)])),
            Step::Watermark(4),
            Step::Rows(rows(&[(1, 12), (3, 8)])),
            Step::Rows(rows(&[(2, 11), (1, 6), (4, 19)])),
            Step::Watermark(10),
            // The first is late.
            Step::Rows(rows(&[(1, 7), (2, 15), (6, 25)])),
            Step::Watermark(20),
            Step::Rows(rows(&[(6, 21), (1, 18), (3, 35)])),
        ]
    }

    fn checked(new: fn() -> Box<dyn Stage>, keys: usize) -> Result<(), String> {
        let field = |name: &str, ty| Field::new(name, ty, false);
        let columns = vec![
            field("key", ScalarType::Int64),
            field("window_start", ScalarType::TIMESTAMP_NS),
            field("count", ScalarType::Int64),
        ];
        let columns = Schema::new(columns);
        let (name, kind) = ("counts".into(), TableKind::TimeKeyed);
        let lifetime = Some(Lifetime { column: 1, nanos: 10 });
        let spec = TableSpec { name, kind, version: 1, keys, columns, lifetime, operator: Operator::default() };
        check(&[Link::new("counts", new, ExchangePlan::Hash(vec![0])).table(spec)], &steps())
    }

    #[test]
    fn a_sound_stage_passes() {
        assert_eq!(checked(|| Counts::boxed(Fault::None), 1), Ok(()));
    }

    #[test]
    fn every_fault_is_found_by_what_it_breaks() {
        let found = |new: fn() -> Box<dyn Stage>, keys: usize| checked(new, keys).unwrap_err();
        let cases = [
            (Fault::Moody, found(|| Counts::boxed(Fault::Moody), 1), "once more:"),
            (Fault::CountsBatches, found(|| Counts::boxed(Fault::CountsBatches), 1), "rows one by one:"),
            (Fault::AnswersEmptyBatches, found(|| Counts::boxed(Fault::AnswersEmptyBatches), 1), "empty batches"),
            (Fault::AnswersWatermarks, found(|| Counts::boxed(Fault::AnswersWatermarks), 1), "each watermark twice:"),
            (Fault::NoSnapshot, found(|| Counts::boxed(Fault::NoSnapshot), 1), "is never written"),
            (Fault::HoldsBack, found(|| Counts::boxed(Fault::HoldsBack), 1), "a crash after"),
            (Fault::OmitsUpdates, found(|| Counts::boxed(Fault::OmitsUpdates), 1), "checkpoints and a crash after"),
            (Fault::ExpiresEarly, found(|| Counts::boxed(Fault::ExpiresEarly), 1), "a crash after"),
            (Fault::ForgetsWatermark, found(|| Counts::boxed(Fault::ForgetsWatermark), 1), "a crash after"),
            (Fault::AddsToState, found(|| Counts::boxed(Fault::AddsToState), 1), "a crash after"),
            (Fault::LosesStates, found(|| Counts::boxed(Fault::LosesStates), 1), "without memory"),
            (Fault::WritesAgain, found(|| Counts::boxed(Fault::WritesAgain), 1), "has rows again that were restored"),
            (Fault::EvenWatermark, found(|| Counts::boxed(Fault::EvenWatermark), 1), "in the middle of watermark"),
            (Fault::OwnsAlone, found(|| Counts::boxed(Fault::None), 0), "a crash after"),
        ];
        for (fault, error, phrase) in cases {
            assert!(error.contains(phrase), "{fault:?}: {error}");
        }
    }

    fn checked_changelog(new: fn() -> Box<dyn Stage>, keys: usize) -> Result<(), String> {
        let link = Link::new("totals", new, ExchangePlan::Hash(vec![0])).changelog();
        check(&[link.table(TableSpec { keys, ..totals_table() })], &steps())
    }

    /// The rows of a changelog that are taken back, or the others.
    fn only(changes: &Batch, retracted: bool) -> Batch {
        let retracts = changes.bool(0);
        Selection::filter(changes.rows, None, |row| retracts.value(row) == retracted).take_batch(changes)
    }

    #[test]
    fn of_a_changelog_counts_what_is_left() {
        assert_eq!(checked_changelog(|| Box::new(Totals::new(|changes| changes)), 1), Ok(()));
        let faults = [
            // What was said before stays.
            (
                checked_changelog(|| Box::new(Totals::new(|changes| only(&changes, false))), 1),
                "a checkpoint after each",
            ),
            // Each task but the first says it again after a crash.
            (checked_changelog(|| Box::new(Totals::new(|changes| changes)), 0), "a crash after"),
        ];
        for (found, phrase) in faults {
            let error = found.unwrap_err();
            assert!(error.contains(phrase), "{error}");
        }
        let row = |retracts, text: &str| Row { retracts, text: text.to_owned() };
        let rows = [row(false, "a"), row(false, "b"), row(true, "a"), row(false, "a")];
        assert_eq!(folded(&rows), Ok(vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(folded(&rows[2..]), Err("a is taken back and was not there".to_owned()));
    }

    /// Lets each key through when it comes for the first time. A task knows what all have seen before the last restart.
    #[derive(Default)]
    struct Firsts {
        known: BTreeSet<i64>,
        /// Something is known that no file has.
        changed: bool,
    }

    impl Stage for Firsts {
        fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
            for &key in column::i64(batch.array(0)).values {
                if self.known.insert(key) {
                    self.changed = true;
                    cx.emit(rows(&[(key, 0)]));
                }
            }
            Ok(())
        }

        fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
            let mut table = TableRows::default();
            if std::mem::take(&mut self.changed) {
                let keys = column::from_i64(self.known.iter().copied().collect(), None);
                table.push(Batch::new(vec![keys], self.known.len()), i64::MAX);
            }
            Ok(vec![table])
        }

        fn restore(&mut self, _table: usize, batch: &Batch, _watermark: Option<i64>) -> Result<(), TaskError> {
            self.known.extend(column::i64(batch.array(0)).values);
            Ok(())
        }
    }

    fn checked_firsts(kind: TableKind, keys: usize) -> Result<(), String> {
        let columns = Schema::new(vec![Field::new("key", ScalarType::Int64, false)]);
        let (name, operator) = ("known".into(), Operator::default());
        let spec = TableSpec { name, kind, version: 1, keys, columns, lifetime: None, operator };
        let new: fn() -> Box<dyn Stage> = || Box::<Firsts>::default();
        check(&[Link::new("firsts", new, ExchangePlan::Hash(vec![0])).table(spec)], &steps())
    }

    #[test]
    fn what_every_task_must_know_goes_to_any_number_of_tasks() {
        assert_eq!(checked_firsts(TableKind::Global, 1), Ok(()));
        // Only the first task would know.
        let error = checked_firsts(TableKind::Keyed, 0).unwrap_err();
        assert!(error.contains("a crash after"), "{error}");
    }

    #[test]
    fn what_shows_nothing_is_refused() {
        let silent: fn() -> Box<dyn Stage> = || Counts::boxed(Fault::None);
        let line = [Link::new("silent", silent, ExchangePlan::Hash(vec![0]))];
        assert_eq!(check(&line, &[]), Err("nothing comes out, so nothing is shown".to_owned()));
        let error = check(&line, &steps()).unwrap_err();
        assert_eq!(error, "1 tasks, a checkpoint after each step: silent has 1 tables, the plan 0");
    }
}
