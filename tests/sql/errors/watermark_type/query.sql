CREATE TABLE t (
  at TIMESTAMP,
  WATERMARK FOR at AS 1
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT * FROM t;
