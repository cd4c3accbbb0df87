CREATE TABLE v (value JSON) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', 'json.unstructured' = 'true', type = 'source');

SELECT value, json_get_int(value, 'n') AS n, json_length(value) AS members FROM v;
