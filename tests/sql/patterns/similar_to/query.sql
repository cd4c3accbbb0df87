CREATE TABLE v (
  id INT NOT NULL,
  s TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, s SIMILAR TO '(a|x).*' AS alternative, s NOT SIMILAR TO '[a-z]+' AS other FROM v;
