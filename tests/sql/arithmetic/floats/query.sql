CREATE TABLE f (
  id INT NOT NULL,
  x DOUBLE,
  y DOUBLE
) WITH (connector = 'single_file', path = 'f.jsonl', format = 'json', type = 'source');

SELECT
  id,
  x + y AS total,
  x * y AS product,
  x / y AS quotient,
  x % y AS remainder,
  x + y = 0.3 AS three_tenths,
  abs(x) AS size,
  floor(x) AS down,
  ceil(x) AS up,
  round(x) AS nearest,
  trunc(x) AS whole
FROM f;
