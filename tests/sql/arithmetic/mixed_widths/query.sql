CREATE TABLE m (
  id INT NOT NULL,
  t TINYINT,
  s SMALLINT,
  i INT,
  b BIGINT,
  u INT UNSIGNED,
  f REAL
) WITH (connector = 'single_file', path = 'm.jsonl', format = 'json', type = 'source');

SELECT
  id,
  t + s AS ts,
  s + i AS si,
  i + b AS ib,
  u - i AS ui,
  t * f AS tf,
  i / 2.0 AS half,
  u > i AS greater,
  t = b AS same,
  greatest(t, b) AS most
FROM m;
