CREATE TABLE v (
  t TINYINT,
  tu TINYINT UNSIGNED,
  bu BIGINT UNSIGNED,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT t, sum(bu) AS total, min(bu) AS least, max(bu) AS most, sum(t) AS tiny, max(tu) AS top, count(DISTINCT tu) AS kinds
FROM v GROUP BY t, tumble(INTERVAL '1 minute');
