CREATE TABLE v (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  x DOUBLE,
  d DECIMAL(8, 2),
  ok BOOLEAN,
  day DATE,
  place STRUCT<city TEXT, zip INT>,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

WITH counts AS (
  SELECT kind, x, d, ok, day, tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM v GROUP BY kind, x, d, ok, day, window
), lasts AS (
  SELECT kind, x, d, ok, day, tumble(INTERVAL '10 seconds') AS window, max(id) AS last FROM v GROUP BY kind, x, d, ok, day, window
)
SELECT a.kind, a.d, a.n, b.last FROM counts AS a LEFT JOIN lasts AS b
ON a.kind = b.kind AND a.x = b.x AND a.d = b.d AND a.ok = b.ok AND a.day = b.day AND a.window = b.window;
