CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, at + INTERVAL '1 month' AS later FROM v;
