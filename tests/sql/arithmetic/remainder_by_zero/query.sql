CREATE TABLE pairs (
  id INT NOT NULL,
  a BIGINT,
  b BIGINT
) WITH (connector = 'single_file', path = 'pairs.jsonl', format = 'json', type = 'source');

SELECT id, a % b AS remainder FROM pairs;
