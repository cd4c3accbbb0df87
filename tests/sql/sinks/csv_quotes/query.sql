CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result (line TEXT) WITH (connector = 'single_file', path = '$OUT/result.csv', format = 'csv', 'csv.header' = 'false', type = 'sink');

INSERT INTO result SELECT concat(kind, ',', n, ', Grüße') AS line FROM events;
