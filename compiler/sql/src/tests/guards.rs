//! What can fail is evaluated where the query reaches it, and not before.

use super::*;

const IS_GUARDED: &str = "kernel:cast(channel) AS cast WHERE regex_match IS NOT FALSE";

#[test]
fn conditions_stay_in_the_order_of_the_query() {
    for (sql, expected) in [
        ("SELECT price FROM bids WHERE channel ~ '^[0-9]+$' AND CAST(channel AS INT) > 5", IS_GUARDED),
        (
            "CREATE VIEW digits AS SELECT * FROM bids WHERE channel ~ '^[0-9]+$';
             SELECT price FROM digits WHERE CAST(channel AS INT) > 5",
            IS_GUARDED,
        ),
        (
            "SELECT price FROM (SELECT price, channel FROM bids WHERE channel ~ '^[0-9]+$' UNION ALL
             SELECT price, url FROM bids WHERE url ~ '^[0-9]+$') AS digits WHERE CAST(channel AS INT) > 5",
            "kernel:cast(url) AS cast WHERE regex_match IS NOT FALSE",
        ),
        // The first condition is about the group, so the second may not go below it.
        (
            "SELECT channel FROM bids GROUP BY channel, tumble(interval '1 second')
             HAVING max(url) ~ '^[0-9]+$' AND CAST(channel AS INT) > 5",
            IS_GUARDED,
        ),
        // It may where it cannot fail.
        (
            "SELECT channel FROM bids GROUP BY channel, tumble(interval '1 second') HAVING max(url) ~ 'a' AND channel = 'b'",
            "filter %1: channel = 'b'",
        ),
        // So it is without a window.
        (
            "SELECT channel FROM bids GROUP BY channel HAVING max(url) ~ '^[0-9]+$' AND CAST(channel AS INT) > 5",
            IS_GUARDED,
        ),
        (
            "SELECT channel FROM bids GROUP BY channel HAVING max(url) ~ 'a' AND channel = 'b'",
            "filter %0: channel = 'b'",
        ),
    ] {
        let text = plan(sql);
        assert!(text.contains(expected), "{sql}\n{text}");
    }
}

/// Of a join, the condition of the pairs and what is asked above it.
const JOINED: &str = "SELECT a.auction FROM
 (SELECT auction, tumble(interval '1 second') AS window, count(*) AS n, max(channel) AS c FROM bids GROUP BY 1, 2) a JOIN
 (SELECT auction, tumble(interval '1 second') AS window, sum(price) AS total FROM bids GROUP BY 1, 2) b
 ON a.auction = b.auction AND a.window = b.window";

#[test]
fn rows_that_pair_with_none_are_asked_only_what_cannot_fail() {
    for (condition, moves) in [
        ("n > 1", true),
        ("(n > 1 OR c LIKE 'a%')", true),
        ("CAST(c AS INT) > 1", false),
        ("TRY_CAST(c AS INT) > 1", true),
        ("CAST(n AS DOUBLE) > 1.5", true),
        ("100 / total > 1", false),
        ("total IS NOT NULL", true),
        ("random() < 0.5", false),
        ("a.window.start < now()", false),
        ("n < total", false),
    ] {
        for join in [format!("{JOINED} AND {condition}"), format!("{JOINED} WHERE {condition}")] {
            let text = plan(&join);
            let asked = text.rfind("filter").filter(|place| *place < text.find("window_join").unwrap());
            assert_eq!(asked.is_some(), moves, "{join}\n{text}");
        }
    }
    // Nor is it asked before what guards it, though that moves.
    let text = plan(&format!("{JOINED} WHERE total > 0 AND 100 / total > 1 AND n > 1"));
    assert!(text.contains("filter %2: count > 1"), "{text}");
    assert!(text.contains(": sum_price > 0"), "{text}");
    assert!(text.find("window_join").unwrap() < text.find("100 / total").unwrap(), "{text}");
}

#[test]
fn operators_that_guard_are_not_rewritten() {
    for (condition, expected) in [
        (
            "(auction = 1 AND CAST(channel AS INT) > 5) OR (auction = 2 AND CAST(channel AS INT) > 5)",
            "kernel:cast(channel) AS cast WHERE auction = 1 IS NOT FALSE",
        ),
        (
            "CASE WHEN auction = 0 THEN false WHEN 100 / auction > 3 THEN true ELSE false END",
            "CASE WHEN auction = 0 THEN FALSE WHEN 100 / auction > 3 THEN TRUE ELSE FALSE END",
        ),
        (
            "CASE WHEN auction = 0 THEN 'none' WHEN 100 / auction > 3 THEN 'many' ELSE 'few' END = 'many'",
            "CASE WHEN auction = 0 THEN 'none' WHEN 100 / auction > 3 THEN 'many' ELSE 'few' END = 'many'",
        ),
        ("coalesce(rate > 1, CAST(channel AS BOOLEAN), url IS NULL)", "AS cast WHERE rate > 1.0 IS NULL"),
        // What is in them is simplified.
        ("auction <> 0 AND 100 / auction > 1 + 2", "100 / auction > 3"),
        // Nothing is guarded here.
        ("auction = 1 AND price > 2 OR auction = 1 AND price < -2", "auction = 1 AND (price > 2 OR price < -2)"),
        ("1 = 1 AND CAST(channel AS INT) > 5", "filter %1: cast > 5"),
    ] {
        let text = plan(&format!("SELECT price FROM bids WHERE {condition}"));
        assert!(text.contains(expected), "{condition}\n{text}");
    }
}

#[test]
fn chance_decides_about_groups_where_it_is_asked_of_groups() {
    let text = plan("SELECT auction FROM bids GROUP BY auction, tumble(interval '1 second') HAVING random() < 0.5");
    assert!(text.find("tumble").unwrap() < text.find("kernel:random()").unwrap(), "{text}");
}
