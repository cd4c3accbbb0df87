//! What queries are lowered to.
//!
//! `plans.sql` holds one script a line, over the tables of [`TABLES`]; `plans.txt` each with its printed plan.

use super::*;

#[test]
fn queries_become_plans() {
    let mut out = String::new();
    for sql in include_str!("plans.sql").lines() {
        out.push_str(&format!("{sql}\n{}\n", plan(sql)));
    }
    golden("plans.txt", include_str!("plans.txt"), &out);
}

#[test]
fn layout_and_spelling_do_not_matter() {
    let one = compile(&with_tables("SELECT auction, price*2 AS p FROM bids WHERE price>100")).unwrap();
    let two =
        compile(&with_tables("select  AUCTION,\n price * 2 as p -- twice\n from BIDS where price > 100")).unwrap();
    assert_eq!(one, two);
}

#[test]
fn one_table_is_one_source() {
    let sql = "SELECT price FROM bids; SELECT channel FROM bids WHERE price > 3; SELECT auction FROM bids";
    let plan = compile(&with_tables(sql)).unwrap();
    let sources = plan.nodes.iter().filter(|node| matches!(node.op, compiler_ir::Op::Source(_))).count();
    assert_eq!(sources, 1);
}

#[test]
fn rows_that_stay_can_be_among_those_of_a_changelog() {
    let text =
        plan("SELECT auction, count(*) AS n FROM bids GROUP BY auction UNION ALL SELECT auction, price FROM bids");
    assert!(text.contains("FALSE AS _retract, auction, "), "{text}");
}

#[test]
fn a_sink_is_told_by_which_columns_rows_are_replaced() {
    let key = |sql: &str| {
        let plan = compile(&with_tables(sql)).unwrap();
        let sink = plan.nodes.into_iter().find_map(|node| match node.op {
            compiler_ir::Op::Sink(sink) => Some(sink),
            _ => None,
        });
        sink.and_then(|sink| sink.changelog).unwrap().key
    };
    assert_eq!(key("SELECT auction, count(*) FROM bids GROUP BY auction"), Some(vec![1]));
    assert_eq!(key("SELECT count(*), channel, auction FROM bids GROUP BY auction, channel"), Some(vec![3, 2]));
    assert_eq!(key("SELECT count(*) FROM bids"), Some(vec![]));
    assert_eq!(key("SELECT count(*) FROM bids GROUP BY auction"), None);
}

#[test]
fn the_clock_is_not_evaluated_when_planning() {
    for call in ["now()", "current_timestamp", "current_date", "current_time"] {
        let text = plan(&format!("SELECT {call} FROM bids"));
        assert!(text.contains("kernel:"), "{text}");
    }
}

#[test]
fn every_scalar_function_is_known_to_the_kernels() {
    for udf in crate::functions::registry().scalars.values() {
        let ours = ["tumble", "row_time"].contains(&udf.name());
        let known = kernels::is_known(udf.name()) || udf.aliases().iter().any(|alias| kernels::is_known(alias));
        assert!(ours || known, "{}", udf.name());
    }
}
