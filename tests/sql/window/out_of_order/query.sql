CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5 seconds'
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT tumble(INTERVAL '10 seconds') AS window, count(*) AS rows, min(id) AS first, max(id) AS last FROM v GROUP BY window;
