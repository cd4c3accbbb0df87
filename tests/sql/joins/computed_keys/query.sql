CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE clicks (customer TEXT, page TEXT, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'clicks.jsonl', format = 'json', type = 'source');

SELECT a.who, b.clicks, a.total
FROM (
  SELECT upper(customer) AS who, tumble(INTERVAL '10 seconds') AS window, CAST(sum(amount) AS INT) AS total
  FROM orders GROUP BY upper(customer), window
) AS a
JOIN (
  SELECT customer, tumble(INTERVAL '10 seconds') AS window, count(*) AS clicks FROM clicks GROUP BY customer, window
) AS b
ON lower(a.who) = b.customer AND a.total % 13 = b.clicks AND a.window = b.window;
