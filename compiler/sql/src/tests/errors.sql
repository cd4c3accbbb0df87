SELECT auciton FROM bids
SELECT auction FROM bid
SELECT uper(channel) FROM bids
SELECT auction FORM bids
SELECT (1 + FROM bids
SELECT channel + 1 FROM bids
SELECT sqrt(channel) FROM bids WHERE price
SELECT price FROM bids WHERE channel
SELECT auction, count(*) FROM bids GROUP BY price
SELECT auction, count(*) FROM bids
SELECT price, count(*) FROM bids GROUP BY tumble(interval '10 seconds')
SELECT tumble(interval '10 seconds') FROM bids
SELECT auction FROM bids WHERE tumble(interval '10 seconds') IS NULL
SELECT count(*) FROM bids GROUP BY tumble(interval '1 month')
SELECT count(*) FROM bids GROUP BY tumble(interval '0 seconds')
SELECT count(*) FROM bids GROUP BY tumble(price)
SELECT count(*) FROM bids GROUP BY tumble('x')
SELECT count(*) FROM bids GROUP BY tumble(interval '1 second', interval '2 seconds')
SELECT count(*) FROM bids GROUP BY hop(interval '1 second', interval '2 seconds')
SELECT count(*) FROM bids GROUP BY session(interval '1 second')
SELECT count(*) FROM bids GROUP BY tumble(interval '1 second'), tumble(interval '2 seconds')
SELECT median(price) FROM bids GROUP BY tumble(interval '1 second')
SELECT sum(DISTINCT price) FROM bids GROUP BY tumble(interval '1 second')
SELECT sum(channel) FROM bids GROUP BY tumble(interval '1 second')
SELECT sum(*) FROM bids GROUP BY tumble(interval '1 second')
SELECT price FROM bids WHERE sum(price) > 3
SELECT row_number() OVER (PARTITION BY auction) FROM bids
SELECT DISTINCT auction FROM bids
SELECT auction FROM bids ORDER BY auction LIMIT 3
SELECT a.price FROM bids a JOIN bids b ON a.auction = b.auction
SELECT a.price FROM bids a LEFT JOIN bids b ON a.auction = b.auction, bids c
SELECT price FROM bids UNION SELECT price FROM bids
SELECT price FROM bids EXCEPT SELECT price FROM bids
SELECT price FROM bids UNION ALL SELECT price, auction FROM bids
SELECT price FROM bids WHERE auction IN (SELECT auction FROM totals)
SELECT price FROM bids WHERE EXISTS (SELECT 1 FROM bids)
SELECT (SELECT 1 FROM bids) FROM bids
SELECT unnest(tags) FROM bids
WITH RECURSIVE r AS (SELECT 1) SELECT * FROM r
SELECT 1
VALUES (1), (2)
SELECT bid.prize FROM nexmark
SELECT bid.price.x FROM nexmark
SELECT foo.price FROM bids
SELECT price AS a, auction AS a FROM bids
SELECT *, price FROM bids
SELECT CAST(price AS UUID) FROM bids
SELECT price FROM bids WHERE ts > 'abc'
SELECT price FROM bids WHERE price = 'abc'
SELECT substr(channel) FROM bids
SELECT $1 FROM bids
SELECT price FROM a.b.bids
INSERT INTO totals SELECT auction FROM bids
INSERT INTO totals SELECT auction, price, bidder FROM bids
INSERT INTO totals SELECT auction, channel FROM bids
INSERT INTO total SELECT auction, price FROM bids
INSERT INTO totals (auction, totl) SELECT auction, price FROM bids
INSERT INTO bids SELECT * FROM bids
SELECT * FROM totals
INSERT INTO totals VALUES (1, 2)
DELETE FROM bids
UPDATE bids SET price = 1
EXPLAIN SELECT 1
CREATE INDEX i ON bids (price)
DROP TABLE bids
SET x = 1
SET updating_ttl = interval '1 day'
CREATE TABLE t (a INT) WITH (connector = 'kafak')
CREATE TABLE t (a INT) WITH (connector = 'file', paht = '/x')
CREATE TABLE t (a INT) WITH (connector = 'file', path = '/x', rows = 'many', evnt_time_field = 'a')
CREATE TABLE t (a INT) WITH (connector = 'file', path = '/x', evnt_time_field = 'a')
CREATE TABLE t (a INT, a TEXT) WITH (connector = 'file', path = '/x')
CREATE TABLE t (a UUID, b TIMESTAMP(4)) WITH (connector = 'file', path = '/x')
CREATE TABLE t (a INT, WATERMARK FOR a) WITH (connector = 'file', path = '/x')
CREATE TABLE t (a TIMESTAMP, WATERMARK FOR b) WITH (connector = 'file', path = '/x')
CREATE TABLE t (a TIMESTAMP, WATERMARK FOR a AS 1) WITH (connector = 'file', path = '/x')
CREATE TABLE t (a TIMESTAMP, WATERMARK FOR a, WATERMARK FOR a) WITH (connector = 'file', path = '/x')
CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (c + 1)) WITH (connector = 'file', path = '/x')
CREATE TABLE t (a INT METADATA FROM 'file_name') WITH (connector = 'file', path = '/x')
CREATE TABLE t (a TEXT METADATA FROM 'file_nam') WITH (connector = 'file', path = '/x')
CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (sum(a))) WITH (connector = 'file', path = '/x')
CREATE TABLE t (a INT) WITH (connector = 'file', path = '/x', type = 'sinc')
CREATE TABLE t (a INT) WITH (path = '/x')
CREATE TABLE t
CREATE TABLE t (a INT); SELECT * FROM t
CREATE TABLE t (a BIGINT); INSERT INTO t SELECT price FROM bids; INSERT INTO t SELECT price FROM bids
CREATE VIEW bids AS SELECT 1 AS x FROM nexmark
CREATE VIEW v (a, b) AS SELECT price FROM bids; SELECT * FROM v
CREATE VIEW v AS SELECT nope FROM bids; SELECT * FROM v; SELECT nope2 FROM bids
CREATE VIEW v AS SELECT price FROM bids
SELECT count(*) FROM (SELECT auction, count(*) AS n FROM bids GROUP BY auction)
SELECT sum(n) FROM (SELECT count(*) AS n FROM bids GROUP BY tumble(interval '1 second')) GROUP BY tumble(interval '1 minute')
SELECT nope1, nope2, price FROM bids WHERE nope3 > 1
SELECT foo(1), bar(2) FROM baz
SELECT sum(count(*)) FROM bids GROUP BY tumble(interval '1 second')
SELECT interval '1 parsec' FROM bids
SELECT 'abc FROM bids
SELECT date_part(channel, ts) FROM bids
SELECT array_transform(tags, x -> x) FROM bids
SELECT CAST('x' AS INT) FROM bids
SELECT max(tags) FROM bids GROUP BY tumble(interval '1 second')
SELECT min(place) FROM bids GROUP BY tumble(interval '1 second')
SELECT place + 1 FROM bids
SELECT price FROM bids GROUP BY price, tumble(interval '1 second') HAVING bidder > 1
SELECT count(*) FROM nexmark GROUP BY tumble(interval '1 second').start
SELECT row_time() FROM (SELECT count(*) FROM bids GROUP BY tumble(interval '1 second'))
SELECT hop(interval '1 second', interval '2 second') FROM bids
SELECT auction, count(*), sum(price) AS total, window.start FROM (SELECT auction, price, tumble(interval '10 seconds') as window FROM bids) GROUP BY auction, window
SELECT [1,2], make_array(price), {a: 1}, struct(price), named_struct('x', price), ARRAY[1, 2] FROM bids
SELECT count(*), window.start AS s FROM (SELECT tumble(interval '10 seconds') AS window FROM bids) GROUP BY window
SELECT a.price, b.n FROM (SELECT price FROM bids) a UNION ALL SELECT price, 1 FROM bids
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '1 minute') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT w.n FROM w JOIN m ON w.auction = m.auction AND w.window = m.window
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT w.n FROM w LEFT JOIN m ON w.auction = m.auction AND w.window.start = m.window.end
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT w.n FROM w FULL JOIN bids AS b ON w.auction = b.auction
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT n FROM w CROSS JOIN m
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT w.n FROM w NATURAL JOIN m
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT w.n FROM w JOIN m USING (auctoin, window)
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT * FROM w JOIN m USING (auction, window)
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT w.n FROM w JOIN m ON w.window = m.windo AND w.n = sum(m.n)
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT w.n FROM w JOIN m ON w.window
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT w.n FROM w LEFT JOIN m ON w.window = m.window AND upper(w.channel) < m.channel
WITH w AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3), m AS (SELECT auction, channel, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2, 3) SELECT count(*) FROM w JOIN m USING (window) GROUP BY tumble(interval '1 minute')
WITH w AS (SELECT auction, tumble(interval '10 seconds') AS window, count(*) AS n FROM bids GROUP BY 1, 2), m AS (SELECT window, sum(n) AS n FROM w GROUP BY window) SELECT w.n FROM w JOIN m ON w.window = m.window
CREATE VIEW v AS SELECT auction, count(*) AS n FROM bids GROUP BY auction; SELECT n, count(*) FROM v GROUP BY n
SELECT sum(n) FROM (SELECT auction, count(*) AS n FROM bids GROUP BY auction) GROUP BY tumble(interval '1 minute')
SELECT row_time() FROM (SELECT auction, count(*) FROM bids GROUP BY auction)
SELECT price, count(DISTINCT auction) FROM bids GROUP BY price
INSERT INTO totals SELECT auction, sum(price) FROM bids GROUP BY auction
SELECT auction, now(), count(*) FROM bids GROUP BY auction
SELECT auction, count(*) FROM bids GROUP BY auction HAVING random() > 0.5
SET updating_ttl = interval '1 month'; SELECT count(*) FROM bids
SET updating_ttl = interval '0 seconds'; SELECT count(*) FROM bids
SET updating_ttl = 3; SELECT count(*) FROM bids
SET updating_ttl = interval '1 day'; SET updating_ttl = interval '2 days'; SELECT count(*) FROM bids
