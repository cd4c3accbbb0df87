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

SELECT ok, count(*) FILTER (WHERE n > 0) AS positive, sum(n) FILTER (WHERE kind = 'a') AS of_a, max(kind) FILTER (WHERE kind <> 'ü') AS last FROM v GROUP BY ok;
