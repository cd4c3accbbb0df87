//! Wrong scripts, and all that is said about them.
//!
//! `errors.sql` holds one script a line, over the tables of [`TABLES`]; `errors.txt` each with its messages. Lines
//! count from the tables: the script is on the first line behind them.

use std::fs;
use std::path::Path;

use super::*;

#[test]
fn wrong_scripts_are_told_so() {
    let mut out = String::new();
    for sql in include_str!("errors.sql").lines() {
        let errors = match compile(&with_tables(sql)) {
            Ok(plan) => panic!("{sql}\n{}", compiler_ir::print::plan(&plan)),
            Err(errors) => errors,
        };
        assert!(errors.iter().all(|error| error.code != "E0001"), "{sql}\n{}", messages(&errors));
        out.push_str(&format!("{sql}\n{}\n", messages(&errors)));
    }
    golden("errors.txt", include_str!("errors.txt"), &out);
}

#[test]
fn all_statements_are_checked_at_once() {
    let errors = compile("SELEC 1; CREATE TABLE; SELECT (").unwrap_err();
    assert_eq!(errors.len(), 3, "{}", messages(&errors));
    // Behind an open quote nothing can be told from its text.
    let errors = compile("SELEC 1; SELECT 'open; CREATE TABLE").unwrap_err();
    assert_eq!((errors.len(), errors[0].code), (1, "E0100"), "{}", messages(&errors));
    let errors =
        compile(&with_tables("SELECT nope FROM bids; SELECT price FROM nope; SELECT nope(1) FROM bids")).unwrap_err();
    let codes: Vec<&str> = errors.iter().map(|error| error.code).collect();
    assert_eq!(codes, ["E0302", "E0301", "E0303"]);
}

#[test]
fn places_are_exact() {
    let errors = compile(&format!("{}\n  SELECT auction,\n    auciton FROM bids", TABLES.trim_end())).unwrap_err();
    let span = errors[0].span.unwrap();
    let lines = TABLES.trim_end().lines().count() as u64;
    assert_eq!((span.start.line, span.start.column, span.end.line, span.end.column), (lines + 2, 5, lines + 2, 12));
    // Columns count characters, not bytes.
    let errors = parse("SELECT 'ähm' FROM t WHERE )").unwrap_err();
    assert_eq!(errors[0].span.unwrap().start, crate::Position { line: 1, column: 27 });
}

#[test]
fn the_fault_is_where_it_stands() {
    for (sql, place, message) in [
        (
            "SELECT price FROM bids WHERE CAST(day AS DATE) IS NULL OR CAST(tags AS DATE) > day",
            "tags",
            "cannot cast type TEXT[] to DATE",
        ),
        (
            "SELECT price, TRY_CAST(place AS BIGINT) FROM bids",
            "place",
            "cannot cast type STRUCT<city TEXT, zip INT> to BIGINT",
        ),
        (
            "CREATE TABLE t (a TEXT[], b DATE GENERATED ALWAYS AS (CAST(a AS DATE))) WITH (connector = 'file', path = '/x')",
            "a AS DATE",
            "cannot cast type TEXT[] to DATE",
        ),
        (
            "CREATE TABLE t (a INT, b DATE GENERATED ALWAYS AS ('soon')) WITH (connector = 'file', path = '/x')",
            "'soon'",
            "invalid input syntax for type DATE: \"soon\"",
        ),
        ("SELECT channel LIKE 'x%' ESCAPE '%' FROM bids", "'x%'", "LIKE pattern must not end with escape character"),
        (
            "SELECT channel NOT ILIKE '50!!!' ESCAPE '!' FROM bids",
            "'50!!!'",
            "LIKE pattern must not end with escape character",
        ),
        ("SELECT price FROM bids WHERE channel LIKE 'x\\'", "'x\\'", "LIKE pattern must not end with escape character"),
        // A constant that is computed has no place but that of its statement.
        (
            "SELECT channel LIKE 'x' || '!' ESCAPE '!' FROM bids",
            "SELECT",
            "LIKE pattern must not end with escape character",
        ),
    ] {
        let errors = compile(&with_tables(sql)).unwrap_err();
        assert_eq!((errors.len(), errors[0].message.as_str()), (1, message), "{sql}\n{}", messages(&errors));
        let column = sql.find(place).unwrap() as u64 + 1;
        assert_eq!(errors[0].span.unwrap().start.column, column, "{sql}\n{}", messages(&errors));
    }
}

#[test]
fn what_only_parser_or_planner_would_let_through_is_refused() {
    for (sql, message) in [
        (
            "SELECT price FROM (SELECT price FROM bids) AS b TABLESAMPLE BERNOULLI (10)",
            "TABLESAMPLE is not supported yet",
        ),
        (
            "INSERT INTO totals PARTITION (auction = 1) SELECT auction, price FROM bids",
            "this form of INSERT is not supported yet",
        ),
        (
            "CREATE VIEW v CLUSTER BY (a) AS SELECT price AS a FROM bids; SELECT price FROM bids",
            "the statement CREATE VIEW with options is not supported yet",
        ),
        ("SELECT upper(DISTINCT channel) FROM bids", "function upper is not allowed in this context"),
        ("SELECT CAST(tags AS DATE) FROM bids", "cannot cast type TEXT[] to DATE"),
        ("SELECT CAST(channel AS BIGINT[]) FROM bids", "cannot cast type TEXT to BIGINT[]"),
        (
            "SELECT price FROM bids WHERE TRY_CAST(place AS BIGINT) > 1",
            "cannot cast type STRUCT<city TEXT, zip INT> to BIGINT",
        ),
    ] {
        let errors = compile(&with_tables(sql)).unwrap_err();
        assert_eq!((errors.len(), errors[0].message.as_str()), (1, message), "{sql}\n{}", messages(&errors));
        assert!(errors[0].span.is_some() && errors[0].hint.is_some(), "{sql}\n{}", messages(&errors));
    }
}

#[test]
fn a_chain_that_is_too_long_is_told_with_a_place() {
    let errors = parse(&format!("SELECT price FROM bids WHERE {}", vec!["price > 1"; 500].join(" OR "))).unwrap_err();
    assert_eq!((errors.len(), errors[0].code), (1, "E0101"), "{}", messages(&errors));
    assert!(errors[0].span.is_some(), "{}", messages(&errors));
}

#[test]
fn names_that_are_there_are_found() {
    for sql in [
        "SELECT b.price, b.place.city, place.zip FROM bids AS b",
        "SELECT b.* FROM bids AS b WHERE b.price > 1",
        "SELECT b.tags[1], (b.place).city FROM bids AS b",
        "SELECT c.total FROM (SELECT price * 2 AS total FROM bids) AS c WHERE c.total > 3",
        "SELECT total FROM (SELECT price * 2 FROM bids) AS c (total)",
        "SELECT \"price * 2\" FROM (SELECT price * 2 FROM bids)",
        "WITH a AS (SELECT price FROM bids), b (p) AS (SELECT price FROM a) SELECT p FROM b",
        "SELECT channel, sum(price) AS total FROM bids GROUP BY channel, tumble(interval '1 second') HAVING total > 3",
        "SELECT tumble(interval '1 second') AS w, count(*) FROM bids GROUP BY w HAVING count(*) > 1",
        "SELECT window.start, n FROM (SELECT tumble(interval '1 second') AS window, count(*) AS n FROM bids GROUP BY 1)",
        "CREATE VIEW v (a, b) AS SELECT price, place FROM bids; SELECT v.a, v.b.city, b.zip FROM v",
        "SELECT * FROM (SELECT auction, tumble(interval '1 second') AS window FROM bids GROUP BY 1, 2) AS a \
         LEFT JOIN (SELECT auction, tumble(interval '1 second') AS window, count(*) AS n FROM bids GROUP BY 1, 2) AS b \
         USING (auction, window) WHERE auction > 3 AND window.start < window.end AND b.auction IS NULL",
        "CREATE VIEW w AS SELECT auction, tumble(interval '1 second') AS window, count(*) AS n FROM bids GROUP BY 1, 2; \
         SELECT auction, (window).start, [auction, a.n][1], c.window['end'] FROM w AS a LEFT JOIN w AS b \
         USING (window, auction) JOIN w AS c ON c.window = a.window AND c.n = a.n",
    ] {
        if let Err(errors) = compile(&with_tables(sql)) {
            panic!("{sql}\n{}", messages(&errors));
        }
    }
}

#[test]
fn what_refers_to_a_broken_definition_is_no_error() {
    let sql = "CREATE VIEW v AS SELECT nope FROM bids; SELECT a, v.b, c.d FROM v; SELECT x FROM (SELECT y FROM v) AS w";
    let errors = compile(&with_tables(sql)).unwrap_err();
    assert_eq!(errors.len(), 2, "{}", messages(&errors));
    assert!(errors[1].message.contains("\"x\""), "{}", messages(&errors));
}

/// Cases whose errors have no remedy to tell.
const WITHOUT_HINT: &[&str] = &[];

#[test]
fn every_error_of_the_cases_has_a_hint() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sql/errors");
    let mut wrong = String::new();
    let mut count = 0;
    for case in fs::read_dir(&cases).unwrap() {
        let path = case.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // A case that has not been blessed yet.
        let Ok(text) = fs::read_to_string(path.join("message.txt")) else { continue };
        for message in text.split("\n\n").filter(|message| message.starts_with("error[")) {
            count += 1;
            if !message.contains("= help: ") && !WITHOUT_HINT.contains(&name.as_str()) {
                wrong.push_str(&format!("{name}: {}\n", message.lines().next().unwrap_or_default()));
            }
        }
    }
    assert!(count > 100, "{count} errors in {}", cases.display());
    assert!(wrong.is_empty(), "without a hint:\n{wrong}");
}
