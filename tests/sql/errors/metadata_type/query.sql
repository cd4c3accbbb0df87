CREATE TABLE t (
  a TEXT METADATA FROM '_timestamp'
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT * FROM t;
