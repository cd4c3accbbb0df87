SELECT "userId" AS "theUser", "createdAt" AS "seenAt" FROM events WHERE "eventType" = 'click';
