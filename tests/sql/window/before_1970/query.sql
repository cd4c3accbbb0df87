CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT tumble(INTERVAL '10 seconds') AS window, count(*) AS rows, min(at) AS first, max(at) AS last FROM v GROUP BY window;
