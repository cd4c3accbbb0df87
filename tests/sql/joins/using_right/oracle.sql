SELECT b.customer, b.start, b.start + INTERVAL '10 seconds' AS "end", total, clicks
FROM (SELECT customer, date_bin(INTERVAL '10 seconds', at) AS start, sum(amount) AS total FROM orders GROUP BY 1, 2) AS a
RIGHT JOIN (SELECT customer, date_bin(INTERVAL '10 seconds', at) AS start, count(*) AS clicks FROM clicks GROUP BY 1, 2) AS b ON a.customer = b.customer AND a.start = b.start WHERE b.customer IS NOT NULL;
