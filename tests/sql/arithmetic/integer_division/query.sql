CREATE TABLE pairs (
  id INT NOT NULL,
  a BIGINT,
  b BIGINT
) WITH (connector = 'single_file', path = 'pairs.jsonl', format = 'json', type = 'source');

SELECT id, a / b AS quotient, a % b AS remainder, (a / b) * b + a % b = a AS consistent, -7 / 2 AS constant, a / 3 AS third
FROM pairs;
