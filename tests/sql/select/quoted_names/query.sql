CREATE TABLE events (
  id INT NOT NULL,
  "MixedCase" TEXT,
  "select" INT,
  übung INT
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

SELECT "MixedCase" AS "A b", "select" + 1 AS "FROM", übung AS "ü", ID AS id FROM events;
