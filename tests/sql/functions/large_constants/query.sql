CREATE TABLE v (
  id INT NOT NULL,
  s TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  array_length(range(0, 100000)) AS items,
  length(repeat('xy', 100000)) AS letters,
  range(0, 100000)[id] AS item,
  repeat('ab', 2) || s AS small
FROM v WHERE length(lpad('x', 50000 + 20000)) = 70000;
