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

SELECT kind, CASE WHEN count(*) > 2 THEN 'many' ELSE 'few' END AS size, sum(n) * 2 AS twice, coalesce(max(x), 0) AS most FROM v GROUP BY kind;
