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
  customer,
  tumble(INTERVAL '10 seconds') AS window,
  count(*) AS orders,
  count(amount) AS paid,
  sum(quantity) AS pieces,
  min(amount) AS least,
  max(note) AS last_note,
  avg(amount) AS mean
FROM orders
GROUP BY customer, window;
