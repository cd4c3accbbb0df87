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

CREATE TABLE totals WITH (connector = 'filesystem', path = '$OUT/totals', format = 'debezium_json', type = 'sink');

INSERT INTO totals SELECT kind, count(*) AS times, max(n) AS most FROM v GROUP BY kind;
