INSERT INTO results
SELECT auction, bidder, price, dt FROM bids;
