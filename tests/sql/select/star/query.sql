CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

SELECT *, n * 2 AS twice FROM events AS e WHERE e.n IS NOT NULL;
