CREATE TABLE t (
  a TEXT METADATA FROM 'offset'
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT * FROM t;
