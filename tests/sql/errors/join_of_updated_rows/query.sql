CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE VIEW totals AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, sum(amount) AS total FROM orders GROUP BY customer, window;

CREATE VIEW sums AS
SELECT customer, sum(amount) AS total FROM orders GROUP BY customer;

SELECT a.customer, a.total, b.total AS ever FROM totals AS a LEFT JOIN sums AS b ON a.customer = b.customer;
