CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result WITH (connector = 'single_file', path = '$OUT/result.json.zst', format = 'json', type = 'sink');

INSERT INTO result SELECT id, kind FROM events WHERE n > 0;
