CREATE TABLE v (
  id INT NOT NULL,
  xs BIGINT[],
  ts TEXT[],
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  make_array(n, id) AS made,
  array_append(xs, n) AS longer,
  array_concat(xs, [100]) AS joined,
  array_sort(ts) AS sorted,
  array_distinct(xs) AS different,
  array_to_string(ts, '+') AS text,
  array_has(xs, 2) AS has_two,
  array_reverse(xs) AS backwards,
  array_slice(ts, 1, 2) AS head
FROM v;
