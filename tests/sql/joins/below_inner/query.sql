CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE clicks (customer TEXT, page TEXT, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'clicks.jsonl', format = 'json', type = 'source');

CREATE VIEW totals AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, sum(amount) AS total, count(*) AS n
FROM orders GROUP BY customer, window;

CREATE VIEW visits AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, count(*) AS clicks FROM clicks GROUP BY customer, window;

SELECT a.customer, a.window.start AS start, a.total, b.clicks
FROM totals AS a JOIN visits AS b ON a.customer = b.customer AND a.window = b.window AND b.clicks < 2
WHERE a.total >= 3 AND a.customer <> 'bob' AND a.total > b.clicks;
