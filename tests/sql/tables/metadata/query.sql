CREATE TABLE beats (
  counter BIGINT UNSIGNED,
  subtask_index BIGINT UNSIGNED,
  at TIMESTAMP METADATA FROM '_timestamp'
) WITH (connector = 'impulse', message_count = 6, start_time = '2024-03-01T00:00:00Z', event_time_interval = '1500ms');

SELECT counter, at, date_trunc('second', at) AS second FROM beats;
