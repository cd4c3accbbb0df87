CREATE TABLE events (
  userId BIGINT,
  eventType TEXT,
  amountDue DOUBLE,
  createdAt TIMESTAMP NOT NULL,
  isLarge BOOLEAN GENERATED ALWAYS AS ("amountDue" > 1),
  WATERMARK FOR createdat AS CREATEDAT - INTERVAL '2 seconds'
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

SELECT tumble(INTERVAL '10 seconds') AS "timeWindow", userId, count(*) AS "eventCount", count(islarge) AS "known"
FROM events
GROUP BY timeWindow, "userid"
HAVING max(amountDue) > 0;
