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
  CASE WHEN amount IS NULL THEN 'unknown' WHEN amount < 0 THEN 'refund' WHEN amount < 10 THEN 'small' ELSE 'large' END AS size,
  CASE customer WHEN 'ann' THEN 1 WHEN 'bob' THEN 2 END AS code,
  CASE WHEN quantity <> 0 THEN 100 / quantity END AS guarded
FROM orders;
