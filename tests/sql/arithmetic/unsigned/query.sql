CREATE TABLE v (
  id INT NOT NULL,
  t TINYINT,
  tu TINYINT UNSIGNED,
  su SMALLINT UNSIGNED,
  bu BIGINT UNSIGNED,
  b BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  t,
  tu,
  su,
  bu,
  t + t AS tt,
  tu + tu AS uu,
  su * su AS square,
  bu + bu AS twice,
  bu > b AS greater,
  bu = b AS same,
  TRY_CAST(bu AS BIGINT) AS fits,
  TRY_CAST(t AS BIGINT UNSIGNED) AS positive,
  -t AS negated
FROM v;
