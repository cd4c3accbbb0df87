CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE VIEW totals AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, sum(amount) AS total, count(*) AS n
FROM orders GROUP BY customer, window;

SELECT a.customer, b.customer AS other, a.window.start AS start, a.total - b.total AS more
FROM totals AS a JOIN totals AS b ON a.window = b.window AND a.customer = 'ann' AND b.customer <> 'ann';
