CREATE TABLE v (
  id INT NOT NULL,
  s TIMESTAMP(0),
  ms TIMESTAMP(3),
  us TIMESTAMP(6),
  ns TIMESTAMP(9)
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, s, ms, us, ns, s = ms AS same, ms < us AS less, us + INTERVAL '1 millisecond' AS later, coalesce(s, ms, ns) AS any_of, greatest(ms, ns) AS last FROM v;
