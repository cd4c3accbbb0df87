CREATE TABLE v (
  id INT NOT NULL,
  n BIGINT,
  x DOUBLE,
  b BOOLEAN,
  d DECIMAL(8, 3),
  day DATE,
  at TIMESTAMP
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  CAST(n AS TEXT) AS n,
  CAST(x AS TEXT) AS x,
  CAST(b AS TEXT) AS b,
  CAST(d AS TEXT) AS d,
  CAST(day AS TEXT) AS day,
  CAST(at AS TEXT) AS at,
  n || '/' || b AS joined
FROM v;
