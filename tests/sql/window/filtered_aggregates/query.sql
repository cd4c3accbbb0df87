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

SELECT tumble(INTERVAL '10 seconds') AS window, count(*) FILTER (WHERE n > 0) AS positive, sum(n) FILTER (WHERE kind = 'a') AS of_a, min(x) FILTER (WHERE NULL) AS nothing, count(DISTINCT kind) FILTER (WHERE ok) AS kinds, max(kind) FILTER (WHERE kind <> 'ü') AS last FROM v GROUP BY window;
