CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  x DOUBLE,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  TRY_CAST(n AS TINYINT) AS t,
  TRY_CAST(n AS SMALLINT UNSIGNED) AS u,
  TRY_CAST(x AS INT) AS i,
  TRY_CAST(x AS BIGINT) AS b,
  TRY_CAST(n AS DECIMAL(5, 2)) AS exact
FROM v;
