CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE VIEW named (key, label) AS SELECT id, coalesce(kind, '?') FROM events WHERE n >= 0;
CREATE TABLE high AS SELECT key, label FROM named WHERE key > 3;
CREATE TABLE one WITH (connector = 'single_file', path = '$OUT/one.json', format = 'json', type = 'sink');
CREATE TABLE two WITH (connector = 'single_file', path = '$OUT/two.json', format = 'json', type = 'sink');

INSERT INTO one SELECT key FROM named WHERE label <> 'ü';
INSERT INTO two SELECT label, key FROM high;
