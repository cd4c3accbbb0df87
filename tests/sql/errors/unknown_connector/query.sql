CREATE TABLE t (
  a INT
) WITH (connector = 'kafak', path = 'x');

SELECT * FROM t;
