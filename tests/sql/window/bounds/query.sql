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

SELECT window.start AS began, window.end AS ended, window.end - INTERVAL '1 second' AS nearly, kind, n FROM (SELECT kind, tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM v GROUP BY kind, window) AS w WHERE window.start >= TIMESTAMP '2024-03-01T00:00:10' AND n < 3;
