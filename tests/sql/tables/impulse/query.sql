CREATE TABLE beats WITH (connector = 'impulse', message_count = 20, start_time = '2024-03-01T00:00:00Z', event_time_interval = '1s');

SELECT counter, counter % 3 AS rest FROM beats WHERE counter >= 15;
