CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  b INT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

CREATE VIEW digits AS SELECT id, s, b FROM v WHERE s ~ '^[0-9]{1,9}$';

SELECT id FROM digits
WHERE CAST(s AS INT) > 5 AND CASE WHEN b = 0 THEN false WHEN 100 / b > 10 THEN true ELSE false END;
