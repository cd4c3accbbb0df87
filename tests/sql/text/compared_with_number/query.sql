CREATE TABLE v (
  id INT NOT NULL,
  s TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  s = 123 AS equal,
  123 <> s AS differs,
  s > 10 AS greater,
  s <= -5 AS at_most,
  s >= 1 + 1 AS computed,
  s BETWEEN 1 AND 2 AS between_them,
  s IN (9, 123, '-5', 4, 5) AS listed,
  s NOT IN (9, 123) AS not_listed,
  s = 1.5 AS half,
  CASE s WHEN 9 THEN 'nine' ELSE 'other' END AS name
FROM v WHERE s <> 77 OR s IS NULL;
