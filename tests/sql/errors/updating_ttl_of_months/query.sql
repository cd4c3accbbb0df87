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

SET updating_ttl = INTERVAL '1 month';
SELECT customer, count(*) FROM orders GROUP BY customer;
