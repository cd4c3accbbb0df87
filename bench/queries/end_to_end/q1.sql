INSERT INTO results
SELECT auction, bidder, price * 0.908 AS price, dt FROM bids;
