CREATE TABLE v (
  id INT NOT NULL,
  b BYTEA,
  c BYTEA
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, b, b = c AS same, b < c AS less, encode(b, 'hex') AS hex, coalesce(b, c) AS either FROM v WHERE b IS NOT NULL OR c IS NULL;
