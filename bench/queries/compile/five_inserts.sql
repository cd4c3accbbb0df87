-- Five INSERTs from one table: filters, projections and three windows.
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

CREATE TABLE by_auction (auction BIGINT, start TIMESTAMP, bids BIGINT, total BIGINT)
WITH (connector = 'single_file', path = '/tmp/by_auction.json', format = 'json', type = 'sink');
CREATE TABLE by_channel (channel TEXT, start TIMESTAMP, bids BIGINT, dearest BIGINT)
WITH (connector = 'single_file', path = '/tmp/by_channel.json', format = 'json', type = 'sink');
CREATE TABLE by_bidder (bidder BIGINT, start TIMESTAMP, mean DOUBLE)
WITH (connector = 'single_file', path = '/tmp/by_bidder.json', format = 'json', type = 'sink');
CREATE TABLE expensive (auction BIGINT, price BIGINT, url TEXT)
WITH (connector = 'single_file', path = '/tmp/expensive.json', format = 'json', type = 'sink');
CREATE TABLE converted (auction BIGINT, euros DOUBLE, hour TIMESTAMP)
WITH (connector = 'single_file', path = '/tmp/converted.json', format = 'json', type = 'sink');

INSERT INTO by_auction
SELECT auction, window.start, bids, total
FROM (
    SELECT auction, tumble(INTERVAL '10 seconds') AS window, count(*) AS bids, sum(price) AS total
    FROM bids
    GROUP BY auction, window
);

INSERT INTO by_channel
SELECT channel, window.start, bids, dearest
FROM (
    SELECT channel, tumble(INTERVAL '1 minute') AS window, count(*) AS bids, max(price) AS dearest
    FROM bids
    GROUP BY channel, window
);

INSERT INTO by_bidder
SELECT bidder, window.start, mean
FROM (
    SELECT bidder, tumble(INTERVAL '1 hour') AS window, avg(price) AS mean
    FROM bids
    GROUP BY bidder, window
);

INSERT INTO expensive
SELECT auction, price, url FROM bids WHERE price > 100000;

INSERT INTO converted
SELECT auction, price * 0.89 AS euros, date_trunc('hour', dt) AS hour FROM bids WHERE channel IS NOT NULL;
