//! Every stage of the generated pipelines in `codegen-templates/generated`, as it is compiled, through the conformance
//! kit of [`worker_lib::runtime::conformance`].
//!
//! A new operator is one more line in [`lines`]: the stages that it is generated into, from the source's on, with their
//! tables as the driver plans them. A generated stage that is in no line fails the test.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use libtest_mimic::{Arguments, Trial};
use protocol::checkpoint::{Lifetime, Operator, TableKind, TableSpec};
use protocol::job::ExchangePlan::{Forward, Gather, Hash};
use schema::{Field, ScalarType, Schema, TimeUnit};
use worker_lib::Batch;
use worker_lib::runtime::conformance::{Link, Step, check};

// As in the examples that these are: rustc's lints hold, clippy's taste does not.
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/branches/bids.rs"]
mod branches_bids;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/branches/project.rs"]
mod branches_project;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/branches/rows_by_auction_length.rs"]
mod branches_rows_by_auction_length;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/branches/rows_by_window.rs"]
mod branches_rows_by_window;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/branches/tumble_by_auction_length.rs"]
mod branches_tumble_by_auction_length;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/branches/tumble_by_channel.rs"]
mod branches_tumble_by_channel;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/branches/tumble_by_window.rs"]
mod branches_tumble_by_window;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/expressions/filter_to_some.rs"]
mod expressions_filter_to_some;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/expressions/project.rs"]
mod expressions_project;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/joins/bids_by_auction.rs"]
mod joins_bids_by_auction;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/joins/join_by_auction.rs"]
mod joins_join_by_auction;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/joins/project.rs"]
mod joins_project;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/joins/tumble_by_auction.rs"]
mod joins_tumble_by_auction;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/kernels/bids.rs"]
mod kernels_bids;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/sample/bids_by_auction.rs"]
mod sample_bids_by_auction;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/sample/tumble_by_auction.rs"]
mod sample_tumble_by_auction;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/updating/bids.rs"]
mod updating_bids;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/updating/project.rs"]
mod updating_project;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/updating/project_2.rs"]
mod updating_project_2;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/updating/project_3.rs"]
mod updating_project_3;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/updating/updating_by_auction_length.rs"]
mod updating_by_auction_length;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/updating/updating_by_channel_to_channels.rs"]
mod updating_by_channel_to_channels;
#[rustfmt::skip]
#[allow(clippy::all)]
#[path = "../codegen-templates/generated/updating/updating_to_all_bids.rs"]
mod updating_to_all_bids;

/// A line of stages, and what comes to it.
type Line = (Vec<Link>, Vec<Step>);

fn lines() -> Vec<Line> {
    let bids_of_branches = || Link::new("branches/bids", branches_bids::new, Forward);
    vec![
        (
            vec![
                Link::new("sample/bids_by_auction", sample_bids_by_auction::new, Forward),
                Link::new("sample/tumble_by_auction", sample_tumble_by_auction::new, Hash(vec![0])).table(groups(
                    1,
                    vec![
                        field("auction", ScalarType::Int64, false),
                        window_start(),
                        field("bids", ScalarType::Int64, false),
                        field("total", ScalarType::Int64, true),
                        field("channel", ScalarType::Utf8, true),
                    ],
                )),
            ],
            bids(),
        ),
        (
            vec![
                bids_of_branches(),
                Link::new("branches/project", branches_project::new, Forward),
                Link::new("branches/tumble_by_channel", branches_tumble_by_channel::new, Hash(vec![0]))
                    .table(groups(
                        1,
                        vec![
                            field("channel", ScalarType::Utf8, false),
                            window_start(),
                            field("ratio", ScalarType::Int64, true),
                        ],
                    ))
                    .table(distinct("n"))
                    .table(distinct("web")),
            ],
            bids(),
        ),
        (
            vec![
                bids_of_branches(),
                Link::new("branches/rows_by_auction_length", branches_rows_by_auction_length::new, Forward),
                Link::new(
                    "branches/tumble_by_auction_length",
                    branches_tumble_by_auction_length::new,
                    Hash(vec![0, 1]),
                )
                .table(groups(
                    2,
                    vec![
                        field("auction", ScalarType::Int64, false),
                        field("length", ScalarType::Int32, true),
                        window_start(),
                        field("n", ScalarType::Int64, false),
                        field("low", ScalarType::Int32, true),
                        field("high", ScalarType::Utf8, true),
                        field("mean_sum", ScalarType::Float64, true),
                        field("mean_count", ScalarType::Int64, false),
                        field("filtered", ScalarType::Int64, true),
                        field("owed", ScalarType::Decimal { precision: 20, scale: 2 }, true),
                        field("mean_owed_sum", ScalarType::Decimal { precision: 38, scale: 2 }, true),
                        field("mean_owed_count", ScalarType::Int64, false),
                    ],
                )),
            ],
            bids(),
        ),
        (
            vec![
                bids_of_branches(),
                Link::new("branches/rows_by_window", branches_rows_by_window::new, Forward),
                Link::new("branches/tumble_by_window", branches_tumble_by_window::new, Gather)
                    .table(groups(0, vec![window_start(), field("n", ScalarType::Int64, false)])),
            ],
            bids(),
        ),
        (
            vec![
                joins_bids_by_auction_link(),
                joins_tumble_by_auction_link(),
                Link::new("joins/project", joins_project::new, Forward),
            ],
            bids(),
        ),
        // Closed windows alone, of which some wait for others: a tumble before it would close both at once.
        (
            vec![
                Link::new("joins/join_by_auction", joins_join_by_auction::new, Hash(vec![0]))
                    .port(&[0, 1, 2, 3])
                    .port(&[0, 1, 3])
                    .table(side("left", &["bids", "total"]))
                    .table(side("right", &["rival_bids"])),
            ],
            windows(),
        ),
        (vec![Link::new("expressions/project", expressions_project::new, Forward)], things()),
        (vec![Link::new("expressions/filter_to_some", expressions_filter_to_some::new, Forward)], things()),
        (vec![Link::new("kernels/bids", kernels_bids::new, Forward)], bids()),
        (
            vec![
                bids_of_updating(),
                Link::new("updating/project", updating_project::new, Forward),
                Link::new("updating/updating_by_auction_length", updating_by_auction_length::new, Hash(vec![0, 1]))
                    .table(updated_groups(
                        2,
                        vec![
                            field("auction", ScalarType::Int64, false),
                            field("length", ScalarType::Int32, true),
                            field("n", ScalarType::Int64, false),
                            field("total", ScalarType::Int64, true),
                            field("last", ScalarType::Utf8, true),
                            field("mean_owed_sum", ScalarType::Decimal { precision: 38, scale: 2 }, true),
                            field("mean_owed_count", ScalarType::Int64, false),
                            field("web", ScalarType::Int64, false),
                        ],
                    ))
                    .changelog(),
            ],
            bids(),
        ),
        (
            vec![
                bids_of_updating(),
                Link::new("updating/project_2", updating_project_2::new, Forward),
                Link::new("updating/updating_to_all_bids", updating_to_all_bids::new, Gather)
                    .table(updated_groups(0, vec![field("n", ScalarType::Int64, false)]))
                    .changelog(),
            ],
            bids(),
        ),
        (
            vec![
                bids_of_updating(),
                Link::new("updating/project_3", updating_project_3::new, Forward),
                Link::new(
                    "updating/updating_by_channel_to_channels",
                    updating_by_channel_to_channels::new,
                    Hash(vec![0]),
                )
                .table(updated_groups(1, vec![field("channel", ScalarType::Utf8, true)]))
                .changelog(),
            ],
            bids(),
        ),
    ]
}

fn joins_bids_by_auction_link() -> Link {
    Link::new("joins/bids_by_auction", joins_bids_by_auction::new, Forward)
}

fn joins_tumble_by_auction_link() -> Link {
    let columns = vec![
        field("auction", ScalarType::Int64, false),
        window_start(),
        field("bids", ScalarType::Int64, false),
        field("total", ScalarType::Int64, true),
    ];
    Link::new("joins/tumble_by_auction", joins_tumble_by_auction::new, Hash(vec![0])).table(groups(1, columns))
}

/// The table of a join's side: the key, the window, and other columns.
fn side(name: &str, others: &[&str]) -> TableSpec {
    let key_and_window = [field("auction", ScalarType::Int64, true), field("window", ScalarType::window(), false)];
    let others = others.iter().map(|name| field(name, ScalarType::Int64, true));
    TableSpec {
        name: name.into(),
        kind: TableKind::List,
        version: 1,
        keys: 1,
        columns: Schema::new(key_and_window.into_iter().chain(others).collect()),
        lifetime: Some(Lifetime { column: 1, nanos: 10_000_000_000 }),
        operator: Operator::default(),
    }
}

fn bids_of_updating() -> Link {
    Link::new("updating/bids", updating_bids::new, Forward)
}

fn field(name: &str, ty: ScalarType, nullable: bool) -> Field {
    Field::new(name, ty, nullable)
}

fn window_start() -> Field {
    field("window_start", ScalarType::TIMESTAMP_NS, false)
}

/// The table of a tumble's groups.
fn groups(keys: usize, columns: Vec<Field>) -> TableSpec {
    TableSpec {
        name: "groups".into(),
        kind: TableKind::TimeKeyed,
        version: 1,
        keys,
        columns: Schema::new(columns),
        lifetime: None,
        operator: Operator::default(),
    }
}

/// The table of an updating aggregate's groups: keys and states, when they were updated, whether they are deleted.
fn updated_groups(keys: usize, mut columns: Vec<Field>) -> TableSpec {
    columns.push(field("_updated", ScalarType::TIMESTAMP_NS, false));
    columns.push(field("_deleted", ScalarType::Bool, false));
    TableSpec { kind: TableKind::Keyed, ..groups(keys, columns) }
}

/// The values that a distinct aggregate by channel has seen.
fn distinct(name: &str) -> TableSpec {
    let columns =
        vec![field("channel", ScalarType::Utf8, false), window_start(), field(name, ScalarType::Int32, false)];
    let (name, columns) = (format!("distinct {name}"), Schema::new(columns));
    TableSpec {
        name,
        kind: TableKind::List,
        version: 1,
        keys: 1,
        columns,
        lifetime: None,
        operator: Operator::default(),
    }
}

/// Windows of ten seconds and of a minute open, close, and get rows too late.
fn bids() -> Vec<Step> {
    let fields = vec![
        field("auction", ScalarType::Int64, false),
        field("bidder", ScalarType::Int64, false),
        field("price", ScalarType::Int64, false),
        field("channel", ScalarType::Utf8, true),
        field("dt", ScalarType::TIMESTAMP_NS, false),
    ];
    steps(
        fields,
        r#"
{"auction": 1, "bidder": 7, "price": 150, "channel": "web", "dt": "2024-03-01T00:00:01"}
{"auction": 2, "bidder": 0, "price": 120, "channel": null, "dt": "2024-03-01T00:00:03"}
{"auction": 1, "bidder": 8, "price": 300, "channel": "app", "dt": "2024-03-01T00:00:09"}

watermark 2024-03-01T00:00:04

{"auction": 3, "bidder": 1, "price": 90, "channel": "web", "dt": "2024-03-01T00:00:11"}
{"auction": 2, "bidder": 2, "price": 250, "channel": "web", "dt": "2024-03-01T00:00:08"}
{"auction": 5, "bidder": 2, "price": 101, "channel": "ä", "dt": "2024-03-01T00:00:12"}

{"auction": 5, "bidder": 3, "price": 400, "channel": "app", "dt": "2024-03-01T00:00:19"}
{"auction": 1, "bidder": 3, "price": 110, "channel": "web", "dt": "2024-03-01T00:00:02"}

watermark 2024-03-01T00:00:10

{"auction": 1, "bidder": 0, "price": 999, "channel": "web", "dt": "2024-03-01T00:00:05"}
{"auction": 3, "bidder": 4, "price": 150, "channel": null, "dt": "2024-03-01T00:00:15"}
{"auction": 5, "bidder": 4, "price": 150, "channel": "app", "dt": "2024-03-01T00:00:13"}

watermark 2024-03-01T00:00:20

{"auction": 3, "bidder": 5, "price": 170, "channel": "web", "dt": "2024-03-01T00:01:01"}
{"auction": 3, "bidder": 6, "price": 300, "channel": "web", "dt": "2024-03-01T00:01:02"}
{"auction": 2, "bidder": 6, "price": 130, "channel": "banana", "dt": "2024-03-01T00:00:40"}

watermark 2024-03-01T00:01:00

{"auction": 2, "bidder": 9, "price": 500, "channel": "web", "dt": "2024-03-01T00:00:50"}
{"auction": 1, "bidder": 9, "price": 200, "channel": "web", "dt": "2024-03-01T00:01:08"}
{"auction": 1, "bidder": 1, "price": 200, "channel": "app", "dt": "2024-03-01T00:02:30"}
"#,
    )
}

/// Rows for every native expression: with all values, with some, and with none that may be left out.
fn things() -> Vec<Step> {
    let point = vec![field("x", ScalarType::Float64, false), field("name", ScalarType::Utf8, true)];
    let fields = vec![
        field("i", ScalarType::Int64, true),
        field("j", ScalarType::Int64, false),
        field("small", ScalarType::Int16, true),
        field("u", ScalarType::UInt32, true),
        field("f", ScalarType::Float64, true),
        field("g", ScalarType::Float32, false),
        field("flag", ScalarType::Bool, true),
        field("t", ScalarType::Utf8, true),
        field("s", ScalarType::Utf8, false),
        field("bytes", ScalarType::Binary, true),
        field("day", ScalarType::Date, true),
        field("at", ScalarType::Timestamp { unit: TimeUnit::Microsecond, zone: None }, true),
        field("amount", ScalarType::Decimal { precision: 10, scale: 2 }, true),
        field("point", ScalarType::Struct(point), true),
        field("tags", ScalarType::List(Box::new(ScalarType::Utf8)), true),
        field("type", ScalarType::Int32, true),
        field("x", ScalarType::Int32, true),
    ];
    steps(
        fields,
        r#"
{"i": 3, "j": 2, "small": -5, "u": 4, "f": 1.25, "g": 0.5, "flag": true, "t": "t", "s": " some m z", "bytes": "00ff", "day": "2024-02-29", "at": "2024-03-01T12:34:56.789", "amount": "12.50", "point": {"x": 1.5, "name": "p"}, "tags": ["a", null], "type": 1, "x": 2}
{"j": 1, "g": -0.75, "s": ""}
{"i": 200, "j": 300, "small": 9, "f": -2.5, "g": 2.0, "flag": false, "t": "a,bx", "s": "a,b", "at": "1969-12-31T23:59:59.5", "amount": "-0.01", "point": {"x": -1.0, "name": null}, "tags": [], "type": -7}

watermark 2024-03-01T00:00:04

{"i": 2, "j": 4, "u": 9, "f": 0.5, "g": 1.5, "flag": true, "t": "t", "s": "z", "day": "1970-01-01", "point": {"x": 0.25, "name": "p"}, "tags": ["ä"], "x": 3}
{"i": 7, "j": 1, "small": 0, "f": 1.0, "g": 0.0, "t": null, "s": "ümlaut", "bytes": "", "point": null}
"#,
    )
}

/// The steps of a script. Paragraphs are batches, a row as JSON in each line, or `watermark TIME`.
/// Rows in windows of ten seconds; the third column is more than the fourth in some, so they have partners.
fn windows() -> Vec<Step> {
    let fields = vec![
        field("auction", ScalarType::Int64, true),
        field("window", ScalarType::window(), false),
        field("bids", ScalarType::Int64, false),
        field("total", ScalarType::Int64, true),
    ];
    steps(
        fields,
        r#"
{"auction": 1, "window": {"start": "2024-03-01T00:00:00", "end": "2024-03-01T00:00:10"}, "bids": 3, "total": 5}
{"auction": 2, "window": {"start": "2024-03-01T00:00:10", "end": "2024-03-01T00:00:20"}, "bids": 7, "total": 2}
{"auction": 1, "window": {"start": "2024-03-01T00:00:10", "end": "2024-03-01T00:00:20"}, "bids": 1, "total": null}

{"auction": 1, "window": {"start": "2024-03-01T00:00:00", "end": "2024-03-01T00:00:10"}, "bids": 4, "total": 4}
{"auction": null, "window": {"start": "2024-03-01T00:00:00", "end": "2024-03-01T00:00:10"}, "bids": 1, "total": 9}

watermark 2024-03-01T00:00:10

{"auction": 2, "window": {"start": "2024-03-01T00:00:10", "end": "2024-03-01T00:00:20"}, "bids": 1, "total": 8}
{"auction": 5, "window": {"start": "2024-03-01T00:00:20", "end": "2024-03-01T00:00:30"}, "bids": 2, "total": 3}
{"auction": 3, "window": {"start": "2024-03-01T00:00:00", "end": "2024-03-01T00:00:10"}, "bids": 1, "total": 2}

watermark 2024-03-01T00:00:20

{"auction": 5, "window": {"start": "2024-03-01T00:00:20", "end": "2024-03-01T00:00:30"}, "bids": 0, "total": 1}
{"auction": 4, "window": {"start": "2024-03-01T00:00:40", "end": "2024-03-01T00:00:50"}, "bids": 6, "total": 7}
"#,
    )
}

fn steps(fields: Vec<Field>, script: &str) -> Vec<Step> {
    let schema = Schema::new(fields).to_arrow();
    let step = |paragraph: &str| match paragraph.trim().strip_prefix("watermark ") {
        Some(time) => Step::Watermark(string_to_timestamp_nanos(time).unwrap()),
        None => {
            let reader = arrow::json::ReaderBuilder::new(Arc::clone(&schema)).build(paragraph.as_bytes());
            let batch = reader.unwrap().next().unwrap().unwrap();
            Step::Rows(Batch::new(batch.columns().to_vec(), batch.num_rows()))
        }
    };
    script.split("\n\n").map(step).collect()
}

/// Compares the stages that are in a line with those that are generated.
fn check_complete(named: &BTreeSet<&'static str>) -> Result<(), String> {
    let generated = Path::new(env!("CARGO_MANIFEST_DIR")).join("../codegen-templates/generated");
    let names = |directory: &Path| -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    for pipeline in names(&generated) {
        for file in names(&generated.join(&pipeline)).iter().filter(|file| *file != "main.rs") {
            let stage = format!("{pipeline}/{}", file.trim_end_matches(".rs"));
            if !named.contains(stage.as_str()) {
                return Err(format!("generated stage {stage} is in no line"));
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let lines = lines();
    let named: BTreeSet<&'static str> = lines.iter().flat_map(|(line, _)| line.iter().map(Link::name)).collect();
    let mut trials =
        vec![Trial::test("every_generated_stage_is_in_a_line", move || check_complete(&named).map_err(Into::into))];
    trials.extend(lines.into_iter().map(|(line, steps)| {
        let names: Vec<&str> = line.iter().map(Link::name).collect();
        Trial::test(names.join(" "), move || check(&line, &steps).map_err(Into::into))
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
