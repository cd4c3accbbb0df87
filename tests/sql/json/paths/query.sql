CREATE TABLE v (
  id INT NOT NULL,
  body TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, extract_json_string(body, '$.b') AS b, extract_json(body, '$.c[*]') AS items, get_first_json_object(body, '$.d') AS d, extract_json_string(body, '$[1]') AS second
FROM v;
