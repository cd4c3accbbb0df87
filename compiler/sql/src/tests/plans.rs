//! What queries are lowered to.

use super::*;

#[test]
fn show() {
    for sql in [
        "SELECT auction, price * 2 FROM bids WHERE price > 100 AND channel LIKE 'Goo%'",
        "SELECT bid.price FROM nexmark WHERE bid IS NOT NULL",
        "SELECT auction, count(*), sum(price) AS total, window.start FROM (SELECT auction, price, tumble(interval '10 seconds') as window FROM bids) GROUP BY auction, window",
        "SELECT auction, tumble(interval '10 seconds') as window, count(*) AS n, sum(price) FILTER (WHERE upper(channel) = 'A') FROM bids GROUP BY auction, window HAVING count(*) > 3",
        "SELECT window.end AS e, n FROM (SELECT auction, tumble(interval '1' minute) as window, count(*) AS n, avg(price) FROM bids GROUP BY 1, 2) WHERE n > 5 and auction = 7",
        "SELECT upper(channel), coalesce(channel, lower(url), 'x'), CASE WHEN price > 3 THEN substr(url, 2) ELSE regexp_replace(url, 'a', 'b') END FROM bids WHERE upper(channel) <> 'Q'",
        "INSERT INTO totals SELECT auction, price FROM bids; INSERT INTO totals SELECT bid.auction, bid.price FROM nexmark",
        "SELECT * FROM bids",
        "SELECT data ->> 'a', data -> 'b', tags[1], place.city, amount + 1, day + interval '1 month', ts + interval '1 day', extract(year from day), now() FROM bids",
        "CREATE TABLE mem (a BIGINT, t TEXT); INSERT INTO mem SELECT price, channel FROM bids; SELECT a FROM mem; SELECT t FROM mem",
        "SELECT price FROM bids UNION ALL SELECT bid.price FROM nexmark",
        "SELECT 1 FROM bids",
        "SELECT row_time(), price FROM nexmark, (select 1)",
    ] {
        match compile(&with_tables(sql)) {
            Ok(plan) => println!("--- {sql}\n{}", compiler_ir::print::plan(&plan)),
            Err(errors) => println!("--- {sql}\n{}", messages(&errors)),
        }
    }
}
