CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result (value TEXT) WITH (connector = 'single_file', path = '$OUT/result.txt', format = 'raw_string', type = 'sink');

INSERT INTO result SELECT concat('{"made": ', id, '}') AS value FROM events WHERE id <> 2;
