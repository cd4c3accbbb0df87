SELECT "userId", sum("amountDue") AS total FROM events GROUP BY "userId", date_bin(INTERVAL '10 seconds', "createdAt");
