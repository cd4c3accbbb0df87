CREATE TABLE v (
  id INT NOT NULL,
  body TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  json_get_int(body, 'a') AS a,
  json_get_str(body, 'b') AS b,
  json_get_float(body, 'c', 1) AS c,
  json_get_bool(body, 'd', 'e') AS e,
  json_as_text(body, 'a') AS text,
  json_contains(body, 'b') AS has_b,
  json_length(body) AS n,
  json_object_keys(body) AS keys
FROM v;
