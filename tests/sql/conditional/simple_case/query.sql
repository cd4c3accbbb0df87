CREATE TABLE v (
  id INT NOT NULL,
  a INT,
  b INT,
  s TEXT,
  t TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  CASE a WHEN 10 THEN 'ten' WHEN NULL THEN 'never' WHEN -7 THEN t ELSE s END AS name,
  CASE WHEN a > 0 THEN CASE WHEN b > 0 THEN 'both' ELSE 'one' END END AS nested,
  CASE WHEN s = t THEN a ELSE 0.5 END AS widened
FROM v;
