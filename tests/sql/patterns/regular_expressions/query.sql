CREATE TABLE v (
  id INT NOT NULL,
  s TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  s ~ '^a.c$' AS dot,
  s ~* 'B' AS any_case,
  s !~ '[0-9]' AS no_digit,
  regexp_like(s, 'a{2}|b{2}') AS doubled,
  regexp_replace(s, '(\d+)-(\d+)', '\2/\1') AS swapped,
  regexp_match(s, '([a-z])([a-z])') AS letters,
  regexp_count(s, '[abc]') AS n
FROM v;
