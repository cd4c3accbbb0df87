CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP,
  other TIMESTAMP,
  day DATE,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, other - at AS between FROM v;
