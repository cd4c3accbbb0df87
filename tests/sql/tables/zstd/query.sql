CREATE TABLE v (
  id INT NOT NULL,
  name TEXT,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.csv.zst', format = 'csv', type = 'source');

SELECT id, name, n FROM v;
