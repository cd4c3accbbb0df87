CREATE TABLE v (
  id INT NOT NULL,
  n BIGINT,
  s TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source', bad_data = 'drop');

SELECT id, n, s FROM v;
