-- 10 s tumble, count and sum by a nullable string key.
CREATE TABLE bids (
    auction BIGINT NOT NULL,
    bidder BIGINT NOT NULL,
    price BIGINT NOT NULL,
    channel TEXT,
    url TEXT,
    dt TIMESTAMP NOT NULL,
    WATERMARK FOR dt AS dt - INTERVAL '1 second'
) WITH (
    connector = 'single_file',
    path = '/tmp/bids.json',
    format = 'json',
    type = 'source'
);

CREATE TABLE totals (
    channel TEXT,
    start TIMESTAMP,
    bids BIGINT,
    total BIGINT
) WITH (connector = 'single_file', path = '/tmp/totals.json', format = 'json', type = 'sink');

INSERT INTO totals
SELECT channel, window.start, bids, total
FROM (
    SELECT channel, tumble(INTERVAL '10 seconds') AS window, count(*) AS bids, sum(price) AS total
    FROM bids
    GROUP BY channel, window
);
