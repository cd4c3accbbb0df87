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

SELECT ok, sum(d) AS total, min(d) AS least, avg(d) AS mean, min(kind) AS first, max(kind) AS last, max(day) AS latest FROM v GROUP BY ok;
