CREATE TABLE v (
  id INT NOT NULL,
  a INT,
  b INT,
  s TEXT,
  t TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id FROM v WHERE CASE WHEN b <> 0 THEN a / b > 1 ELSE a > 5 END;
