CREATE TABLE t (
  a INT,
  b INT GENERATED ALWAYS AS (c + 1) STORED
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT * FROM t;
