CREATE TABLE orders (
  id BIGINT NOT NULL,
  customer TEXT,
  amount DOUBLE,
  quantity INT,
  note TEXT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE VIEW paid AS SELECT id, customer, amount FROM orders WHERE amount IS NOT NULL;

WITH large AS (SELECT * FROM paid WHERE amount > 5)
SELECT customer, amount FROM (SELECT customer, amount, id FROM large) AS rows WHERE id <> 4;
