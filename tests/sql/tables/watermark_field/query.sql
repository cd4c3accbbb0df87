CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP NOT NULL,
  sure TIMESTAMP GENERATED ALWAYS AS (at - INTERVAL '10 seconds') STORED
) WITH (
  connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source',
  event_time_field = 'at', watermark_field = 'sure'
);

SELECT count(*) AS rows, min(id) AS first, max(sure) AS last FROM v GROUP BY tumble(INTERVAL '10 seconds');
