CREATE TABLE t (
  a INT
) WITH (connector = 'single_file', path = 'x', format = 'avro');

SELECT * FROM t;
