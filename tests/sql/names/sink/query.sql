CREATE TABLE events (
  userId BIGINT,
  eventType TEXT,
  amountDue DOUBLE,
  createdAt TIMESTAMP NOT NULL,
  WATERMARK FOR createdAt
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result (userId BIGINT, totalDue DOUBLE, "kind" TEXT)
WITH (connector = 'single_file', path = '$OUT/result.json', format = 'json', type = 'sink');
CREATE TABLE everything WITH (connector = 'single_file', path = '$OUT/everything.json', format = 'json', type = 'sink');

INSERT INTO result SELECT userid, amountdue, eventtype FROM events WHERE amountdue > 0;
INSERT INTO result (TOTALDUE, "userid") SELECT amountDue, userId FROM events WHERE amountdue <= 0;
INSERT INTO everything SELECT *, amountDue * 2 AS twiceDue, amountDue * 3 AS "threeTimesDue" FROM events;
