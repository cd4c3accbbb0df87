CREATE TABLE IF NOT EXISTS v (
  id INT NOT NULL
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');
CREATE TABLE IF NOT EXISTS v (
  something TEXT
) WITH (connector = 'single_file', path = 'missing.jsonl', format = 'json', type = 'source');
CREATE VIEW IF NOT EXISTS small AS SELECT id FROM v WHERE id < 3;
CREATE VIEW IF NOT EXISTS small AS SELECT id FROM v;

SELECT id FROM small;
