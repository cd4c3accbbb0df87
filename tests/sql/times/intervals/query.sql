CREATE TABLE v (
  id INT NOT NULL,
  span INTERVAL,
  other INTERVAL,
  at TIMESTAMP
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  span,
  span + other AS both_spans,
  span - other AS rest,
  span + INTERVAL '1 day' AS longer,
  -span AS back,
  at + span AS later,
  at - span AS earlier,
  coalesce(span, other) AS known,
  span = other AS same,
  span IS DISTINCT FROM other AS differs,
  span IS NULL AS absent
FROM v;
