CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE clicks (customer TEXT, page TEXT, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'clicks.jsonl', format = 'json', type = 'source');

CREATE VIEW totals AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, sum(amount) AS total, count(*) AS n
FROM orders GROUP BY customer, window;

CREATE VIEW visits AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, count(*) AS clicks FROM clicks GROUP BY customer, window;

SELECT e.kind, e.customer, e.window.start AS start, e.x, a.total
FROM (
  SELECT 'order' AS kind, customer, window, total AS x FROM totals
  UNION ALL
  SELECT 'click', customer, window, clicks FROM visits
) AS e
JOIN (SELECT tumble(INTERVAL '10 seconds') AS window, sum(amount) AS total FROM orders GROUP BY window) AS a
ON e.window = a.window;
