CREATE TABLE v (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  x DOUBLE,
  d DECIMAL(8, 2),
  ok BOOLEAN,
  day DATE,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT upper(kind) AS name, sum(n) * 100 / nullif(count(n), 0) AS percent, coalesce(max(x), -1.0) - coalesce(min(x), 0) AS span, CASE WHEN count(*) > 1 THEN 'many' ELSE 'one' END AS size, concat(min(kind), '/', count(*)) AS label FROM v GROUP BY kind, tumble(INTERVAL '10 seconds');
