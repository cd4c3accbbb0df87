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

SELECT tumble(INTERVAL '10 seconds') AS window, count(n) AS known, sum(n) AS total, min(n) AS least, max(n) AS most, avg(n) AS mean, sum(CAST(n AS TINYINT) + 1) AS tiny, max(CAST(id AS BIGINT UNSIGNED)) AS unsigned FROM v GROUP BY window;
