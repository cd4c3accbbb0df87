CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP,
  other TIMESTAMP,
  day DATE,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  to_char(at, '%Y-%m-%d %H:%M:%S%.3f') AS formatted,
  to_timestamp(CAST(at AS TEXT)) = at AS round_trip,
  to_date(CAST(day AS TEXT)) AS day,
  make_date(2000 + id, 2, 28) AS made,
  at = '2024-02-29 23:59:59.999' AS leap
FROM v;
