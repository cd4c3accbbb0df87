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

CREATE TABLE totals (customer TEXT, total BIGINT) WITH (connector = 'single_file', path = 'totals.json', format = 'json', type = 'sink');
INSERT INTO totals SELECT customer, sum(quantity) FROM orders GROUP BY customer;
