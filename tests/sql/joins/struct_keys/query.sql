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

SELECT a.place, a.window.start AS start, a.n, b.last
FROM (SELECT place, tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM v GROUP BY place, window) AS a
LEFT JOIN (SELECT place, kind, tumble(INTERVAL '10 seconds') AS window, max(id) AS last FROM v GROUP BY place, kind, window) AS b
ON a.place = b.place AND a.window = b.window;
