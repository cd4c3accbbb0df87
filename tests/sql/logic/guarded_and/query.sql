CREATE TABLE v (
  id INT NOT NULL,
  a INT,
  b INT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, b <> 0 AND 100 / b > 10 AS share, b = 0 OR 100 / b > 10 AS zero_or_share
FROM v;
