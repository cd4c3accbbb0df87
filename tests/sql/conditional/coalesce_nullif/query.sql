CREATE TABLE v (
  id INT NOT NULL,
  a INT,
  b INT,
  s TEXT,
  t TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  coalesce(a, b, -1) AS number,
  coalesce(t, s, 'none') AS text,
  nullif(a, b) AS different,
  nullif(t, '') AS filled,
  nvl(t, s) AS second,
  coalesce(a, 1.5) AS widened,
  nvl2(t, 'some', 'nothing') AS kind
FROM v;
