CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE VIEW totals AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, sum(amount) AS total FROM orders GROUP BY customer, window;

CREATE VIEW counts AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM orders GROUP BY customer, window;

SELECT a.customer, total, n
FROM totals AS a
LEFT JOIN counts AS b ON a.window = b.window AND upper(a.customer) < b.customer;
