CREATE TABLE v (
  id INT NOT NULL,
  b BOOLEAN,
  d DECIMAL(8, 3),
  day DATE,
  at TIMESTAMP,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  CAST(b AS INT) AS zero_one,
  CAST(n AS BOOLEAN) AS truth,
  CAST(d AS BIGINT) AS whole,
  CAST(d AS DECIMAL(8, 1)) AS shorter,
  CAST(d AS DOUBLE) AS float,
  CAST(day AS TIMESTAMP) AS midnight,
  CAST(at AS DATE) AS day_of,
  CAST(at AS TIMESTAMP(0)) AS seconds,
  CAST(at AS BIGINT) AS nanos
FROM v;
