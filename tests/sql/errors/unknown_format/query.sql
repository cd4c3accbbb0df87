CREATE TABLE t (
  a INT
) WITH (connector = 'single_file', path = 'x', format = 'jsn');

SELECT * FROM t;
