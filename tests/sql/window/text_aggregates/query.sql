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

SELECT n, tumble(INTERVAL '10 seconds') AS window, min(kind) AS first, max(kind) AS last, max(kind || '-' || id) AS joined FROM v GROUP BY n, window;
