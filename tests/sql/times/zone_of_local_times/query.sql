CREATE TABLE v (
  id INT NOT NULL,
  seen TIMESTAMP
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, seen AT TIME ZONE 'America/New_York' AS instant FROM v;
