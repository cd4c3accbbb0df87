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

SELECT kind, count(*) AS windows, max(n) AS most
FROM (SELECT kind, tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM v GROUP BY kind, window) AS w
GROUP BY kind;
