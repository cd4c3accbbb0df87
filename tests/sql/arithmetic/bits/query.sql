CREATE TABLE pairs (
  id INT NOT NULL,
  a BIGINT,
  b BIGINT
) WITH (connector = 'single_file', path = 'pairs.jsonl', format = 'json', type = 'source');

SELECT id, a & b AS conjunction, a | b AS disjunction, a # b AS exclusive, a << 3 AS left_shift, a >> 1 AS right_shift
FROM pairs;
