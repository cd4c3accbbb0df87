SELECT "userId", "amountDue" AS "totalDue", "eventType" AS kind FROM events WHERE "amountDue" > 0;
SELECT "userId", "amountDue" AS "totalDue", NULL AS kind FROM events WHERE "amountDue" <= 0;
SELECT *, "amountDue" * 2 AS twicedue, "amountDue" * 3 AS "threeTimesDue" FROM events;
