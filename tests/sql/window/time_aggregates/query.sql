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

SELECT kind, min(day) AS first_day, max(day) AS last_day, min(at) AS first, max(at) AS last FROM v GROUP BY kind, tumble(INTERVAL '10 seconds');
