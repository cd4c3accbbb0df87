-- Bids from the generator, as fast as they are taken; 100 000 events are a second of event time. $EVENTS is replaced.
CREATE TABLE nexmark WITH (
    connector = 'nexmark',
    event_rate = '100000',
    message_count = '$EVENTS',
    start_time = '2025-01-01T00:00:00Z',
    pacing = 'none'
);

CREATE VIEW bids AS
SELECT
    bid.auction AS auction,
    bid.bidder AS bidder,
    bid.price AS price,
    bid.channel AS channel,
    bid.url AS url,
    bid.datetime AS dt
FROM nexmark
WHERE bid IS NOT NULL;
