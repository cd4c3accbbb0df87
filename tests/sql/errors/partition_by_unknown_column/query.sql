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

CREATE TABLE s (id BIGINT) WITH (connector = 'filesystem', path = 'x', format = 'json', 'partitioning.fields' = 'kind', type = 'sink');

INSERT INTO s SELECT id FROM orders;
