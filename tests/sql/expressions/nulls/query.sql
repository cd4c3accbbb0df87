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
  coalesce(customer, 'nobody') AS who,
  nullif(note, '') AS note,
  customer IS NULL AS anonymous,
  customer = 'ann' AS is_ann,
  customer IS DISTINCT FROM 'ann' AS not_ann,
  amount > 5 AND quantity > 0 AS both,
  amount > 5 OR quantity > 0 AS either,
  customer IN ('ann', NULL) AS in_list
FROM orders;
