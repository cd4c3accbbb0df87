CREATE TABLE v (
  id INT NOT NULL,
  doc JSON,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT doc, count(*) AS rows, max(id) AS last FROM v GROUP BY doc, tumble(INTERVAL '1 minute');
