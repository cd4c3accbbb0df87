CREATE TABLE l (
  id INT NOT NULL,
  p BOOLEAN,
  q BOOLEAN
) WITH (connector = 'single_file', path = 'l.jsonl', format = 'json', type = 'source');

SELECT id, p AND q AS conjunction, p OR q AS disjunction, NOT p AS negation, p = q AS same, NOT (p AND q) AS nand, p AND NOT p AS absurd
FROM l;
