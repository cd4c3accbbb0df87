CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  t TEXT,
  n INT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  trim(s) AS both,
  ltrim(s) AS l,
  rtrim(s) AS r,
  btrim(s, 'aHc') AS letters,
  trim(LEADING 'G' FROM s) AS leading,
  starts_with(s, 'H') AS begins,
  ends_with(s, 'c') AS finishes,
  contains(s, t) AS has,
  to_hex(id * 100) AS hex,
  levenshtein(s, 'aXc') AS distance
FROM v;
