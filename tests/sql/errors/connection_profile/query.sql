CREATE TABLE t (
  a INT
) WITH (connector = 'filesystem', connection_profile = 'bucket', path = 'x', format = 'json');

SELECT * FROM t;
