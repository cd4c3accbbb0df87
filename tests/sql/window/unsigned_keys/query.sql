CREATE TABLE v (
  id INT NOT NULL,
  t TINYINT,
  tu TINYINT UNSIGNED,
  bu BIGINT UNSIGNED,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT t, bu, count(*) AS rows, sum(tu) AS total, max(id) AS last FROM v GROUP BY t, bu, tumble(INTERVAL '1 minute');
