CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  x DOUBLE,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, CAST(n AS TINYINT) AS t FROM v;
