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
CREATE TABLE u (
  id INT NOT NULL,
  name TEXT,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'u.jsonl', format = 'json', type = 'source');

SELECT name, tumble(INTERVAL '10 seconds') AS window, count(*) AS rows, sum(id) AS ids FROM (SELECT id, kind AS name, at FROM v WHERE n > 0 UNION ALL SELECT id * 100 AS id, name, at FROM u) AS both_tables GROUP BY name, window;
