CREATE TABLE self (
  value INT,
  value2 INT,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT CAST(value AS BIGINT) AS a, CAST(value2 AS BIGINT) AS b, count(*) AS rows FROM self GROUP BY CAST(value AS BIGINT), CAST(value2 AS BIGINT), tumble(INTERVAL '1 minute');
