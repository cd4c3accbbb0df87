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

CREATE TABLE often WITH (connector = 'single_file', path = '$OUT/often.json', format = 'debezium_json', type = 'sink');
CREATE TABLE sums WITH (connector = 'single_file', path = '$OUT/sums.json', format = 'debezium_json', type = 'sink');
CREATE VIEW totals AS SELECT kind, count(*) AS times, sum(n) AS total FROM v GROUP BY kind;

INSERT INTO often SELECT kind, times FROM totals WHERE times > 1;
INSERT INTO sums SELECT total, kind FROM totals;
