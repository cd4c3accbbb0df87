CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

WITH a AS (SELECT id, n FROM events WHERE n > -5), b AS (SELECT id AS key, n + 1 AS m FROM a)
SELECT key, m * 2 AS twice FROM (SELECT * FROM b WHERE m <> 1) AS c WHERE key > 1
UNION ALL
SELECT id, -n FROM a WHERE n > 6;
