CREATE TABLE orders (
  id BIGINT NOT NULL,
  customer TEXT,
  amount DOUBLE,
  quantity INT,
  note TEXT,
  tags TEXT[],
  place STRUCT<city TEXT, zip INT>,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE kept WITH (connector = 'filesystem', path = 'kept', format = 'parquet', type = 'sink');
CREATE VIEW totals AS SELECT customer, sum(quantity) AS total FROM orders GROUP BY customer;
INSERT INTO kept SELECT total FROM totals WHERE total > 3 UNION ALL SELECT id FROM orders;
