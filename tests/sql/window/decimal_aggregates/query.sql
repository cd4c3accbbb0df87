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

SELECT ok, count(d) AS known, sum(d) AS total, min(d) AS least, max(d) AS most, avg(d) AS mean FROM v GROUP BY ok, tumble(INTERVAL '1 minute');
