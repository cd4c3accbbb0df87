CREATE TABLE v (
  id INT NOT NULL,
  n BIGINT,
  s TEXT,
  x DOUBLE
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  n IN (1, 2, -3) AS within,
  n NOT IN (1, 2) AS without,
  n IN (1, NULL) AS within_null,
  n NOT IN (1, NULL) AS without_null,
  s IN ('a', 'ä', '') AS texts,
  n IN (id, 3) AS columns,
  x IN (0.1, 2, 3) AS floats
FROM v;
