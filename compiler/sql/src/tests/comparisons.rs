//! Text compared with numbers.

use super::*;

#[test]
fn numbers_beside_text_are_text() {
    for (condition, expected) in [
        ("channel = 123", "channel = '123'"),
        ("123 <> channel", "channel <> '123'"),
        ("channel >= 1 + 1", "channel >= '2'"),
        ("channel < -5", "channel < '-5'"),
        ("channel BETWEEN 1 AND 20", "channel >= '1' AND channel <= '20'"),
        ("channel IN (1, 2, 3, 4, 'x')", "channel IN ('1', '2', '3', '4', 'x')"),
        ("upper(channel) IS DISTINCT FROM 7", "'7'"),
        ("CASE channel WHEN 5 THEN true ELSE false END", "channel = '5'"),
        // The constant is the text here, as in PostgreSQL.
        ("price = '5'", "price = 5"),
    ] {
        let text = plan(&format!("SELECT price FROM bids WHERE {condition}"));
        assert!(text.contains(expected), "{condition}\n{text}");
    }
}

#[test]
fn text_and_a_number_of_the_row_are_not_compared() {
    for (condition, operation) in [
        ("channel = price", "TEXT = BIGINT"),
        ("price <= channel", "BIGINT <= TEXT"),
        ("channel IN ('1', price)", "TEXT = BIGINT"),
        ("channel BETWEEN 1 AND rate", "TEXT >= DOUBLE"),
        ("price BETWEEN '1' AND channel", "BIGINT >= TEXT"),
    ] {
        let sql = format!("SELECT price FROM bids WHERE {condition}");
        let errors = compile(&with_tables(&sql)).expect_err(condition);
        let told = messages(&errors);
        assert!(told.contains(&format!("operator does not exist: {operation}")), "{condition}\n{told}");
        assert!(errors.iter().all(|error| error.span.is_some()), "{condition}\n{told}");
    }
}

#[test]
fn any_escape_character_becomes_a_backslash() {
    for (condition, expected) in [
        ("channel LIKE '10!%' ESCAPE '!'", "like(channel, '10\\%')"),
        ("channel NOT LIKE '!!_!_%' ESCAPE '!'", "not_like(channel, '!_\\_%')"),
        ("channel ILIKE 'a\\x%%' ESCAPE 'x'", "ilike(channel, 'a\\\\\\%%')"),
        ("channel LIKE url ESCAPE '!'", "like(channel, url, '!')"),
    ] {
        let text = plan(&format!("SELECT price FROM bids WHERE {condition}"));
        assert!(text.contains(expected), "{condition}\n{text}");
    }
}

#[test]
fn an_item_of_a_list_stands_once() {
    for (condition, expected) in [
        ("price IN (1, 2, 2, 3, 4, 4, 1)", "price IN (1, 2, 3, 4)"),
        ("price NOT IN (1, 2, 2, 3, 4)", "price NOT IN (1, 2, 3, 4)"),
        ("abs(price) IN (7, 7)", "abs(price) IN (7)"),
        ("channel IN ('a', 'b', 'a', 'c', 'd')", "channel IN ('a', 'b', 'c', 'd')"),
    ] {
        let text = plan(&format!("SELECT price FROM bids WHERE {condition}"));
        assert!(text.contains(expected), "{condition}\n{text}");
    }
}
