CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result (id INT, kind TEXT) WITH (connector = 'filesystem', path = '$OUT/result', format = 'json', 'partitioning.fields' = 'kind', type = 'sink');

INSERT INTO result SELECT id, kind FROM events;
