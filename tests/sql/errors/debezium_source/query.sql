CREATE TABLE t (
  a INT
) WITH (connector = 'single_file', path = 'x', format = 'debezium_json');

SELECT * FROM t;
