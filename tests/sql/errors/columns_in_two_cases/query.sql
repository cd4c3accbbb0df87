CREATE TABLE t (
  userId BIGINT,
  USERID BIGINT,
  place STRUCT<zipCode INT, ZIPCODE INT>
) WITH (connector = 'single_file', path = 'x.jsonl', format = 'json');

SELECT * FROM t;
