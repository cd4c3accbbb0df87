CREATE TABLE t (
  a INT
) WITH (connector = 'single_file', format = 'json');

SELECT * FROM t;
