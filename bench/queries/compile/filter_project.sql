-- Filter and project: expressions of several types, one stage.
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

CREATE TABLE expensive (
    auction BIGINT,
    bidder BIGINT,
    euros DOUBLE,
    channel TEXT,
    day TIMESTAMP,
    is_even BOOLEAN
) WITH (connector = 'single_file', path = '/tmp/expensive.json', format = 'json', type = 'sink');

INSERT INTO expensive
SELECT
    auction,
    bidder,
    price * 0.89 / 100 AS euros,
    CASE WHEN channel = 'Google' THEN 'google' ELSE channel END AS channel,
    date_trunc('day', dt) AS day,
    auction % 2 = 0 AS is_even
FROM bids
WHERE price > 1000 AND channel LIKE 'G%';
