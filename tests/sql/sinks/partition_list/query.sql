CREATE TABLE events (
  userId BIGINT,
  eventType TEXT,
  amountDue DOUBLE,
  createdAt TIMESTAMP NOT NULL,
  WATERMARK FOR createdAt
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result (userId BIGINT, eventType TEXT, amountDue DOUBLE) WITH (
  connector = 'filesystem', path = '$OUT/result', format = 'json', type = 'sink',
  'partitioning.fields' = [userid, eventType],
  'rolling_policy.file_size' = '128MB', 'multipart.target_part_size' = '5 MiB'
);

INSERT INTO result SELECT userId, eventType, amountDue FROM events;
