CREATE TABLE events (
  userId BIGINT,
  eventType TEXT,
  amountDue DOUBLE,
  createdAt TIMESTAMP NOT NULL,
  WATERMARK FOR createdAt
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

SELECT "userId", "eventType" AS kind, "amountDue" * 2 AS "twiceDue", "createdAt"
FROM events WHERE "userId" <> 3 OR "amountDue" > 2;
