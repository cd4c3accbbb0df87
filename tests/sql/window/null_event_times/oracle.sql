SELECT kind, count(*) AS rows FROM v WHERE at IS NOT NULL GROUP BY kind, date_bin(INTERVAL '10 seconds', at);
