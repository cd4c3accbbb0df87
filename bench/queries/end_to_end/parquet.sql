-- Bids from a Parquet file. $IN is replaced.
CREATE TABLE bids (
    auction BIGINT NOT NULL,
    bidder BIGINT NOT NULL,
    price BIGINT NOT NULL,
    channel TEXT NOT NULL,
    url TEXT NOT NULL,
    dt TIMESTAMP NOT NULL,
    WATERMARK FOR dt AS dt - INTERVAL '1 second'
) WITH (connector = 'single_file', path = '$IN', format = 'parquet', type = 'source');
