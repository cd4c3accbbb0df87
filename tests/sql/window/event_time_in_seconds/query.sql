CREATE TABLE v (
  at TIMESTAMP(0),
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT tumble(INTERVAL '10 seconds') AS window, count(*) AS rows, max(at) AS last FROM v GROUP BY window;
