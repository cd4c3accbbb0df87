CREATE TABLE t (
  a INT
) WITH (connector = 'filesystem', path = 'x', format = 'json', 'storage.aws_region' = 'us-east-1');

SELECT * FROM t;
