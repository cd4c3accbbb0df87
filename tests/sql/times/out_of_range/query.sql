CREATE TABLE v (
  id INT NOT NULL,
  s TIMESTAMP(0)
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, CAST(s AS TIMESTAMP) AS at FROM v;
