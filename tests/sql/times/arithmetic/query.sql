CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP,
  other TIMESTAMP,
  day DATE,
  n BIGINT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  at + INTERVAL '1 month' AS month_later,
  at - INTERVAL '1 day 30 minutes' AS earlier,
  day + INTERVAL '1 month' AS day_later,
  at > other AS later,
  at + INTERVAL '0.5 seconds' >= other AS nearly,
  at BETWEEN TIMESTAMP '1969-01-01T00:00:00' AND TIMESTAMP '2024-02-29T23:59:59.999' AS within,
  day < '2000-01-01' AS old
FROM v;
