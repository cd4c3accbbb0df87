CREATE TABLE v (
  id INT NOT NULL,
  seen TIMESTAMP
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  seen AT TIME ZONE 'UTC' AS instant,
  extract(hour FROM seen AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York') AS hour,
  date_trunc('day', seen AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York') AS midnight
FROM v;
