CREATE TABLE v (
  id INT NOT NULL,
  items STRUCT<label TEXT, n INT>[],
  tags ARRAY<TEXT>,
  grid ARRAY<ARRAY<INT>>
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  items,
  items[1] AS first,
  items[1].label AS label,
  items[2].n AS n,
  array_length(items) AS members,
  tags,
  tags[2] AS second,
  grid,
  grid[1][2] AS cell
FROM v;
