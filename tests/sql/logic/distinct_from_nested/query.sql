CREATE TABLE v (
  id INT NOT NULL,
  a STRUCT<x INT, y TEXT>,
  b STRUCT<x INT, y TEXT>,
  l INT[],
  m INT[]
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  a IS DISTINCT FROM b AS structs,
  a IS NOT DISTINCT FROM b AS same,
  l IS DISTINCT FROM m AS lists,
  a = b AS equal_structs,
  l = m AS equal_lists
FROM v;
