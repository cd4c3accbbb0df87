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

SELECT named_struct('kind', kind, 'ok', ok) AS pair, make_array(n, 1) AS list, count(*) AS rows FROM v GROUP BY named_struct('kind', kind, 'ok', ok), make_array(n, 1), tumble(INTERVAL '1 day');
