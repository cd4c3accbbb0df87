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

SELECT n % 3 AS rest, tumble(INTERVAL '10 seconds') AS window, count(*) AS rows, count(n) AS known, sum(id) AS ids FROM v GROUP BY n % 3, window;
