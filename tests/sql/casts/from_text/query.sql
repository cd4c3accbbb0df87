CREATE TABLE v (
  id INT NOT NULL,
  n TEXT,
  x TEXT,
  b TEXT,
  day TEXT,
  at TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  CAST(n AS BIGINT) AS n,
  n::SMALLINT AS small,
  CAST(x AS DOUBLE) AS x,
  CAST(x AS DECIMAL(10, 1)) AS exact,
  CAST(b AS BOOLEAN) AS b,
  CAST(day AS DATE) AS day,
  CAST(at AS TIMESTAMP) AS at
FROM v;
