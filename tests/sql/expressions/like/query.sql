CREATE TABLE orders (
  id BIGINT NOT NULL,
  customer TEXT,
  amount DOUBLE,
  quantity INT,
  note TEXT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

SELECT
  id,
  note LIKE '%o%' AS has_o,
  note ILIKE 'f%' AS starts_f,
  note ~ '^[a-z]' AS lower
FROM orders;
