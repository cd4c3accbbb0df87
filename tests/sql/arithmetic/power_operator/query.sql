CREATE TABLE v (
  id INT NOT NULL,
  x DOUBLE
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  x ^ 2 AS square,
  2 ^ id AS doubled,
  2 * 3 ^ 2 AS eighteen,
  4 ^ 0.5 AS two
FROM v WHERE id ^ 2 < 100;
