CREATE TABLE t (
  a INT
) WITH (path = 'x');

SELECT * FROM t;
