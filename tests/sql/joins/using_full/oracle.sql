SELECT coalesce(a.customer, b.customer) AS customer, coalesce(a.start, b.start) AS start, total, clicks
FROM (SELECT customer, date_bin(INTERVAL '10 seconds', at) AS start, sum(amount) AS total FROM orders GROUP BY 1, 2) AS a
FULL JOIN (SELECT customer, date_bin(INTERVAL '10 seconds', at) AS start, count(*) AS clicks FROM clicks GROUP BY 1, 2) AS b ON a.customer = b.customer AND a.start = b.start;
