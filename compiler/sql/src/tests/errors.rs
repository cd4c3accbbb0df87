//! Wrong scripts, and all that is said about them.
//!
//! `errors.sql` holds one script a line, over the tables of [`TABLES`]; `errors.txt` each with its messages. Lines
//! count from the tables: the script is on the first line behind them.

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
