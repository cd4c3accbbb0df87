CREATE TABLE v (
  id INT NOT NULL,
  s TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  encode(s, 'base64') AS base64,
  encode(CAST(s AS BYTEA), 'hex') AS hex,
  decode(encode(s, 'hex'), 'hex') AS bytes,
  CAST(decode(encode(s, 'hex'), 'hex') AS TEXT) = s AS round_trip,
  CAST(s AS BYTEA) = CAST('abc' AS BYTEA) AS is_abc
FROM v;
