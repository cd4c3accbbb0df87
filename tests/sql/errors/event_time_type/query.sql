CREATE TABLE t (
  a INT,
  WATERMARK FOR a
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT * FROM t;
