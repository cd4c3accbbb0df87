CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  x DOUBLE,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  TRY_CAST(s AS INT) AS i,
  TRY_CAST(s AS DOUBLE) AS d,
  TRY_CAST(s AS BOOLEAN) AS b,
  TRY_CAST(s AS DATE) AS day,
  TRY_CAST(s AS DECIMAL(6, 1)) AS exact,
  TRY_CAST(s AS TIMESTAMP) AS at
FROM v;
