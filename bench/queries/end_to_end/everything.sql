INSERT INTO results
SELECT person, auction, bid FROM nexmark;
