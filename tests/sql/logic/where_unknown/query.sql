CREATE TABLE l (
  id INT NOT NULL,
  p BOOLEAN,
  q BOOLEAN
) WITH (connector = 'single_file', path = 'l.jsonl', format = 'json', type = 'source');

SELECT id FROM l WHERE NOT (p AND q);
