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
  CAST(amount AS INT) AS whole,
  CAST(id AS TEXT) AS label,
  TRY_CAST(note AS BIGINT) AS parsed,
  CAST(quantity AS SMALLINT) AS small,
  CAST(id AS DECIMAL(10, 2)) AS exact,
  CAST(at AS DATE) AS day
FROM orders;
