CREATE TABLE v (
  id INT NOT NULL,
  b BIGINT,
  d DOUBLE,
  r REAL,
  m DECIMAL(10, 2),
  u BIGINT UNSIGNED,
  t TINYINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, b, d, r, m, u, t FROM v;
