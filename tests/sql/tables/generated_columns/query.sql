CREATE TABLE v (
  id INT NOT NULL,
  cents BIGINT,
  euros DOUBLE GENERATED ALWAYS AS (cents / 100.0) STORED,
  label TEXT GENERATED ALWAYS AS (upper(name)) STORED,
  name TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, euros, label FROM v WHERE euros > 1 OR label IS NULL;
