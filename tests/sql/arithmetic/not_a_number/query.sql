CREATE TABLE f (
  id INT NOT NULL,
  x DOUBLE,
  y DOUBLE
) WITH (connector = 'single_file', path = 'f.jsonl', format = 'json', type = 'source');

SELECT
  id,
  x / y = x / y AS same,
  x / y > 1e300 AS huge,
  x / y < 0 AS negative,
  greatest(x / y, 7.0) AS most,
  isnan(x / y) AS nan
FROM f
WHERE x / y IS NOT NULL;
