CREATE TABLE v (
  id INT NOT NULL,
  t TIME,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT t, count(*) AS rows, max(id) AS last FROM v GROUP BY t, tumble(INTERVAL '1 minute');
