CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE both_kinds (key BIGINT, name TEXT);
CREATE TABLE one WITH (connector = 'single_file', path = '$OUT/one.json', format = 'json', type = 'sink');
CREATE TABLE two WITH (connector = 'single_file', path = '$OUT/two.json', format = 'json', type = 'sink');

INSERT INTO both_kinds SELECT id, kind FROM events WHERE kind = 'a' UNION ALL SELECT n, upper(kind) FROM events WHERE kind <> 'a';
INSERT INTO one SELECT name, key FROM both_kinds WHERE key > 3;
INSERT INTO two SELECT key + 1 AS key FROM both_kinds;
