CREATE TABLE v (
  d DECIMAL(38, 0),
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT sum(d) AS total FROM v GROUP BY tumble(INTERVAL '1 minute');
