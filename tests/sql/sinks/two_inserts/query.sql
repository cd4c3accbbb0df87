CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result (id BIGINT, name TEXT) WITH (connector = 'single_file', path = '$OUT/result.json', format = 'json', type = 'sink');

INSERT INTO result SELECT id, kind AS name FROM events WHERE n > 4;
INSERT INTO result (name, id) SELECT upper(kind) AS name, n AS id FROM events WHERE n <= 4;
