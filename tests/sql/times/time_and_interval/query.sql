CREATE TABLE v (
  id INT NOT NULL,
  t TIME
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, t + INTERVAL '90 minutes' AS later, t - INTERVAL '1 hour' AS earlier, INTERVAL '30 seconds' + t AS soon FROM v;
