CREATE TABLE events (
  "userId" BIGINT,
  "amountDue" DOUBLE,
  "createdAt" TIMESTAMP,
  "latest" TIMESTAMP GENERATED ALWAYS AS ("createdAt" - INTERVAL '1 second')
) WITH (
  connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source',
  event_time_field = 'createdAt', watermark_field = 'latest'
);

SELECT "userId", sum("amountDue") AS total FROM events GROUP BY "userId", tumble(INTERVAL '10 seconds');
