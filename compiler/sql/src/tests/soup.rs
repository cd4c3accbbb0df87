//! Any text at all gives a plan or diagnostics, and gives them.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const QUERIES: &[&str] = &[
    "SELECT auction, price * 2 FROM bids WHERE price > 100 AND channel LIKE 'Goo%'",
    "SELECT auction, tumble(interval '10 seconds') AS window, count(*) FROM bids GROUP BY auction, window HAVING count(*) > 3",
    "CREATE TABLE t (a INT, b TEXT GENERATED ALWAYS AS (upper('x')), ts TIMESTAMP, WATERMARK FOR ts AS ts - interval '1' second) WITH (connector = 'file', path = 'x')",
    "INSERT INTO totals SELECT bid.auction, CASE WHEN bid.price > 3 THEN 1 ELSE NULL END FROM nexmark",
    "CREATE VIEW v AS WITH c AS (SELECT tags[1] AS tag, place.city FROM bids) SELECT tag, city FROM c UNION ALL SELECT url, channel FROM bids",
    "SET updating_ttl = interval '1 hour'; SELECT channel, sum(price), max(url) FILTER (WHERE rate > 1) FROM bids GROUP BY channel HAVING count(*) > 3",
    "SELECT data -> 'a' ->> 'b', CAST(amount AS DOUBLE), x'00', -price % 3, NOT true IS NULL, substr(url, 1, 2) FROM bids",
];

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "HAVING",
    "bids",
    "nexmark",
    "totals",
    "auction",
    "price",
    "channel",
    "data",
    "tags",
    "place",
    "place.city",
    "bid.price",
    "ts",
    "day",
    "amount",
    "rate",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    "*",
    "+",
    "-",
    "/",
    "%",
    "=",
    "<",
    ">",
    "<>",
    "||",
    "->",
    "->>",
    "?",
    "~",
    "::",
    ".",
    "'a'",
    "''",
    "1",
    "0",
    "-1",
    "1.5",
    "1e400",
    "9223372036854775807",
    "99999999999999999999",
    "NULL",
    "true",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "IS",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "AS",
    "INT",
    "TEXT",
    "TIMESTAMP",
    "interval",
    "'1 second'",
    "'1 month'",
    "tumble",
    "hop",
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "DISTINCT",
    "FILTER",
    "upper",
    "coalesce",
    "make_array",
    "struct",
    "date_trunc",
    "'day'",
    "row_time",
    "now",
    "random",
    "UNION",
    "ALL",
    "JOIN",
    "ON",
    "WITH",
    "INSERT",
    "INTO",
    "CREATE",
    "TABLE",
    "VIEW",
    "t",
    "WATERMARK",
    "FOR",
    "METADATA",
    "GENERATED",
    "ALWAYS",
    "connector",
    "'file'",
    "path",
    "\"",
    "'",
    "--",
    "/*",
    "*/",
    "\\",
    "$1",
    "@x",
    "é",
    "\u{0}",
    "\n",
    "{",
    "}",
    ":",
    "#",
    "LIMIT",
    "ORDER",
    "OVER",
    "window",
    "window.start",
    "EXPLAIN",
    "VALUES",
    "LATERAL",
    "unnest",
    "EXISTS",
];

/// Both outcomes are right; a panic is not.
fn survives(sql: &str) {
    let _ = compile(sql);
    let _ = compile(&with_tables(sql));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(sql in "\\PC{0,80}") {
        survives(&sql);
    }

    #[test]
    fn any_words_are_answered(words in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        survives(&words.join(" "));
    }

    #[test]
    fn any_expression_is_answered(words in prop::collection::vec(prop::sample::select(WORDS), 1..8)) {
        survives(&format!("SELECT {} FROM bids", words.join(" ")));
    }

    #[test]
    fn a_broken_query_is_answered(
        query in prop::sample::select(QUERIES),
        at in any::<prop::sample::Index>(),
        len in 0usize..12,
        words in prop::collection::vec(prop::sample::select(WORDS), 0..4),
    ) {
        let chars: Vec<char> = query.chars().collect();
        let at = at.index(chars.len());
        let rest: String = chars.iter().skip(at + len).collect();
        let head: String = chars.iter().take(at).collect();
        survives(&format!("{head} {} {rest}", words.join(" ")));
    }
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow() {
    let n = 20_000;
    for sql in [
        format!("SELECT {}1{} FROM bids", "(".repeat(n), ")".repeat(n)),
        format!("SELECT {}1 FROM bids", "1 + ".repeat(n)),
        format!("SELECT price FROM bids WHERE {}true", "NOT ".repeat(n)),
        format!("SELECT price FROM bids WHERE {}true", "price = 1 OR ".repeat(n)),
        format!("{}SELECT price FROM bids", "SELECT price FROM bids UNION ALL ".repeat(n)),
        format!("SELECT {}1{} FROM bids", "abs(".repeat(n), ")".repeat(n)),
        format!("SELECT price FROM {}bids{}", "(SELECT * FROM ".repeat(n), ")".repeat(n)),
        format!("SELECT {}1{} FROM bids", "CASE WHEN true THEN ".repeat(n), " END".repeat(n)),
        format!("SELECT tags{} FROM bids", "[1]".repeat(n)),
        format!("SELECT price{} FROM bids", "::text".repeat(n)),
        format!("CREATE TABLE t (a INT{}) WITH (connector = 'file', path = 'x')", "[]".repeat(n)),
        format!("CREATE TABLE t (a {}INT{})", "STRUCT<a ".repeat(n), ">".repeat(n)),
    ] {
        let errors = compile(&with_tables(&sql)).expect_err("too deep");
        // Where the parser tries alternatives, it reports the last one that failed, not the depth.
        assert!(errors.iter().any(|error| ["E0100", "E0101"].contains(&error.code)), "{}", messages(&errors));
    }
}

#[test]
fn what_the_limit_allows_compiles() {
    let n = 150;
    let sql = format!("SELECT price FROM bids WHERE {}true", "price = 1 OR channel LIKE '%a_' OR ".repeat(n));
    assert!(compile(&with_tables(&sql)).is_ok());
    let sql = format!("{}SELECT price FROM bids", "SELECT price FROM bids UNION ALL ".repeat(n));
    assert!(compile(&with_tables(&sql)).is_ok());
}

#[test]
fn ordinary_nesting_compiles() {
    let n = 100;
    for sql in [
        format!("SELECT {}price{} + 1 FROM bids", "(".repeat(n), ")".repeat(n)),
        format!("SELECT {}price{} AS p FROM bids", "abs(".repeat(n), ")".repeat(n)),
        nested("SELECT price + 1 AS price FROM (", "SELECT price FROM bids", ")", 20),
        format!("SELECT {} AS p FROM bids", nested("CASE WHEN price = 1 THEN 1 ELSE ", "0", " END", 60)),
        format!("SELECT {} AS p FROM bids", nested("coalesce(", "channel", ", url)", 6)),
        format!("SELECT {} AS p FROM bids", nested("coalesce(channel, ", "url", ")", 40)),
        format!("SELECT price FROM bids WHERE {}true", "(price = 1 AND channel = 'x' AND rate > 2) OR ".repeat(300)),
        format!("SELECT price FROM bids WHERE price IN ({})", numbers(5_000)),
    ] {
        let answer = answered(&with_tables(&sql));
        assert!(answer.is_ok(), "{}\n{}", start(&sql), messages(&answer.unwrap_err()));
    }
}

/// Each level of these doubles what there is to do, if nothing stops it.
#[test]
fn every_nesting_is_answered() {
    for n in [10, 20, 30, 45, 60] {
        let (open, close) = ("(".repeat(n), ")".repeat(n));
        for sql in [
            // Mistakes that the parser meets on many ways.
            format!("SELECT price FROM {open} bids"),
            format!("SELECT price FROM {open} bids {close}"),
            nested("SELECT * FROM ((", "SELECT x y z FROM bids", "))", n),
            format!("SELECT {} FROM bids", nested("cast(", "1", ")", n)),
            format!("SELECT {} FROM bids", nested("trim(", "1 2", ")", n)),
            format!("SELECT {} FROM bids", nested("CASE WHEN ", "1 2", " THEN 1 END", n)),
            format!("SELECT {} FROM bids", nested("position(", "channel", ", 'b')", n)),
            format!("SELECT {}1 FROM bids", "interval ".repeat(n)),
            format!("SELECT a{}.( FROM bids", ".a".repeat(n)),
            format!("SELECT {} FROM bids", nested("price IN ((SELECT * FROM bids WHERE ", "x y z", "))", n)),
            format!("SELECT {} FROM bids", "[".repeat(n)),
            format!("{} x", "EXPLAIN ".repeat(n)),
            format!("SELECT CAST(price AS {} FROM bids", "STRUCT<a ".repeat(n)),
            format!("DELETE FROM bids WHERE {}true", "price = 1 OR ".repeat(n)),
            // Operands that are written several times.
            format!("SELECT {} AS x FROM bids", nested("(", "price > 1", " BETWEEN false AND true)", n)),
            format!("SELECT {} AS x FROM bids", nested("(", "price > 1", " NOT BETWEEN false AND true)", n)),
            format!("SELECT {} AS x FROM bids", nested("CASE ", "price", " WHEN 1 THEN 2 WHEN 3 THEN 4 ELSE 5 END", n)),
            format!(
                "SELECT {} AS x FROM bids",
                nested("CASE WHEN ", "price > 1", " THEN rate > 1 ELSE rate > 2 END", n)
            ),
            format!("SELECT {} AS x FROM bids", nested("(", "price > 1", " IN (rate > 1, rate > 2))", n)),
            format!("SELECT {} AS x FROM bids", nested("coalesce(", "channel", ", url)", n)),
            format!("SELECT {} AS x FROM bids", nested("coalesce(", "price > 1", ", rate > 1)", n)),
            format!("SELECT {} AS x FROM bids", nested("abs(CASE WHEN price > 1 THEN ", "price", " ELSE 1 END)", n)),
            format!("SELECT {} AS x FROM bids", nested("CASE WHEN abs(", "price", ") = 1 THEN price END", n)),
            format!("SELECT {} AS x FROM bids", nested("array_has([price, bidder], ", "price", ")::int::bigint", n)),
            format!("SELECT {} AS x FROM bids", nested("nullif(greatest(", "price", ", 1), 2)", n)),
            // What stands for columns.
            nested("SELECT a + a AS a FROM (", "SELECT price AS a FROM bids", ")", n) + " WHERE a > 1",
            nested("SELECT coalesce(a, b) AS a, b FROM (", "SELECT channel AS a, url AS b FROM bids", ")", n)
                + " WHERE a LIKE 'x%'",
            // Constants.
            format!("SELECT {} AS x FROM bids", nested("encode(", "'x'", ", 'hex')", n)),
            format!("SELECT {} AS x FROM bids", nested("replace(", "'xxxx'", ", 'x', 'xxxx')", n)),
            format!("SELECT {} AS x FROM bids", nested("repeat(", "'x'", ", 1000)", n)),
            format!("SELECT {} AS x FROM bids", nested("array_repeat(", "1", ", 1000)", n)),
        ] {
            told(&with_tables(&sql));
        }
    }
}

#[test]
fn every_chain_of_relations_is_answered() {
    for n in [8, 20, 40, 60] {
        let doubled = |name: &str, of: &dyn Fn(usize, String) -> String| -> String {
            let twice = |i: usize| format!("SELECT * FROM {name}{i} UNION ALL SELECT * FROM {name}{i}");
            let levels = (1..=n).map(|i| of(i, twice(i - 1)));
            std::iter::once(of(0, "SELECT price FROM bids".to_owned())).chain(levels).collect()
        };
        let views = doubled("v", &|i, query| format!("CREATE VIEW v{i} AS {query}; "));
        told(&with_tables(&format!("{views} SELECT * FROM v{n}")));
        let ctes = doubled("c", &|i, query| format!("{} c{i} AS ({query}) ", if i == 0 { "WITH" } else { "," }));
        told(&with_tables(&format!("{ctes} SELECT * FROM c{n}")));
        let memory = doubled("m", &|i, query| format!("CREATE TABLE m{i} (price BIGINT); INSERT INTO m{i} {query}; "));
        told(&with_tables(&format!("{memory} SELECT * FROM m{n}")));
        let chain: String =
            (1..=n).map(|i| format!("CREATE VIEW w{i} AS SELECT a + a AS a FROM w{} WHERE a > {i}; ", i - 1)).collect();
        let chain = format!("CREATE VIEW w0 AS SELECT price AS a FROM bids; {chain} SELECT a FROM w{n} WHERE a > 1");
        told(&with_tables(&chain));
    }
    // Not bound any more: the chain is refused where it gets too long.
    let chain: String = (1..5_000).map(|i| format!("CREATE VIEW v{i} AS SELECT * FROM v{}; ", i - 1)).collect();
    let errors = parse(&format!("CREATE VIEW v0 AS SELECT 1; {chain}")).unwrap_err();
    assert!(errors.iter().all(|error| error.code == "E0101" && error.span.is_some()), "{}", messages(&errors));
    assert!(errors.len() < 10, "{}", messages(&errors));
}

#[test]
fn what_is_too_large_is_told_where_it_is() {
    for (sql, line, column, message) in [
        ("SELECT price FROM bids WHERE\n (price > 1", 2, 2, "syntax error: \"(\" is never closed"),
        ("SELECT tags[1 FROM bids", 1, 12, "syntax error: \"[\" is never closed"),
        ("SELECT SELEC FROM (bids", 1, 19, "syntax error: \"(\" is never closed"),
    ] {
        let errors = parse(sql).unwrap_err();
        let start = errors[0].span.unwrap().start;
        assert_eq!((start.line, start.column, errors[0].message.as_str()), (line, column, message), "{sql}");
    }
    let deep = format!("SELECT price, {} FROM bids", nested("(", "price > 1", " BETWEEN false AND true)", 40));
    let errors = parse(&deep).unwrap_err();
    assert_eq!((errors.len(), errors[0].code), (1, "E0101"), "{}", messages(&errors));
    assert!(errors[0].span.is_some() && errors[0].message.contains("too complex"), "{}", messages(&errors));
}

#[test]
fn large_constants_are_not_computed_when_planning() {
    for call in [
        "range(0, 1000000000)",
        "range(1000000000)",
        "generate_series(1, 9000000000000000000)",
        "repeat('xy', 2147483647)",
        "lpad('x', 2000000000)",
        "rpad('x', 2000000000, 'y')",
        "array_repeat(1, 1000000000)",
        "array_resize([1], 1000000000, 2)",
    ] {
        let errors = answered(&with_tables(&format!("SELECT {call} AS x FROM bids"))).expect_err(call);
        assert!(errors[0].message.contains("is too large") && errors[0].span.is_some(), "{}", messages(&errors));
    }
    for call in [
        "range(0, 100000)",
        "range(0, 10 * 1000 * 1000)",
        "repeat('x', 100000)",
        "repeat('x', 1000 * 1000 * 1000)",
        "array_repeat(1, 50000)",
        "lpad('x', 1000 * 1000 * 1000)",
    ] {
        let plan = answered(&with_tables(&format!("SELECT {call} AS x FROM bids")));
        let text = compiler_ir::print::plan(&plan.unwrap_or_else(|errors| panic!("{call}\n{}", messages(&errors))));
        assert!(text.contains("kernel:") && text.len() < 2_000, "{text}");
    }
    // What is small is a constant, and what is made of it.
    let text = plan("SELECT repeat('xy', 2) || lpad('a', 3, 'b') AS x, range(1, 4) AS y FROM bids");
    assert!(text.contains("'xyxybba'") && text.contains("[1, 2, 3]"), "{text}");
    let text = plan("SELECT array_length(range(0, 100000)) AS x, length(repeat('x', 70000)) AS y FROM bids");
    assert!(text.contains("100000") && text.contains("70000") && !text.contains("kernel:"), "{text}");
}

#[test]
fn a_mistake_behind_a_semicolon_is_passed_over() {
    for sql in ["SELECT 1;FROM x", "SELECT 1;;)", ";;;(", "SELECT 1;(", ";FROM x;FROM y"] {
        assert!(answered(sql).is_err(), "{sql}");
    }
}

fn nested(open: &str, core: &str, close: &str, n: usize) -> String {
    format!("{}{core}{}", open.repeat(n), close.repeat(n))
}

fn numbers(n: usize) -> String {
    (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
}

fn start(sql: &str) -> String {
    sql.chars().take(400).collect()
}

/// The answer, which has to come; how soon is not what this is about.
fn answered(sql: &str) -> Result<compiler_ir::Plan, Vec<Diagnostic>> {
    let (sender, receiver) = mpsc::channel();
    let script = sql.to_owned();
    thread::spawn(move || sender.send(compile(&script)).is_ok());
    let deadline = Duration::from_secs(if cfg!(debug_assertions) { 120 } else { 20 });
    let answer = receiver.recv_timeout(deadline);
    answer.unwrap_or_else(|_| panic!("no answer: {} ...", start(sql.trim_start_matches(TABLES))))
}

/// Both outcomes are right; none, and a bug, are not.
fn told(sql: &str) {
    if let Err(errors) = answered(sql) {
        let bug = errors.iter().any(|error| error.code == "E0001");
        assert!(!bug, "{}\n{}", start(sql.trim_start_matches(TABLES)), messages(&errors));
    }
}
