CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP,
  other TIMESTAMP,
  day DATE,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  date_trunc('hour', at) AS hour,
  date_trunc('week', at) AS week,
  date_trunc('quarter', at) AS quarter,
  date_trunc('second', at) AS second,
  date_trunc('month', day) AS month,
  date_bin(INTERVAL '15 minutes', at) AS bin,
  date_bin(INTERVAL '7 days', at, TIMESTAMP '2024-01-01T00:00:00') AS week_bin
FROM v;
