CREATE TABLE t (
  at TIMESTAMP,
  WATERMARK FOR att
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT * FROM t;
