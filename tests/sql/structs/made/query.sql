CREATE TABLE v (
  id INT NOT NULL,
  a INT,
  s TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, pair, pair.a + id AS total, pair['s'] AS text, named_struct('inner', pair, 'id', id) AS nested
FROM (SELECT id, named_struct('a', a, 's', s) AS pair FROM v) AS pairs
WHERE pair.a > 0 OR pair.s IS NULL;
