CREATE TABLE v (
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT tumble(INTERVAL '7 days 1 hour 0.5 seconds') AS window, count(*) AS rows FROM v GROUP BY window;
