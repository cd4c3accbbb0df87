CREATE TABLE v (
  id INT NOT NULL,
  a INT,
  b INT,
  s TEXT,
  t TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  greatest(a, b) AS most,
  least(a, b, 5) AS fewest,
  greatest(s, t) AS last,
  least(s, t) AS first,
  greatest(a, NULL) AS known
FROM v;
