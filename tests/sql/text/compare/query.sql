CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  t TEXT,
  n INT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, s < 'a' AS before_a, s > t AS greater, s = upper(s) AS upper_already, s >= '' AS anything, s <> t AS differs
FROM v WHERE s <> 'Grüße';
