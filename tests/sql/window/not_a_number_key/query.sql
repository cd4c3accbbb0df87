CREATE TABLE v (
  x DOUBLE,
  y DOUBLE,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT x / y AS ratio, count(*) AS rows, min(x / y) AS least, max(x / y) AS most FROM v GROUP BY x / y, tumble(INTERVAL '1 minute');
