CREATE TABLE events (
  userId BIGINT,
  eventType TEXT,
  amountDue DOUBLE,
  createdAt TIMESTAMP NOT NULL,
  WATERMARK FOR createdAt
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

SELECT userId, events.eventtype, AMOUNTDUE + 1 AS nextAmount, "USERID" AS id
FROM events WHERE userid <> 3 AND eventtype || '!' <> '!';
