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

WITH late AS (SELECT id, amonut FROM orders WHERE idd > 1)
SELECT l.id, l.totl, city, "text"
FROM late AS l;

SELECT customer, sum(quantty) AS total
FROM (SELECT * FROM orders) AS o
GROUP BY custmer, tumble(INTERVAL '1 minute')
HAVING ttl > 3;
