CREATE TABLE v (
  id INT NOT NULL,
  s TEXT,
  t TEXT,
  n INT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  upper(s) AS upper,
  lower(s) AS lower,
  initcap(s) AS capitals,
  char_length(s) AS letters,
  octet_length(s) AS bytes,
  bit_length(s) AS bits,
  ascii(s) AS first
FROM v;
