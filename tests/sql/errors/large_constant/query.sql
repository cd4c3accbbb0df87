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

SELECT id, repeat('x', 2147483647) AS text FROM orders;

SELECT id, range(0, 1000000000) AS numbers FROM orders;
