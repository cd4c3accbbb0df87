CREATE TABLE t (
  a INT
) WITH (connector = 'single_file', paht = 'x.jsonl', format = 'json');

SELECT * FROM t;
