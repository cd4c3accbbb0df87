CREATE TABLE t (
  a INT
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json', evnt_time_field = 'a');

SELECT * FROM t;
