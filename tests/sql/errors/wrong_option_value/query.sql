CREATE TABLE t (
  a INT
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json', bad_data = 'ignore');

SELECT * FROM t;
