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

SELECT ok, count(DISTINCT kind) AS kinds, count(DISTINCT n) AS numbers, count(DISTINCT d) AS decimals, count(DISTINCT n % 2) AS rests, count(*) AS rows FROM v GROUP BY ok, tumble(INTERVAL '1 minute');
