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
  date_trunc('minute', at) AS minute,
  extract(second FROM at) AS second,
  date_part('year', at) AS year,
  at + INTERVAL '1 day 2 hours' AS later,
  to_char(at, '%d.%m.%Y') AS text,
  CAST(at AS DATE) AS day
FROM orders;
