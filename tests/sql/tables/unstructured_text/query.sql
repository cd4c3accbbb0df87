CREATE TABLE v (value TEXT) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', 'json.unstructured' = 'true', type = 'source');

SELECT value, octet_length(value) AS bytes FROM v;
