CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP,
  other TIMESTAMP,
  day DATE,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  extract(year FROM at) AS y,
  extract(month FROM day) AS m,
  extract(day FROM at) AS d,
  extract(hour FROM at) AS h,
  date_part('minute', at) AS minute,
  date_part('second', at) AS s,
  date_part('millisecond', at) AS ms,
  date_part('dow', at) AS dow,
  date_part('doy', day) AS doy,
  date_part('week', day) AS week,
  date_part('quarter', day) AS quarter,
  extract(epoch FROM at) AS epoch
FROM v;
