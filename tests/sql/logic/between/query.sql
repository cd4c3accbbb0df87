CREATE TABLE v (
  id INT NOT NULL,
  n BIGINT,
  s TEXT,
  x DOUBLE
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  n BETWEEN 1 AND 3 AS within,
  n NOT BETWEEN 1 AND 3 AS outside,
  n BETWEEN 3 AND 1 AS reversed,
  n BETWEEN NULL AND 0 AS half_known,
  s BETWEEN 'a' AND 'b' AS texts,
  x BETWEEN 0 AND 2.5 AS floats
FROM v;
