CREATE TABLE orders (
  id BIGINT NOT NULL,
  customer TEXT,
  amount DOUBLE,
  quantity INT,
  note TEXT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

SELECT window.start AS start, window.end AS end, n, customers
FROM (
  SELECT tumble(INTERVAL '1 minute') AS window, count(*) AS n, count(DISTINCT customer) AS customers
  FROM orders
  GROUP BY window
);
