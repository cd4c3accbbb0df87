CREATE TABLE t (
  a INT,
  a TEXT
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT * FROM t;
