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

CREATE TABLE by_kind WITH (connector = 'single_file', path = '$OUT/by_kind.json', format = 'json', type = 'sink');
CREATE TABLE whole WITH (connector = 'single_file', path = '$OUT/whole.json', format = 'json', type = 'sink');

INSERT INTO by_kind SELECT kind, count(*) AS rows FROM v GROUP BY kind, tumble(INTERVAL '10 seconds');
INSERT INTO whole SELECT tumble(INTERVAL '1 hour') AS window, count(*) AS rows, count(DISTINCT kind) AS kinds FROM v WHERE n IS NOT NULL GROUP BY window;
