CREATE TABLE nexmark WITH (connector = 'nexmark', event_rate = 100, message_count = 500, pacing = 'none', start_time = '2024-03-01T00:00:00Z');

SELECT bid.auction % 5 AS slot, count(*) AS bids, max(bid.price) AS highest
FROM nexmark WHERE bid IS NOT NULL
GROUP BY bid.auction % 5, tumble(INTERVAL '2 seconds');
