CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result WITH (
  connector = 'filesystem', path = '$OUT/result', format = 'json', 'json.compression' = 'gzip', type = 'sink'
);

INSERT INTO result SELECT id, kind, at FROM events;
