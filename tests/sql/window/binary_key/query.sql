CREATE TABLE v (
  b BYTEA,
  c BYTEA,
  n BIGINT,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT b, count(*) AS rows, sum(n) AS total, count(DISTINCT c) AS others, max(c) AS most FROM v GROUP BY b, tumble(INTERVAL '1 minute');
