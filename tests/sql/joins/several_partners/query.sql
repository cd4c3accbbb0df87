CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE clicks (customer TEXT, page TEXT, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'clicks.jsonl', format = 'json', type = 'source');

WITH amounts AS (
  SELECT customer, amount, tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM orders GROUP BY customer, amount, window
), pages AS (
  SELECT customer, page, tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM clicks GROUP BY customer, page, window
)
SELECT a.customer, a.amount, b.page, a.window.end AS "end"
FROM amounts AS a FULL JOIN pages AS b ON a.customer = b.customer AND a.window = b.window;
