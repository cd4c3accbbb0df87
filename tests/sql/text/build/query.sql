CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  t TEXT,
  n INT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  s || t AS joined,
  concat(s, '-', t, n) AS concatenated,
  concat_ws('|', s, t, 'end') AS separated,
  lpad(s, 8, '*') AS left_padded,
  rpad(s, 8, 'äö') AS right_padded,
  repeat(t, 3) AS three,
  replace(s, t, '<>') AS replaced,
  translate(s, 'lo', 'LO') AS translated,
  chr(65 + id) AS letter
FROM v;
