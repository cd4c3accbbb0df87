CREATE TABLE events (
  id INT NOT NULL,
  price DECIMAL(8, 2),
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result (id INT, price DECIMAL(8, 2), at TIMESTAMP) WITH (connector = 'single_file', path = '$OUT/result.json', format = 'json', 'json.decimal_encoding' = 'string', 'json.timestamp_format' = 'unix_millis', type = 'sink');

INSERT INTO result SELECT id, price, at FROM events;
