CREATE TABLE v (
  id INT NOT NULL,
  a INT,
  b INT,
  s TEXT,
  t TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, a IS DISTINCT FROM b AS numbers, a IS NOT DISTINCT FROM b AS same, s IS DISTINCT FROM t AS texts, a <> b AS unequal
FROM v;
