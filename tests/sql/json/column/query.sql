CREATE TABLE v (
  id INT NOT NULL,
  doc JSON
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, doc, json_get_int(doc, 'n') + 1 AS next, CAST(doc AS TEXT) AS text FROM v WHERE doc IS NOT NULL;
