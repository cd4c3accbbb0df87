CREATE TABLE v (
  id INT NOT NULL,
  s TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  s LIKE 'a_c' AS one,
  s LIKE '%b%' AS inner_b,
  s LIKE 'a%c' AS ends,
  s LIKE '' AS empty,
  s LIKE '%' AS anything,
  s LIKE 'a\%c' AS percent,
  s NOT LIKE '%\_%' AS no_underscore,
  s ILIKE 'äB_' AS any_case,
  s LIKE s AS itself
FROM v;
