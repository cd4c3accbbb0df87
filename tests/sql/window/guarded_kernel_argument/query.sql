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

SELECT tumble(INTERVAL '10 seconds') AS window, sum(CASE WHEN kind ~ '^[0-9]+$' THEN CAST(kind AS INT) ELSE 0 END) AS numbers, sum(100 / nullif(n, 0)) AS shares FROM v GROUP BY window;
