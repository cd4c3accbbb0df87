CREATE TABLE v (
  id INT NOT NULL,
  span INTERVAL,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT span, count(*) AS rows, count(DISTINCT span) AS kinds, max(id) AS last FROM v GROUP BY span, tumble(INTERVAL '1 minute');
