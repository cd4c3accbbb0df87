CREATE TABLE orders (
  id BIGINT NOT NULL,
  customer TEXT,
  amount DOUBLE,
  quantity INT,
  note TEXT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

SELECT id % 2 AS parity, quantity > 1 AS many, count(*) AS n, sum(amount) AS total
FROM orders
WHERE amount > 0
GROUP BY id % 2, quantity > 1, tumble(INTERVAL '1 hour')
HAVING count(*) > 1;
