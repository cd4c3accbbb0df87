CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE clicks (customer TEXT, page TEXT, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'clicks.jsonl', format = 'json', type = 'source');

SELECT a.window.start AS start, a.total, b.clicks
FROM (SELECT tumble(INTERVAL '10 seconds') AS window, sum(amount) AS total FROM orders GROUP BY window) AS a
JOIN (SELECT tumble(INTERVAL '10 seconds') AS window, count(*) AS clicks FROM clicks GROUP BY window) AS b
USING (window);
