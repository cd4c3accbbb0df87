INSERT INTO results
SELECT auction, tumble(INTERVAL '10 seconds') AS window, count(*) AS bids, sum(price) AS total
FROM bids
GROUP BY auction, window;
