CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE clicks (customer TEXT, page TEXT, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'clicks.jsonl', format = 'json', type = 'source');

CREATE VIEW totals AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, sum(amount) AS total, count(*) AS n
FROM orders GROUP BY customer, window;

CREATE VIEW visits AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, count(*) AS clicks FROM clicks GROUP BY customer, window;

CREATE VIEW starts AS SELECT customer AS who, window.start AS started, total * 2 AS twice FROM totals WHERE total > 1;

SELECT a.who, a.started, a.twice, b.clicks, c.n
FROM starts AS a
JOIN visits AS b ON a.who = b.customer AND a.started = b.window.start
LEFT JOIN (SELECT customer, window.end AS ended, n FROM totals) AS c ON b.customer = c.customer AND b.window.end = c.ended;
