-- The second row of the slow table comes after two seconds. Its table is idle by then, so the fast one has closed the
-- window; would it not be, the window had two rows.
CREATE TABLE slow (
  counter BIGINT UNSIGNED,
  at TIMESTAMP METADATA FROM '_timestamp',
  WATERMARK FOR at
) WITH (
  connector = 'impulse', event_rate = 0.5, message_count = 2,
  start_time = '2024-03-01T00:00:00Z', event_time_interval = '1s', idle_micros = 100000
);

CREATE TABLE fast (
  counter BIGINT UNSIGNED,
  at TIMESTAMP METADATA FROM '_timestamp',
  WATERMARK FOR at
) WITH (
  connector = 'impulse', event_rate = 20, message_count = 50,
  start_time = '2024-03-01T00:01:00Z', event_time_interval = '1s'
);

SELECT tumble(INTERVAL '30 seconds') AS window, count(*) AS rows, max(counter) AS last
FROM (SELECT counter, at FROM slow UNION ALL SELECT counter, at FROM fast) AS both_tables
GROUP BY window;
