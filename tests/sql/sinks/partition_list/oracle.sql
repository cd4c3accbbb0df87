SELECT "userId", "eventType", "amountDue" FROM events;
