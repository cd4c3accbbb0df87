CREATE TABLE v (
  id INT NOT NULL,
  t TIME,
  u TIME,
  at TIMESTAMP
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  t,
  t < u AS earlier,
  t = TIME '10:15:00' AS quarter_past,
  t BETWEEN TIME '00:00:00' AND TIME '12:00:00' AS morning,
  coalesce(t, u) AS known,
  greatest(t, u) AS later,
  extract(hour FROM t) AS hour,
  extract(minute FROM t) AS minute,
  CAST(at AS TIME) AS clock,
  CAST(t AS TEXT) AS text
FROM v;
