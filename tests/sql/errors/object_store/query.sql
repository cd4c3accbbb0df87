CREATE TABLE t (
  a INT
) WITH (connector = 'filesystem', path = 's3://bucket/x', format = 'json');

SELECT * FROM t;
