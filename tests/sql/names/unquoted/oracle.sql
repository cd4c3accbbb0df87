SELECT "userId", "eventType", "amountDue" + 1 AS nextamount, "userId" AS id FROM events WHERE "userId" <> 3 AND "eventType" || '!' <> '!';
