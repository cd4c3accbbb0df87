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

SELECT kind, sum(n) AS total FROM v WHERE id <> 8 GROUP BY kind, tumble(INTERVAL '10 seconds') HAVING sum(n) > 0 AND (kind IS NOT NULL OR count(*) > 1) AND max(x) < 100;
