CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  p TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  s LIKE '10!%' ESCAPE '!' AS percent,
  s LIKE '%!_%' ESCAPE '!' AS has_underscore,
  s NOT LIKE 'a!!b' ESCAPE '!' AS no_bang,
  s ILIKE 'A\%' ESCAPE '#' AS backslash,
  s LIKE 'x%' ESCAPE 'x' AS escape_is_a_letter,
  s LIKE p ESCAPE '!' AS of_the_row
FROM v;
