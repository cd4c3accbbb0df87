CREATE TABLE v (
  id INT NOT NULL,
  a INT,
  b INT,
  s TEXT,
  t TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  CASE WHEN b <> 0 THEN a / b END AS guarded,
  CASE WHEN b = 0 THEN NULL ELSE a % b END AS other_way,
  CASE WHEN b IS NULL THEN -1 WHEN b = 0 THEN 0 ELSE a / b END AS nested,
  coalesce(b, 100 / nullif(a, 0)) AS fallback
FROM v;
