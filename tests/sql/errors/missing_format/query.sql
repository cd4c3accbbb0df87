CREATE TABLE t (
  a INT
) WITH (connector = 'filesystem', path = 'x');

SELECT * FROM t;
