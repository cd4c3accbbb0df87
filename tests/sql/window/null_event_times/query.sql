CREATE TABLE v (
  kind TEXT,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT kind, count(*) AS rows FROM v GROUP BY kind, tumble(INTERVAL '10 seconds');
