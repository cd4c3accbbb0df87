-- 10 s tumble, count and sum by an integer key.
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
    auction BIGINT,
    start TIMESTAMP,
    bids BIGINT,
    total BIGINT
) WITH (connector = 'single_file', path = '/tmp/totals.json', format = 'json', type = 'sink');

INSERT INTO totals
SELECT auction, window.start, bids, total
FROM (
    SELECT auction, tumble(INTERVAL '10 seconds') AS window, count(*) AS bids, sum(price) AS total
    FROM bids
    GROUP BY auction, window
);
