SELECT
  named_struct('start', date_bin(INTERVAL '10 seconds', "createdAt"), 'end', date_bin(INTERVAL '10 seconds', "createdAt") + INTERVAL '10 seconds') AS "timeWindow",
  "userId",
  count(*) AS "eventCount",
  count("amountDue") AS "known"
FROM events
GROUP BY date_bin(INTERVAL '10 seconds', "createdAt"), "userId"
HAVING max("amountDue") > 0;
