CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP,
  other TIMESTAMP,
  day DATE,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  to_timestamp(n) AS plain,
  to_timestamp_seconds(n) AS seconds,
  to_timestamp_millis(n) AS millis,
  to_timestamp_micros(n) AS micros,
  to_timestamp_nanos(n) AS nanos,
  from_unixtime(n) AS unix,
  to_timestamp(n) = at AS same
FROM v;
