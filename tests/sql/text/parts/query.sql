CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  t TEXT,
  n INT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  substr(s, n) AS tail,
  substring(s FROM 2 FOR 2) AS middle,
  left(s, n) AS head,
  right(s, n) AS last,
  split_part(s, 'X', 2) AS part,
  strpos(s, t) AS place,
  position('o' IN s) AS o,
  reverse(s) AS backwards
FROM v WHERE n >= 0 OR n IS NULL;
