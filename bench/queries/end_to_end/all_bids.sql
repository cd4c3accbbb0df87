INSERT INTO results
SELECT auction, bidder, price, channel, url, dt FROM bids;
