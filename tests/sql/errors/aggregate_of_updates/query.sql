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

CREATE VIEW totals AS SELECT customer, sum(quantity) AS total FROM orders GROUP BY customer;
SELECT total, count(*) AS customers FROM totals GROUP BY total;
