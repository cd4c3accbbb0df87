CREATE TABLE v (
  id INT NOT NULL,
  kind TEXT,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

CREATE TABLE parts WITH (connector = 'filesystem', path = '$OUT/parts', format = 'json', type = 'sink');
CREATE TABLE whole WITH (connector = 'single_file', path = '$OUT/whole.parquet', format = 'parquet', type = 'sink');

INSERT INTO parts SELECT kind, count(*) AS rows FROM v GROUP BY kind, tumble(INTERVAL '10 seconds');
INSERT INTO whole SELECT count(*) AS rows, max(id) AS last FROM v GROUP BY tumble(INTERVAL '20 seconds');
