CREATE TABLE clicks (
  seconds BIGINT NOT NULL,
  page TEXT,
  at TIMESTAMP GENERATED ALWAYS AS (to_timestamp(seconds)) STORED,
  WATERMARK FOR at AS at - INTERVAL '5 seconds'
) WITH (connector = 'single_file', path = 'clicks.csv', format = 'csv', type = 'source');

SELECT page, count(*) AS clicks FROM clicks GROUP BY page, tumble(INTERVAL '1 minute');
