CREATE TABLE pairs (
  id INT NOT NULL,
  a BIGINT,
  b BIGINT
) WITH (connector = 'single_file', path = 'pairs.jsonl', format = 'json', type = 'source');

SELECT
  id,
  a + b AS total,
  a - b AS difference,
  a * b AS product,
  -a AS negated,
  a + 1 AS next,
  CAST(id AS TINYINT) * CAST(100 AS TINYINT) AS tiny
FROM pairs;
