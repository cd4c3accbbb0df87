CREATE TABLE results (auction BIGINT, bids BIGINT, total BIGINT)
    WITH (connector = 'blackhole', format = 'debezium_json', type = 'sink');
INSERT INTO results
SELECT auction, count(*) AS bids, sum(price) AS total
FROM bids
GROUP BY auction;
