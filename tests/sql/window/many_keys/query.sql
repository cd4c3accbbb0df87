CREATE TABLE v (
  n INT NOT NULL,
  s TEXT,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT n % 97 AS slot, tumble(INTERVAL '10 seconds') AS window, count(*) AS rows, max(s) AS last FROM v GROUP BY n % 97, window;
