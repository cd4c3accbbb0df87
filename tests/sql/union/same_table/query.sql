CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

SELECT id, n AS value FROM events WHERE n > 0
UNION ALL
SELECT id, NULL FROM events WHERE n < 0
UNION ALL
SELECT id + 100, id * 0.5 FROM events;
