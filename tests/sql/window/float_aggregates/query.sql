CREATE TABLE v (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  x DOUBLE,
  d DECIMAL(8, 2),
  ok BOOLEAN,
  day DATE,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT kind, tumble(INTERVAL '10 seconds') AS window, count(x) AS known, sum(x) AS total, min(x) AS least, max(x) AS most, avg(x) AS mean, avg(CAST(x AS REAL) + 1) AS short FROM v GROUP BY kind, window;
