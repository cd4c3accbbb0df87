SELECT
  id,
  s LIKE '10\%' AS percent,
  s LIKE '%\_%' AS has_underscore,
  s NOT LIKE 'a!b' AS no_bang,
  s ILIKE 'A\\%' AS backslash,
  s LIKE '\%' AS escape_is_a_letter,
  s LIKE replace(replace(replace(p, '!!', '~'), '!', '\'), '~', '!') AS of_the_row
FROM v;
