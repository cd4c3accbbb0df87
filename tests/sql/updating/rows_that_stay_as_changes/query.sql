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

CREATE TABLE kept WITH (connector = 'single_file', path = '$OUT/kept.json', format = 'debezium_json', type = 'sink');

INSERT INTO kept SELECT id, kind FROM v WHERE n > 4;
