CREATE TABLE v (
  id INT NOT NULL,
  s BIGINT,
  d INT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, TRY_CAST(CAST(s AS TIMESTAMP(0)) AS DATE) AS day, TRY_CAST(CAST(d AS DATE) AS TIMESTAMP(6)) AS midnight FROM v;
