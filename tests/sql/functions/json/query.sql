CREATE TABLE events (
  id BIGINT NOT NULL,
  body JSON,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

SELECT
  id,
  body -> 'tags' AS tags,
  body ->> 'name' AS name,
  json_get_int(body, 'n') AS n,
  body ? 'n' AS has_n,
  json_length(body, 'tags') AS tag_count,
  extract_json_string(body, '$.inner.x') AS x,
  extract_json(body, '$.tags[*]') AS all_tags
FROM events;
