CREATE TABLE beats (
  counter BIGINT UNSIGNED,
  at TIMESTAMP GENERATED ALWAYS AS (metadata('_timestamp')) STORED
) WITH (connector = 'impulse', message_count = 4, start_time = '2024-03-01T00:00:00Z', event_time_interval = '90m');

SELECT counter, at FROM beats;
