CREATE TABLE v (
  id INT NOT NULL,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, n FROM v;
