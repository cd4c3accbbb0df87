CREATE TABLE events (
  at TIMESTAMP METADATA FROM '_timestamp'
) WITH (connector = 'nexmark', event_rate = 100, message_count = 250, pacing = 'none', start_time = '2024-03-01T00:00:00Z');

SELECT count(*) AS bids, count(*) FILTER (WHERE at = bid.datetime) AS same, min(at) AS first, max(at) AS last
FROM events WHERE bid IS NOT NULL
GROUP BY tumble(INTERVAL '1 second');
