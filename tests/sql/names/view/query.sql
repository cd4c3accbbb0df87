CREATE TABLE events (
  userId BIGINT,
  eventType TEXT,
  amountDue DOUBLE,
  createdAt TIMESTAMP NOT NULL,
  WATERMARK FOR createdAt
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE VIEW clicks AS SELECT userId, eventType AS kind, createdAt FROM events WHERE EVENTTYPE = 'click';
CREATE TABLE kept (userId BIGINT, seenAt TIMESTAMP);
INSERT INTO kept SELECT userid, createdat FROM clicks;

WITH seen AS (SELECT USERID AS "theUser", seenat FROM kept)
SELECT theuser, k.SEENAT FROM seen AS k WHERE k.theUser IS NOT NULL
UNION ALL
SELECT "userid", "createdat" FROM clicks WHERE "USERID" IS NULL;
