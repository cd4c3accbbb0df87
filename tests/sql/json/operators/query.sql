CREATE TABLE v (
  id INT NOT NULL,
  body TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, body -> 'c' AS c, body -> 'd' -> 'e' AS e, body ->> 'b' AS b, body -> 1 AS second, body ? 'a' AS has_a
FROM v WHERE body ->> 'a' IS NOT NULL OR id > 3;
