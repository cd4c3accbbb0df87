CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

SELECT 1 AS one, 'it''s' AS text, NULL AS nothing, TRUE AS yes, 1.5 AS half, DATE '2024-02-29' AS day, INTERVAL '1 day 2 hours' AS span FROM events;
