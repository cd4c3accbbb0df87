//! Any text at all gives a plan or diagnostics.

use proptest::prelude::*;

use super::*;

const QUERIES: &[&str] = &[
    "SELECT auction, price * 2 FROM bids WHERE price > 100 AND channel LIKE 'Goo%'",
    "SELECT auction, tumble(interval '10 seconds') AS window, count(*) FROM bids GROUP BY auction, window HAVING count(*) > 3",
    "CREATE TABLE t (a INT, b TEXT GENERATED ALWAYS AS (upper('x')), ts TIMESTAMP, WATERMARK FOR ts AS ts - interval '1' second) WITH (connector = 'file', path = 'x')",
    "INSERT INTO totals SELECT bid.auction, CASE WHEN bid.price > 3 THEN 1 ELSE NULL END FROM nexmark",
    "CREATE VIEW v AS WITH c AS (SELECT tags[1] AS tag, place.city FROM bids) SELECT tag, city FROM c UNION ALL SELECT url, channel FROM bids",
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
