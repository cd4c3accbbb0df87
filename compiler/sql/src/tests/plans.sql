SELECT auction, price * 2 FROM bids WHERE price > 100 AND channel LIKE 'Goo%'
SELECT bid.price FROM nexmark WHERE bid IS NOT NULL
SELECT auction, tumble(interval '10 seconds') as window, count(*) AS n, sum(price) FILTER (WHERE upper(channel) = 'A') FROM bids GROUP BY auction, window HAVING count(*) > 3
SELECT window.end AS e, n FROM (SELECT auction, tumble(interval '1' minute) as window, count(*) AS n, avg(price) FROM bids GROUP BY 1, 2) WHERE n > 5 and auction = 7
SELECT upper(channel), coalesce(channel, lower(url), 'x'), CASE WHEN price > 3 THEN substr(url, 2) ELSE regexp_replace(url, 'a', 'b') END FROM bids WHERE upper(channel) <> 'Q'
INSERT INTO totals SELECT auction, price FROM bids; INSERT INTO totals SELECT bid.auction, bid.price FROM nexmark
SELECT * FROM bids
SELECT data ->> 'a', data -> 'b', tags[1], place.city, amount + 1, day + interval '1 month', ts + interval '1 day', extract(year from day), now() FROM bids
CREATE TABLE mem (a BIGINT, t TEXT); INSERT INTO mem SELECT price, channel FROM bids; SELECT a FROM mem; SELECT t FROM mem
SELECT price FROM bids UNION ALL SELECT bid.price FROM nexmark
SELECT 1 FROM bids
SELECT row_time(), price FROM bids
SELECT bid.auction, count(DISTINCT bid.bidder), max(bid.price), min(bid.channel) FROM nexmark GROUP BY bid.auction, tumble(interval '10 seconds')
SELECT price FROM bids WHERE price IN (1,2,3,4,5) AND channel NOT IN ('a', NULL) OR price BETWEEN 3 AND 9
SELECT channel || '-' || url, channel ~ 'a.*', url ILIKE '%x', channel SIMILAR TO 'a%' FROM bids
SELECT CAST(price AS TEXT), TRY_CAST(channel AS INT), price::double, CAST(ts AS DATE), arrow_cast(price, 'Int32') FROM bids
SELECT date_trunc('hour', ts), date_part('hour', ts), to_timestamp(price), from_unixtime(price), date_bin(interval '5 minutes', ts) FROM bids
SELECT random(), random(), uuid() FROM bids
WITH x AS (SELECT price AS p, channel FROM bids WHERE price > 3), y AS (SELECT p * 2 AS q FROM x) SELECT q FROM y UNION ALL SELECT p FROM x
CREATE TABLE v (a INT UNSIGNED, b STRUCT<x BIGINT, y STRUCT<z TEXT>>, c TEXT[], d ARRAY<INT>, e BIGINT GENERATED ALWAYS AS (a * 2) STORED, f TEXT METADATA FROM 'file_name', t TIMESTAMP GENERATED ALWAYS AS (to_timestamp(a)), WATERMARK FOR t) WITH (connector = 'file', 'path' = '/x', type = 'source', idle_micros = 0); SELECT b.y.z, e, f, count(*) FROM v GROUP BY 1, 2, 3, tumble(interval '1 day')
SELECT tumble(interval '1 second').start FROM bids GROUP BY tumble(interval '1 second')
SELECT multi_hash(price, channel), md5(channel), sha256(channel), greatest(price, 3), nullif(price, 3), nvl(channel, 'x') FROM bids
SELECT price FROM bids WHERE channel LIKE 'a' ESCAPE 'x'
SELECT 99999999999999999999999999999999999999999999 FROM bids
SELECT 1/0 FROM bids
SELECT count(*) FILTER (WHERE price) FROM bids GROUP BY tumble(interval '1 second')
SELECT tags[price] , CASE WHEN price THEN 1 END FROM bids
SELECT [1,2], make_array(price), struct(price), named_struct('x', price), ARRAY[1, 2] FROM bids
SELECT price % 3, -rate, NOT price > 3, price & 3, rate IS DISTINCT FROM 3, channel IS NOT NULL, CASE channel WHEN 'a' THEN 1 WHEN 'b' THEN 2 END FROM bids
SELECT CASE WHEN price > 0 AND lower(channel) = 'x' THEN reverse(url) END, tags = ['a'], [1, 2][1], upper(lower(channel)) FROM bids
INSERT INTO totals (total, auction) SELECT price, auction FROM bids
CREATE TABLE s WITH (connector = 'file', path = '/s', type = 'sink'); INSERT INTO s SELECT data, price AS p FROM bids
CREATE VIEW v (a, b) AS SELECT auction, price FROM bids; SELECT a FROM v WHERE b > 3; SELECT a, b FROM v WHERE b > 3
SELECT place, place.zip + 1 AS zip FROM bids WHERE place IS NOT NULL
SELECT ts - ts, ts > TIMESTAMP '2024-01-01 00:00:00', day > '2024-02-03', ts - interval '90 minutes' FROM bids
SELECT a.auction, window.start, n, total FROM (SELECT auction, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2) a JOIN (SELECT auction, tumble(interval '10 seconds') AS window, sum(price) AS total FROM bids GROUP BY 1, 2) b USING (auction, window)
SELECT auction, window.end, n, total FROM (SELECT auction, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2) a FULL JOIN (SELECT auction, tumble(interval '10 seconds') AS window, sum(price) AS total FROM bids GROUP BY 1, 2) b USING (auction, window)
SELECT a.auction, n, total FROM (SELECT auction, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2) a LEFT JOIN (SELECT auction, tumble(interval '10 seconds') AS window, sum(price) AS total FROM bids GROUP BY 1, 2) b ON a.auction = b.auction AND a.window.start = b.window.start AND n < total WHERE n > 1
SELECT auction, count(*) AS n, sum(price) FROM bids WHERE price > 3 GROUP BY auction HAVING count(*) > 1
SELECT auction FROM (SELECT auction, count(*) AS n, max(price) AS high FROM bids GROUP BY auction) WHERE n > 1 AND auction = 7
SET updating_ttl = interval '90 minutes'; CREATE TABLE s (n BIGINT) WITH (connector = 'file', path = '/s', type = 'sink', format = 'debezium_json'); INSERT INTO s SELECT count(*) FROM bids
SELECT upper(channel) AS c, length(upper(channel)) FROM bids GROUP BY upper(channel)
SELECT n, total FROM (SELECT auction, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2) a JOIN (SELECT auction, tumble(interval '10 seconds') AS window, sum(price) AS total FROM bids GROUP BY 1, 2) b ON a.auction = b.auction AND a.window = b.window AND n > 1 AND total <> n WHERE total < 9 AND a.auction = 7 AND total > n
SELECT n, total FROM (SELECT auction, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2) a LEFT JOIN (SELECT auction, tumble(interval '10 seconds') AS window, sum(price) AS total FROM bids GROUP BY 1, 2) b ON a.auction = b.auction AND a.window = b.window AND n > 1 AND b.auction > 2 AND total < 9 WHERE a.auction < 7 AND n > 3 AND total > 5
SELECT n, total FROM (SELECT auction, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2) a RIGHT JOIN (SELECT auction, tumble(interval '10 seconds') AS window, sum(price) AS total FROM bids GROUP BY 1, 2) b ON a.auction = b.auction AND a.window = b.window AND n > 1 AND total < 9 WHERE n > 3 AND total > 5
SELECT n, total FROM (SELECT auction, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2) a FULL JOIN (SELECT auction, tumble(interval '10 seconds') AS window, sum(price) AS total FROM bids GROUP BY 1, 2) b ON a.auction = b.auction AND a.window = b.window AND n > 1 AND total < 9 WHERE n > 3 AND total > 5
