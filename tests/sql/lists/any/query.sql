CREATE TABLE v (
  id INT NOT NULL,
  xs BIGINT[],
  ts TEXT[],
  n BIGINT,
  t TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  n = ANY(xs) AS in_xs,
  t = ANY(ts) AS in_ts,
  5 = ANY(xs) AS has_five,
  n = ANY([1, 2, 3]) AS small
FROM v WHERE NOT 7 = ANY(xs) OR n IS NULL OR xs IS NULL;
