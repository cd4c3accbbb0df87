CREATE TABLE d (
  id INT NOT NULL,
  price DECIMAL(10, 2),
  rate DECIMAL(6, 4),
  pieces INT
) WITH (connector = 'single_file', path = 'd.jsonl', format = 'json', type = 'source');

SELECT
  id,
  price + rate AS total,
  price - rate AS difference,
  price * rate AS product,
  price * pieces AS cost,
  -price AS negated,
  price > rate AS greater,
  price = 10 AS ten
FROM d;
