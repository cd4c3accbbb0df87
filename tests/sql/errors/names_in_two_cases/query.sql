CREATE TABLE t (
  "userId" BIGINT,
  "userid" BIGINT
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT "USERID" FROM t;
