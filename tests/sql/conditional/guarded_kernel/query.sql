CREATE TABLE v (
  id INT NOT NULL,
  a INT,
  b INT,
  s TEXT,
  t TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  CASE WHEN s ~ '^-?[0-9]{1,9}$' THEN CAST(s AS INT) END AS number,
  CASE WHEN a > 0 THEN repeat(t, a % 5) ELSE reverse(s) END AS either,
  CASE WHEN t <> '' THEN ascii(t) END AS code
FROM v;
