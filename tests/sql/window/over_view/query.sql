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

CREATE VIEW known (name, number, at) AS SELECT lower(kind), n + 1, at FROM v WHERE kind IS NOT NULL;

SELECT name, tumble(INTERVAL '10 seconds') AS window, sum(number) AS total FROM known WHERE number <> 1 GROUP BY name, window;
