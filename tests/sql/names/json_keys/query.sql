CREATE TABLE v (
  id INT NOT NULL,
  userId BIGINT,
  place STRUCT<zipCode INT, City TEXT>
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, userId, place FROM v;
