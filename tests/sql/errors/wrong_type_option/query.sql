CREATE TABLE t (
  a INT
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json', type = 'sinc');

SELECT * FROM t;
