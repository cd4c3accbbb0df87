CREATE TABLE orders (
  id BIGINT NOT NULL,
  customer TEXT,
  amount DOUBLE,
  quantity INT,
  note TEXT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE named (key BIGINT, name TEXT);

INSERT INTO named SELECT id, customer FROM orders WHERE customer IS NOT NULL;

SELECT name, key * 10 AS tens FROM named WHERE key > 1;
