CREATE TABLE v (
  id INT NOT NULL,
  xs BIGINT[],
  ts TEXT[],
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  xs[1] AS first,
  xs[-1] AS last,
  xs[n] AS nth,
  ts[2] AS second,
  array_length(xs) AS n,
  cardinality(ts) AS members,
  array_position(ts, 'b') AS place,
  xs IS NULL AS absent
FROM v;
