CREATE TABLE v (
  id INT NOT NULL,
  d DECIMAL(38, 0),
  e DECIMAL(38, 0)
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, d + e AS total FROM v;
