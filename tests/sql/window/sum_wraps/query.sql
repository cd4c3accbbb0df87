CREATE TABLE v (
  kind TEXT,
  n BIGINT,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT kind, sum(n) AS total FROM v GROUP BY kind, tumble(INTERVAL '1 minute');
