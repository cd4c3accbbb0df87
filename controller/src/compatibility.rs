//! Whether a checkpoint fits a changed query: a verdict for each operator, source and sink, before anything starts.
//!
//! | verdict | what becomes of state |
//! |---|---|
//! | reuse | it is taken over as it is |
//! | migrate | it is taken over: columns that are not needed any more are left out, others become wider or begin empty |
//! | rebuild | the operator begins without state, the source at its beginning |
//! | drop | nobody has a use for it |
//! | refuse | nothing starts, unless the user allows what would be wrong |
//!
//! **Who is who.** Stages have other numbers and names in another query. An operator is the same as an earlier one if
//! its keys, its rows and its windows mean the same ([`Operator::rows`] and the names of columns say what they mean),
//! whatever else the queries do. If none is, it is compared with one of its kind that has the same keys, or else any, and
//! whose results go to the same table: what has changed is then told as a change. Several operators may go on from one.
//!
//! **What is wrong when.** Two things can be, and either is refused unless it is allowed:
//!
//! * *Lost state*: what an operator had read before the checkpoint is in no result any more. It is, where keys or windows
//!   are others, a source begins anew, or an operator is not there any more.
//! * *Mixed results*: what is open at the checkpoint has a result of which one part is the old query's. It has, where an
//!   aggregate is new (it counts from here on) or rows are selected by another condition. There is no right number to be
//!   had: the rows before the checkpoint are not read again. So it has where results are taken back when they change, and
//!   are written in another form than before: what was written stays.
//!
//! An operator that holds no rows loses nothing, so anything may have changed.
//!
//! Pure: documents in, findings out. [`adopt`] makes the manifest that the new query restores. It has the new query's
//! stages, with whatever of the old ones goes on in them: tables, watermarks, positions, tokens.
//!
//! Not here: how rows are migrated (the worker's), whom to ask.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use protocol::checkpoint::{Manifest, Operator, Outside, StageState, TableSpec, TableState, TaskState};
use protocol::job::{JobPlan, StagePlan};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Reuse,
    Migrate,
    Rebuild,
    Drop,
    Refuse,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Reuse => "reuse",
            Verdict::Migrate => "migrate",
            Verdict::Rebuild => "rebuild",
            Verdict::Drop => "drop",
            Verdict::Refuse => "refuse",
        }
    }
}

/// What the user puts up with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    pub lost_state: bool,
    pub mixed_results: bool,
}

/// What becomes of one operator, source or sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `tumble by auction into totals`
    pub subject: String,
    pub verdict: Verdict,
    /// Lower case, no full stop.
    pub reasons: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {}", self.verdict.name(), self.subject)?;
        match self.reasons.as_slice() {
            [] => Ok(()),
            reasons => write!(f, ": {}", reasons.join("; ")),
        }
    }
}

/// What a query makes of a checkpoint.
#[derive(Clone, Debug)]
pub struct Compatibility {
    /// Operators, then sources, then sinks; of each kind the new query's first.
    pub findings: Vec<Finding>,
    homes: Vec<Home>,
}

/// What goes on in a stage of the new query, by index into the manifest's stages.
#[derive(Clone, Debug, Default)]
struct Home {
    /// By table: which stage's, which table, as it was.
    tables: Vec<Option<(usize, usize)>>,
    /// Whose tasks' watermarks go on.
    tasks: Option<usize>,
    source: Option<usize>,
    sink: Option<usize>,
}

impl Compatibility {
    pub fn refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.verdict == Verdict::Refuse)
    }

    /// Everything goes on as it was.
    pub fn is_reuse(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict == Verdict::Reuse)
    }
}

/// Whether a plan can restore a manifest as it is: it is the same query's.
pub fn fits(manifest: &Manifest, plan: &JobPlan) -> bool {
    let same = |stage: &StagePlan| {
        let state = manifest.stages.iter().find(|state| state.stage == stage.id);
        state.is_some_and(|state| state.tables.iter().map(|table| &table.spec).eq(&stage.tables))
    };
    manifest.code == plan.code && plan.stages.iter().all(same)
}

/// The manifest in the terms of a plan: what a job that runs the plan restores.
///
/// # Errors
/// What it makes of it, if that is refused.
pub fn adopt(manifest: Manifest, plan: &JobPlan, allowed: Allowed) -> Result<Manifest, Compatibility> {
    if fits(&manifest, plan) {
        return Ok(manifest);
    }
    let found = compare(&manifest, plan, allowed);
    if found.refused() {
        return Err(found);
    }
    let mut stages: Vec<StageState> = Vec::with_capacity(plan.stages.len());
    for (stage, home) in plan.stages.iter().zip(&found.homes) {
        let adopted = adopted(&manifest, plan, stage, home, &stages);
        stages.push(adopted);
    }
    Ok(Manifest { code: plan.code.clone(), stages, ..manifest })
}

/// Compares a checkpoint with what a query keeps.
pub fn compare(manifest: &Manifest, plan: &JobPlan, allowed: Allowed) -> Compatibility {
    let mut homes: Vec<Home> =
        plan.stages.iter().map(|stage| Home { tables: vec![None; stage.tables.len()], ..Home::default() }).collect();
    let sources = sources(manifest, plan, &mut homes);
    let sinks = sinks(manifest, plan, allowed, &mut homes);
    let continued: BTreeSet<&str> = sources
        .iter()
        .filter(|(finding, _)| finding.verdict == Verdict::Reuse)
        .map(|(_, table)| table.as_str())
        .collect();
    let mut findings = operators(manifest, plan, allowed, &continued, &mut homes);
    findings.extend(sources.into_iter().map(|(finding, _)| finding));
    findings.extend(sinks);
    Compatibility { findings, homes }
}

// --- sources and sinks ---------------------------------------------------------------------------------------------

/// Findings with the tables that they are of.
fn sources(manifest: &Manifest, plan: &JobPlan, homes: &mut [Home]) -> Vec<(Finding, String)> {
    let old = |table: &str| {
        let sources = manifest.stages.iter().map(|stage| stage.source.as_ref());
        sources.enumerate().find_map(|(at, source)| source.filter(|source| source.table == table).map(|it| (at, it)))
    };
    let mut findings = Vec::new();
    let mut known = BTreeSet::new();
    for (stage, home) in plan.stages.iter().zip(homes) {
        let Some(source) = &stage.source else { continue };
        known.insert(source.table.as_str());
        let (verdict, reasons) = match old(&source.table) {
            Some((at, outside)) if outside.connector == source.connector => {
                home.source = Some(at);
                home.tasks = Some(at);
                (Verdict::Reuse, vec![])
            }
            Some((_, outside)) => {
                let reason = format!("its connector was {}: it is read from its beginning", outside.connector);
                (Verdict::Rebuild, vec![reason])
            }
            None => (Verdict::Rebuild, vec!["new: it is read from its beginning".to_owned()]),
        };
        let subject = format!("source {} ({})", source.table, source.connector);
        findings.push((Finding { subject, verdict, reasons }, source.table.clone()));
    }
    for source in manifest.stages.iter().filter_map(|stage| stage.source.as_ref()) {
        if !known.contains(source.table.as_str()) {
            let reasons = vec!["it is not read any more".to_owned()];
            let subject = format!("source {} ({})", source.table, source.connector);
            findings.push((Finding { subject, verdict: Verdict::Drop, reasons }, source.table.clone()));
        }
    }
    findings
}

fn sinks(manifest: &Manifest, plan: &JobPlan, allowed: Allowed, homes: &mut [Home]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut continued = BTreeSet::new();
    for (stage, home) in plan.stages.iter().zip(homes) {
        let Some(sink) = &stage.sink else { continue };
        let same = |outside: &Outside| outside.table == sink.table && outside.connector == sink.connector;
        home.sink = manifest.stages.iter().position(|stage| stage.sink.as_ref().is_some_and(same));
        continued.extend(home.sink);
        let (verdict, reasons) = match home.sink {
            Some(_) => (Verdict::Reuse, vec![]),
            None => (Verdict::Rebuild, vec!["new".to_owned()]),
        };
        findings.push(Finding { subject: format!("sink {} ({})", sink.table, sink.connector), verdict, reasons });
    }
    for (at, stage) in manifest.stages.iter().enumerate() {
        let Some(sink) = stage.sink.as_ref().filter(|_| !continued.contains(&at)) else { continue };
        let prepared = stage.tasks.iter().any(|task| task.unpublished().next().is_some());
        let reason = match prepared {
            true => "it is not written any more, and what it had prepared last may not have been published",
            false => "it is not written any more",
        };
        let verdict = if prepared && !allowed.lost_state { Verdict::Refuse } else { Verdict::Drop };
        let subject = format!("sink {} ({})", sink.table, sink.connector);
        findings.push(Finding { subject, verdict, reasons: vec![reason.to_owned()] });
    }
    findings
}

// --- operators -----------------------------------------------------------------------------------------------------

/// The tables of one operator.
#[derive(Debug)]
struct Kept<'a> {
    /// Index of the stage, in the plan or in the manifest.
    stage: usize,
    /// With their numbers in the stage; at least one.
    tables: Vec<(usize, &'a TableSpec)>,
}

impl<'a> Kept<'a> {
    fn all(stages: impl Iterator<Item = impl Iterator<Item = &'a TableSpec>>) -> Vec<Kept<'a>> {
        let mut all: Vec<Kept<'a>> = Vec::new();
        for (stage, tables) in stages.enumerate() {
            for table in tables.enumerate() {
                match all.last_mut().filter(|last| last.stage == stage && *last.operator() == table.1.operator) {
                    Some(last) => last.tables.push(table),
                    None => all.push(Kept { stage, tables: vec![table] }),
                }
            }
        }
        all
    }

    fn first(&self) -> &'a TableSpec {
        self.tables[0].1
    }

    fn operator(&self) -> &'a Operator {
        &self.first().operator
    }

    /// Kinds of operators that nobody has named have no identity.
    fn is_like(&self, old: &Kept) -> bool {
        !self.operator().kind.is_empty() && self.operator().kind == old.operator().kind
    }

    fn has_keys_of(&self, old: &Kept) -> bool {
        keys(self.first()) == keys(old.first())
    }

    fn shares_sink(&self, old: &Kept) -> bool {
        self.operator().sinks.iter().any(|sink| old.operator().sinks.contains(sink))
    }

    /// Its state means what that of the other means, as far as it has the same columns.
    fn is(&self, old: &Kept) -> bool {
        let (new, before) = (self.operator(), old.operator());
        self.is_like(old)
            && self.has_keys_of(old)
            && new.rows == before.rows
            && new.sources == before.sources
            && live_alike(self.first(), old.first())
    }

    fn subject(&self) -> String {
        let Operator { kind, sinks, .. } = self.operator();
        let kind = if kind.is_empty() { "operator" } else { kind };
        let by = match keys(self.first()).as_slice() {
            [] => String::new(),
            keys => format!(" by {}", keys.join(", ")),
        };
        let into = if sinks.is_empty() { String::new() } else { format!(" into {}", sinks.join(", ")) };
        format!("{kind}{by}{into}")
    }
}

/// Names of the key columns.
fn keys(table: &TableSpec) -> Vec<&str> {
    table.columns.fields.iter().take(table.keys).map(|key| key.name.as_str()).collect()
}

/// The name of the column of time, and how long after that a row goes.
fn lifetime(table: &TableSpec) -> Option<(&str, i64)> {
    let lifetime = table.lifetime?;
    Some((table.columns.fields.get(lifetime.column)?.name.as_str(), lifetime.nanos))
}

/// Whether rows of both go at the same time, by the name of the column. What does not say is taken to be so.
fn live_alike(new: &TableSpec, old: &TableSpec) -> bool {
    lifetime(new) == lifetime(old) || new.lives_like(old)
}

/// By operator of the new query: which of the old ones it is.
fn pairs(new: &[Kept], old: &[Kept]) -> Vec<Option<usize>> {
    let mut pairs: Vec<Option<usize>> = new
        .iter()
        .map(|new| {
            let same = move || (0..old.len()).filter(move |at| new.is(&old[*at]));
            same().find(|at| new.shares_sink(&old[*at])).or_else(|| same().next())
        })
        .collect();
    let alike: [fn(&Kept, &Kept) -> bool; 2] = [
        |new, old| new.is_like(old) && new.shares_sink(old) && new.has_keys_of(old),
        |new, old| new.is_like(old) && new.shares_sink(old),
    ];
    for alike in alike {
        for (at, kept) in new.iter().enumerate() {
            if pairs[at].is_none() {
                let free = |before: &usize| !pairs.contains(&Some(*before));
                pairs[at] = (0..old.len()).filter(free).find(|before| alike(kept, &old[*before]));
            }
        }
    }
    pairs
}

/// What an operator has become, and what that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    text: String,
    cost: Cost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    None,
    /// Results of what is open are partly the old query's.
    Mixed,
    /// Its state cannot go on.
    Lost,
}

fn operators(
    manifest: &Manifest,
    plan: &JobPlan,
    allowed: Allowed,
    continued: &BTreeSet<&str>,
    homes: &mut [Home],
) -> Vec<Finding> {
    let new = Kept::all(plan.stages.iter().map(|stage| stage.tables.iter()));
    let old = Kept::all(manifest.stages.iter().map(|stage| stage.tables.iter().map(|table| &table.spec)));
    let pairs = pairs(&new, &old);
    let mut findings = Vec::new();
    for (kept, pair) in new.iter().zip(&pairs) {
        let Some(before) = pair.map(|at| &old[at]) else {
            let reasons = vec!["new".to_owned()];
            findings.push(Finding { subject: kept.subject(), verdict: Verdict::Rebuild, reasons });
            continue;
        };
        let sources_go_on = kept.operator().sources == before.operator().sources
            && kept.operator().sources.iter().all(|source| continued.contains(source.as_str()));
        let changes = changes(kept, before, sources_go_on);
        let mut verdict = verdict(&changes, holds_rows(manifest, before), allowed);
        let mut reasons: Vec<String> = changes.into_iter().map(|change| change.text).collect();
        let home = &mut homes[kept.stage];
        // A source that goes on in the same stage has tasks of its own.
        if home.tasks.is_some_and(|tasks| tasks != before.stage) {
            verdict = Verdict::Refuse;
            reasons.push("what it consists of was in different stages".to_owned());
        }
        if matches!(verdict, Verdict::Reuse | Verdict::Migrate) {
            for (table, spec) in &kept.tables {
                let same = before.tables.iter().find(|(_, old)| old.name == spec.name);
                home.tables[*table] = same.map(|(old, _)| (before.stage, *old));
            }
        }
        // Windows that its tasks had closed stay closed, unless older rows come again.
        if sources_go_on {
            home.tasks = Some(before.stage);
        }
        findings.push(Finding { subject: kept.subject(), verdict, reasons });
    }
    let gone = old.iter().enumerate().filter(|(at, _)| !pairs.contains(&Some(*at)));
    for kept in gone.map(|(_, kept)| kept) {
        let held = holds_rows(manifest, kept);
        let verdict = if held && !allowed.lost_state { Verdict::Refuse } else { Verdict::Drop };
        let reason =
            if held { "it is not there any more, and its state would be lost" } else { "it is not there any more" };
        findings.push(Finding { subject: kept.subject(), verdict, reasons: vec![reason.to_owned()] });
    }
    findings
}

fn holds_rows(manifest: &Manifest, kept: &Kept) -> bool {
    let tables = kept.tables.iter().map(|(table, _)| &manifest.stages[kept.stage].tables[*table]);
    tables.flat_map(|table| &table.files).any(|file| file.rows > 0)
}

fn verdict(changes: &[Change], held: bool, allowed: Allowed) -> Verdict {
    let costs = |cost| changes.iter().any(|change| change.cost == cost);
    match (costs(Cost::Lost), costs(Cost::Mixed)) {
        _ if changes.is_empty() => Verdict::Reuse,
        _ if !held => Verdict::Rebuild,
        (false, false) => Verdict::Migrate,
        (false, true) if allowed.mixed_results => Verdict::Migrate,
        _ if allowed.lost_state => Verdict::Rebuild,
        _ => Verdict::Refuse,
    }
}

fn changes(new: &Kept, old: &Kept, sources_go_on: bool) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut add = |text: String, cost| {
        // Tables of one operator have the same keys and windows.
        if changes.iter().all(|change| change.text != text) {
            changes.push(Change { text, cost });
        }
    };
    let (operator, before) = (new.operator(), old.operator());
    if operator.sources != before.sources {
        let sources = |operator: &Operator| operator.sources.join(", ");
        add(format!("its rows come from {}, and came from {}", sources(operator), sources(before)), Cost::Lost);
    } else if !sources_go_on {
        add("its rows are read from the beginning".to_owned(), Cost::Lost);
    } else if operator.rows != before.rows {
        add(format!("its rows are \"{}\", and were \"{}\"", operator.rows, before.rows), Cost::Mixed);
    } else if let Some(result) = operator.results.iter().find(|result| !before.results.contains(result)) {
        let wrote = before.results.join("\", \"");
        add(format!("it writes \"{result}\", and wrote \"{wrote}\""), Cost::Mixed);
    }
    for (_, table) in &new.tables {
        match old.tables.iter().find(|(_, old)| old.name == table.name) {
            Some((_, old)) => table_changes(table, old, &mut add),
            None => add(format!("{} is new", table.name), Cost::Mixed),
        }
    }
    for (_, table) in &old.tables {
        if new.tables.iter().all(|(_, new)| new.name != table.name) {
            add(format!("{} is dropped", table.name), Cost::None);
        }
    }
    changes
}

fn table_changes(new: &TableSpec, old: &TableSpec, add: &mut dyn FnMut(String, Cost)) {
    if new.kind != old.kind || new.version != old.version {
        return add(format!("{} is kept in another way", new.name), Cost::Lost);
    }
    let listed = |table: &TableSpec| match keys(table).as_slice() {
        [] => "none".to_owned(),
        keys => keys.join(", "),
    };
    if keys(new) != keys(old) {
        add(format!("its keys are {}, and were {}", listed(new), listed(old)), Cost::Lost);
    }
    if !live_alike(new, old) {
        let width = |table: &TableSpec| {
            Duration::from_nanos(lifetime(table).map_or(0, |(_, nanos)| nanos.max(0).unsigned_abs()))
        };
        let (wide, was) = (width(new), width(old));
        add(format!("its windows are {wide:?} wide, and were {was:?}"), Cost::Lost);
    }
    for (at, field) in new.columns.fields.iter().enumerate() {
        let name = &field.name;
        let Some(before) = old.columns.index_of(name) else {
            // A key that has another name has been told of.
            if at >= new.keys {
                let cost = if field.can_be_empty() { Cost::Mixed } else { Cost::Lost };
                add(format!("{name} is new"), cost);
            }
            continue;
        };
        let before = &old.columns.fields[before];
        if before.ty != field.ty {
            let text = format!("{name} is {}, and was {}", field.ty, before.ty);
            // A key of another type has another hash, and is another key.
            let widens = at >= new.keys && before.ty.widens_to(&field.ty);
            add(text, if widens { Cost::None } else { Cost::Lost });
        } else if before.nullable && !field.nullable {
            add(format!("{name} is NOT NULL, and was not"), Cost::Lost);
        }
    }
    for (_, field) in old.columns.fields.iter().enumerate().filter(|(at, _)| *at >= old.keys) {
        if new.columns.index_of(&field.name).is_none() {
            add(format!("{} is dropped", field.name), Cost::None);
        }
    }
    let names = |table: &TableSpec| table.columns.fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    let (mut columns, mut before) = (names(new), names(old));
    let moved = columns != before;
    columns.sort();
    before.sort();
    if moved && columns == before {
        add("its columns are in another order".to_owned(), Cost::None);
    }
}

// --- the manifest for the new query --------------------------------------------------------------------------------

/// A stage's state; `before` are those of the stages before it.
fn adopted(manifest: &Manifest, plan: &JobPlan, stage: &StagePlan, home: &Home, before: &[StageState]) -> StageState {
    let old = |at: Option<usize>| at.and_then(|at| manifest.stages.get(at));
    let tables = stage.tables.iter().zip(&home.tables).map(|(spec, from)| {
        let from = from.and_then(|(stage, table)| manifest.stages.get(stage)?.tables.get(table));
        match from {
            // Only what it is called may have changed.
            Some(from) if holds_same(&from.spec, spec) => TableState { spec: spec.clone(), files: from.files.clone() },
            Some(from) => from.clone(),
            None => TableState { spec: spec.clone(), files: Vec::new() },
        }
    });
    let mut tasks: Vec<TaskState> = match old(home.tasks) {
        Some(state) => {
            let without =
                |task: &TaskState| TaskState { watermark: task.watermark, ended: task.ended, ..TaskState::default() };
            state.tasks.iter().map(without).collect()
        }
        None => vec![derived(plan, stage, before)],
    };
    if let Some(state) = old(home.source) {
        tasks.iter_mut().zip(&state.tasks).for_each(|(task, from)| task.source = from.source.clone());
    }
    if let (Some(state), Some(first)) = (old(home.sink), tasks.first_mut()) {
        first.tokens = state.tasks.iter().flat_map(|task| task.tokens.clone()).collect();
        first.left_behind = state.tasks.iter().flat_map(|task| task.left_behind.clone()).collect();
    }
    StageState {
        stage: stage.id,
        name: stage.name.clone(),
        operators: stage.operators.clone(),
        source: stage.source.as_ref().map(Outside::from),
        sink: stage.sink.as_ref().map(Outside::from),
        tables: tables.collect(),
        tasks,
    }
}

/// Files of one can be read as files of the other.
fn holds_same(old: &TableSpec, new: &TableSpec) -> bool {
    TableSpec { operator: new.operator.clone(), ..old.clone() } == *new
}

/// How far event time has come in a stage without a past: what all that it gets rows from have promised.
fn derived(plan: &JobPlan, stage: &StagePlan, before: &[StageState]) -> TaskState {
    let edges = plan.edges.iter().filter(|edge| edge.to == stage.id);
    let tasks: Vec<&TaskState> =
        edges.filter_map(|edge| before.get(edge.from)).flat_map(|stage| &stage.tasks).collect();
    let live: Vec<_> = tasks.iter().filter(|task| !task.ended).map(|task| task.watermark).collect();
    match live.iter().min() {
        Some(least) => TaskState { watermark: *least, ..TaskState::default() },
        None => TaskState {
            watermark: tasks.iter().filter_map(|task| task.watermark).max(),
            ended: !tasks.is_empty(),
            ..TaskState::default()
        },
    }
}

#[cfg(test)]
mod tests;
