CREATE TABLE t (
  a UUID,
  b TIMESTAMP(4),
  c DECIMAL(40, 2)
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT * FROM t;
