//! Verdicts as a table of cases, and what is made of a manifest that fits.

use protocol::checkpoint::{FORMAT, Lifetime, Reason, SourceState, StateFile, TableKind};
use protocol::job::{EdgePlan, ExchangePlan, SinkPlan, SourcePlan};
use serde_json::{Value, json};

use super::*;

const NOTHING: Allowed = Allowed { lost_state: false, mixed_results: false };
const LOST: Allowed = Allowed { lost_state: true, mixed_results: false };
const MIXED: Allowed = Allowed { lost_state: false, mixed_results: true };

/// A query in small: what it reads, keeps and writes.
#[derive(Clone, Debug)]
struct Query {
    source: (&'static str, &'static str),
    tables: Vec<TableSpec>,
    sink: (&'static str, &'static str),
}

/// Name, type, and whether it can be null.
type Column = (&'static str, &'static str, bool);

const AUCTION: Column = ("auction", "int64", false);
const START: Column = ("window_start", "int64", false);
const COUNT: Column = ("count(*)", "int64", false);
const TOTAL: Column = ("sum(price)", "int64", true);

fn table(keys: usize, columns: &[Column]) -> TableSpec {
    let columns = columns.iter().map(|(name, ty, nullable)| json!({ "name": name, "type": ty, "nullable": nullable }));
    TableSpec {
        name: "groups".into(),
        kind: TableKind::TimeKeyed,
        version: 1,
        keys,
        columns: serde_json::from_value(Value::from_iter(columns)).unwrap(),
        lifetime: Some(Lifetime { column: keys, nanos: 60_000_000_000 }),
        operator: Operator {
            kind: "tumble".into(),
            sources: vec!["bids".into()],
            sinks: vec!["totals".into()],
            rows: "bids on dt".into(),
            results: vec![],
        },
    }
}

/// The rows of a join's side, of windows of a width; `None`: as they were when they did not say when they go.
fn joined(width: Option<i64>) -> Query {
    let lifetime = width.map(|nanos| Lifetime { column: 1, nanos });
    keeping(vec![TableSpec { name: "left".into(), kind: TableKind::List, lifetime, ..table(1, &[AUCTION, START]) }])
}

fn query() -> Query {
    let tables = vec![table(1, &[AUCTION, START, COUNT, TOTAL])];
    Query { source: ("bids", "nexmark"), tables, sink: ("totals", "filesystem") }
}

/// The query with other tables.
fn keeping(tables: Vec<TableSpec>) -> Query {
    Query { tables, ..query() }
}

fn with_columns(columns: &[Column]) -> Query {
    keeping(vec![table(1, columns)])
}

fn changed(change: impl Fn(&mut TableSpec)) -> Query {
    let mut query = query();
    query.tables.iter_mut().for_each(change);
    query
}

/// source ─▶ operators ─▶ sink, a stage each.
fn plan(query: &Query) -> JobPlan {
    let stage = |id: usize, name: &str| StagePlan {
        id,
        name: name.into(),
        operators: vec![],
        parallelism: 2,
        generated: true,
        source: None,
        sink: None,
        input_schema: Default::default(),
        output_schema: Default::default(),
        tables: vec![],
        updating_ttl_micros: None,
    };
    let (table, connector) = query.source;
    let source = SourcePlan {
        table: table.into(),
        connector: connector.into(),
        options: json!({}),
        metadata: vec![],
        watermark: true,
        idle_micros: None,
    };
    let (table, connector) = query.sink;
    let sink = SinkPlan { table: table.into(), connector: connector.into(), options: json!({}), changelog: None };
    let edge = |from, to| EdgePlan { from, to, port: 0, exchange: ExchangePlan::Forward };
    JobPlan {
        code: format!("{query:?}"),
        stages: vec![
            StagePlan { source: Some(source), ..stage(0, "from") },
            StagePlan { tables: query.tables.clone(), ..stage(1, "windows") },
            StagePlan { sink: Some(sink), ..stage(2, "to") },
        ],
        edges: vec![edge(0, 1), edge(1, 2)],
    }
}

fn file(table: usize) -> StateFile {
    StateFile {
        path: format!("state/0000000007-1-1-0-{table}.parquet"),
        sha256: String::new(),
        bytes: 10,
        rows: 1,
        epoch: 7,
        generation: 1,
        task: 0,
        hashes: ("0".into(), "f".into()),
        expires: None,
    }
}

/// A checkpoint of a query; `held`: there are rows in its tables.
fn checkpoint(query: &Query, held: bool) -> Manifest {
    let plan = plan(query);
    let outside = |table: &str, connector: &str| Outside { table: table.into(), connector: connector.into() };
    let task = |stage: usize, task: i64| TaskState {
        watermark: Some(100 * stage as i64 + task),
        ended: false,
        source: (stage == 0)
            .then(|| SourceState { position: Some(json!({ "row": task })), watermarks: vec![(0, task)] }),
        tokens: if stage == 2 { vec![json!(format!("token {task}"))] } else { vec![] },
        left_behind: if stage == 2 { vec![json!(format!("left by {task}"))] } else { vec![] },
    };
    let stages = plan.stages.iter().map(|stage| StageState {
        stage: stage.id,
        name: stage.name.clone(),
        operators: vec![],
        source: stage.source.as_ref().map(|source| outside(&source.table, &source.connector)),
        sink: stage.sink.as_ref().map(|sink| outside(&sink.table, &sink.connector)),
        tables: (stage.tables.iter().enumerate())
            .map(|(at, spec)| TableState { spec: spec.clone(), files: if held { vec![file(at)] } else { vec![] } })
            .collect(),
        tasks: (0..2).map(|number| task(stage.id, number)).collect(),
    });
    Manifest {
        format: FORMAT,
        job: "job".into(),
        epoch: 7,
        generation: 1,
        code: plan.code.clone(),
        reason: Reason::Stop,
        begun_micros: 0,
        complete_micros: 0,
        stages: stages.collect(),
    }
}

fn findings(old: &Query, new: &Query, allowed: Allowed) -> Vec<String> {
    let found = compare(&checkpoint(old, true), &plan(new), allowed);
    found.findings.iter().map(ToString::to_string).collect()
}

const SUBJECT: &str = "tumble by auction into totals";

/// Its name, the old query, the new one, the verdicts, and why.
type Case = (&'static str, Query, Query, [Verdict; 3], &'static str);

/// What becomes of the one operator, with nothing allowed, with lost state, with mixed results; and why.
#[test]
fn operators_are_judged() {
    use Verdict::{Migrate, Rebuild, Refuse, Reuse};
    let allowed = [NOTHING, LOST, MIXED];
    let max = |ty| ("max(price)", ty, true);
    let distinct = || {
        let mut table = table(1, &[AUCTION, START, ("bidder", "int32", false)]);
        (table.name, table.kind) = ("count(DISTINCT bidder)".into(), TableKind::List);
        table
    };
    let groups = || table(1, &[AUCTION, START, COUNT, TOTAL]);
    let writing = |results: &[&str]| {
        changed(|table| table.operator.results = results.iter().map(|result| (*result).to_owned()).collect())
    };
    let cases: [Case; 22] = [
        ("the same", query(), query(), [Reuse; 3], ""),
        (
            "another sink",
            query(),
            Query { sink: ("others", "filesystem"), ..changed(|table| table.operator.sinks = vec!["others".into()]) },
            [Reuse; 3],
            "",
        ),
        (
            "another query reads the results too",
            query(),
            changed(|table| table.operator.sinks = vec!["others".into(), "totals".into()]),
            [Reuse; 3],
            "",
        ),
        ("an aggregate less", query(), with_columns(&[AUCTION, START, COUNT]), [Migrate; 3], "sum(price) is dropped"),
        (
            "another order",
            query(),
            with_columns(&[AUCTION, START, TOTAL, COUNT]),
            [Migrate; 3],
            "its columns are in another order",
        ),
        (
            "a wider type",
            with_columns(&[AUCTION, START, max("int32")]),
            with_columns(&[AUCTION, START, max("int64")]),
            [Migrate; 3],
            "max(price) is BIGINT, and was INT",
        ),
        (
            "a narrower type",
            with_columns(&[AUCTION, START, max("int64")]),
            with_columns(&[AUCTION, START, max("int32")]),
            [Refuse, Rebuild, Refuse],
            "max(price) is INT, and was BIGINT",
        ),
        (
            "another kind of type",
            with_columns(&[AUCTION, START, max("int64")]),
            with_columns(&[AUCTION, START, max("utf8")]),
            [Refuse, Rebuild, Refuse],
            "max(price) is TEXT, and was BIGINT",
        ),
        (
            "an aggregate more",
            query(),
            with_columns(&[AUCTION, START, COUNT, TOTAL, max("int64")]),
            [Refuse, Rebuild, Migrate],
            "max(price) is new",
        ),
        (
            "an aggregate more that has no value for no rows",
            query(),
            with_columns(&[AUCTION, START, COUNT, TOTAL, ("max(price)", "utf8", false)]),
            [Refuse, Rebuild, Refuse],
            "max(price) is new",
        ),
        (
            "an aggregate that means something else",
            query(),
            with_columns(&[AUCTION, START, COUNT, ("sum(price * 2)", "int64", true)]),
            [Refuse, Rebuild, Migrate],
            "sum(price * 2) is new; sum(price) is dropped",
        ),
        (
            "distinct values more",
            query(),
            keeping(vec![groups(), distinct()]),
            [Refuse, Rebuild, Migrate],
            "count(DISTINCT bidder) is new",
        ),
        (
            "distinct values less",
            keeping(vec![groups(), distinct()]),
            query(),
            [Migrate; 3],
            "count(DISTINCT bidder) is dropped",
        ),
        (
            "other rows",
            query(),
            changed(|table| table.operator.rows = "bids WHERE price > 5 on dt".into()),
            [Refuse, Rebuild, Migrate],
            "its rows are \"bids WHERE price > 5 on dt\", and were \"bids on dt\"",
        ),
        (
            "results that would be taken back in another form",
            writing(&["count(*) AS n of groups into totals"]),
            writing(&["count(*) AS m of groups into totals"]),
            [Refuse, Rebuild, Migrate],
            "it writes \"count(*) AS m of groups into totals\", and wrote \"count(*) AS n of groups into totals\"",
        ),
        (
            "results that are taken back in one sink less",
            writing(&["count(*) AS n of groups into others", "count(*) AS n of groups into totals"]),
            writing(&["count(*) AS n of groups into totals"]),
            [Reuse; 3],
            "",
        ),
        (
            "other windows",
            query(),
            changed(|table| table.lifetime = Some(Lifetime { column: 1, nanos: 3_600_000_000_000 })),
            [Refuse, Rebuild, Refuse],
            "its windows are 3600s wide, and were 60s",
        ),
        ("rows of a join that did not say when they go", joined(None), joined(Some(60_000_000_000)), [Reuse; 3], ""),
        (
            "a join of other windows",
            joined(Some(60_000_000_000)),
            joined(Some(3_600_000_000_000)),
            [Refuse, Rebuild, Refuse],
            "its windows are 3600s wide, and were 60s",
        ),
        (
            "a key of another type",
            query(),
            with_columns(&[("auction", "int32", false), START, COUNT, TOTAL]),
            [Refuse, Rebuild, Refuse],
            "auction is INT, and was BIGINT",
        ),
        (
            "another layout",
            query(),
            changed(|table| table.version = 2),
            [Refuse, Rebuild, Refuse],
            "groups is kept in another way",
        ),
        (
            "another source",
            query(),
            Query {
                source: ("asks", "nexmark"),
                ..changed(|table| {
                    table.operator.sources = vec!["asks".into()];
                    table.operator.rows = "asks on dt".into();
                })
            },
            [Refuse, Rebuild, Refuse],
            "its rows come from asks, and came from bids",
        ),
    ];
    for (case, old, new, verdicts, reasons) in cases {
        for (allowed, verdict) in allowed.into_iter().zip(verdicts) {
            let found = compare(&checkpoint(&old, true), &plan(&new), allowed);
            let finding = &found.findings[0];
            let what = (finding.verdict, finding.reasons.join("; "));
            assert_eq!(what, (verdict, reasons.to_owned()), "{case}, {allowed:?}");
            if finding.verdict == Refuse {
                assert!(adopt(checkpoint(&old, true), &plan(&new), allowed).is_err(), "{case}");
            }
        }
        // Where nothing is held there is nothing to lose.
        let found = compare(&checkpoint(&old, false), &plan(&new), NOTHING);
        let expected = if verdicts == [Reuse; 3] { Reuse } else { Rebuild };
        assert_eq!(found.findings[0].verdict, expected, "{case}, empty");
    }
}

#[test]
fn other_keys_are_another_operator_of_the_same_place() {
    let by_bidder = || with_columns(&[("bidder", "int64", true), START, COUNT, TOTAL]);
    let found = findings(&query(), &by_bidder(), NOTHING);
    assert_eq!(found[0], "refuse   tumble by bidder into totals: its keys are bidder, and were auction");
    assert_eq!(
        findings(&query(), &by_bidder(), LOST)[0].split(':').next(),
        Some("rebuild  tumble by bidder into totals")
    );
    // Beside one that is the same, it is new.
    let both = keeping([query().tables, by_bidder().tables.iter().cloned().map(other_rows).collect()].concat());
    let found = findings(&query(), &both, NOTHING);
    assert_eq!(found[..2], ["reuse    tumble by auction into totals", "rebuild  tumble by bidder into totals: new"]);
    // And one that is gone is lost.
    let found = findings(&both, &query(), NOTHING);
    let gone = "refuse   tumble by bidder into totals: it is not there any more, and its state would be lost";
    assert_eq!(found[..2], ["reuse    tumble by auction into totals", gone]);
    let found = findings(&both, &query(), LOST);
    assert!(found[1].starts_with("drop     tumble by bidder into totals: "), "{found:?}");
}

/// Tells the operators of one stage apart.
fn other_rows(mut table: TableSpec) -> TableSpec {
    table.operator.rows = "bids WHERE bidder > 0 on dt".into();
    table
}

#[test]
fn of_several_the_one_that_means_the_same_is_taken() {
    let two = |first: &str, second: &str| {
        let of = |rows: &str| {
            let mut table = table(1, &[AUCTION, START, COUNT, TOTAL]);
            table.operator.rows = rows.into();
            table
        };
        keeping(vec![of(first), of(second)])
    };
    let (old, new) = (two("bids WHERE a on dt", "bids WHERE b on dt"), two("bids WHERE b on dt", "bids WHERE a on dt"));
    let adopted = adopt(checkpoint(&old, true), &plan(&new), NOTHING).unwrap();
    let files: Vec<_> = adopted.stages[1].tables.iter().map(|table| table.files[0].path.clone()).collect();
    assert_eq!(files, [file(1).path, file(0).path]);
    // What was shared goes on in both.
    let split = {
        let mut new = two("bids on dt", "bids on dt");
        new.tables[1].operator.sinks = vec!["others".into()];
        new
    };
    let adopted = adopt(checkpoint(&query(), true), &plan(&split), NOTHING).unwrap();
    assert!(adopted.stages[1].tables.iter().all(|table| table.files == [file(0)]));
}

#[test]
fn operators_that_nobody_has_named_are_not_taken_for_others() {
    let nameless = changed(|table| table.operator = Operator::default());
    let found = findings(&nameless, &query(), NOTHING);
    assert_eq!(found[0], format!("rebuild  {SUBJECT}: new"));
    assert_eq!(found[1], "refuse   operator by auction: it is not there any more, and its state would be lost");
}

#[test]
fn sources_and_sinks_are_told() {
    let same = ["reuse    source bids (nexmark)", "reuse    sink totals (filesystem)"];
    assert_eq!(findings(&query(), &query(), NOTHING)[1..], same);

    let elsewhere = Query { source: ("bids", "impulse"), ..query() };
    let found = findings(&query(), &elsewhere, NOTHING);
    assert_eq!(found[0], format!("refuse   {SUBJECT}: its rows are read from the beginning"));
    assert_eq!(found[1], "rebuild  source bids (impulse): its connector was nexmark: it is read from its beginning");

    let renamed = Query { source: ("offers", "nexmark"), tables: vec![], ..query() };
    let old = Query { tables: vec![], ..query() };
    let found = findings(&old, &renamed, NOTHING);
    let expected = [
        "rebuild  source offers (nexmark): new: it is read from its beginning",
        "drop     source bids (nexmark): it is not read any more",
        "reuse    sink totals (filesystem)",
    ];
    assert_eq!(found, expected);

    let other_sink = Query { sink: ("totals", "single_file"), ..query() };
    let found = findings(&query(), &other_sink, NOTHING);
    let lost = "refuse   sink totals (filesystem): it is not written any more, and what it had prepared last may not have \
                been published";
    assert_eq!(found[2..], ["rebuild  sink totals (single_file): new", lost]);
    assert!(findings(&query(), &other_sink, LOST)[3].starts_with("drop     sink totals (filesystem)"));
    let mut published = checkpoint(&query(), true);
    let tasks = published.stages[2].tasks.iter_mut();
    tasks.for_each(|task| (task.tokens, task.left_behind) = (vec![], vec![]));
    assert!(!compare(&published, &plan(&other_sink), NOTHING).refused());
}

#[test]
fn the_same_query_restores_its_manifest_as_it_is() {
    let manifest = checkpoint(&query(), true);
    assert!(fits(&manifest, &plan(&query())));
    assert_eq!(adopt(manifest.clone(), &plan(&query()), NOTHING).unwrap(), manifest);
    assert!(compare(&manifest, &plan(&query()), NOTHING).is_reuse());
    let recompiled = JobPlan { code: "other".into(), ..plan(&query()) };
    assert!(!fits(&manifest, &recompiled));
    let adopted = adopt(manifest.clone(), &recompiled, NOTHING).unwrap();
    assert_eq!((adopted.code.as_str(), &adopted.stages[..2]), ("other", &manifest.stages[..2]));
    // Of tasks that keep nothing one is enough; it goes by what came before it.
    assert_eq!(adopted.stages[2].tasks.iter().map(|task| task.watermark).collect::<Vec<_>>(), [Some(100)]);
    assert_eq!(adopted.stages[2].tasks[0].tokens, [json!("token 0"), json!("token 1")]);
    assert_eq!(adopted.stages[2].tasks[0].left_behind, [json!("left by 0"), json!("left by 1")]);
}

#[test]
fn what_goes_on_does_so_in_stages_of_other_numbers() {
    // The new plan has a stage more, before the windows; the sink is where the windows are.
    let new = with_columns(&[AUCTION, START, COUNT]);
    let mut plan = plan(&new);
    let mut between = plan.stages[1].clone();
    (between.name, between.tables) = ("between".into(), vec![]);
    plan.stages.insert(1, between);
    plan.stages[2].sink = plan.stages.pop().unwrap().sink;
    plan.stages.iter_mut().enumerate().for_each(|(id, stage)| stage.id = id);
    let adopted = adopt(checkpoint(&query(), true), &plan, NOTHING).unwrap();
    assert_eq!((adopted.code.as_str(), adopted.epoch), (plan.code.as_str(), 7));
    let [from, between, windows] = adopted.stages.as_slice() else { panic!("{adopted:?}") };
    let positions: Vec<_> = from.tasks.iter().map(|task| task.source.clone().unwrap().position.unwrap()).collect();
    assert_eq!(positions, [json!({ "row": 0 }), json!({ "row": 1 })]);
    assert_eq!(from.tasks.iter().map(|task| task.watermark).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert_eq!(between.tasks, [TaskState { watermark: Some(0), ..TaskState::default() }]);
    // Its columns are the old ones, which its files have.
    assert_eq!(windows.tables[0], TableState { spec: query().tables[0].clone(), files: vec![file(0)] });
    assert_eq!(windows.tasks.iter().map(|task| task.watermark).collect::<Vec<_>>(), [Some(100), Some(101)]);
    assert_eq!(windows.tasks[0].tokens, [json!("token 0"), json!("token 1")]);
    assert!(windows.tasks[1].tokens.is_empty() && windows.tasks[0].source.is_none());
}

#[test]
fn windows_that_were_closed_stay_closed_unless_rows_come_again() {
    let wider = changed(|table| table.lifetime = Some(Lifetime { column: 1, nanos: 3_600_000_000_000 }));
    let adopted = adopt(checkpoint(&query(), true), &plan(&wider), LOST).unwrap();
    assert_eq!((adopted.stages[1].tables[0].files.len(), adopted.stages[1].tasks[0].watermark), (0, Some(100)));
    let elsewhere = Query { source: ("bids", "impulse"), ..query() };
    let adopted = adopt(checkpoint(&query(), true), &plan(&elsewhere), LOST).unwrap();
    assert_eq!(adopted.stages[1].tasks, [TaskState::default()]);
    assert_eq!(adopted.stages[0].tasks, [TaskState::default()]);
}
