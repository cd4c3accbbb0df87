CREATE TABLE l (
  id INT NOT NULL,
  p BOOLEAN,
  q BOOLEAN
) WITH (connector = 'single_file', path = 'l.jsonl', format = 'json', type = 'source');

SELECT
  id,
  p IS TRUE AS t,
  p IS NOT TRUE AS not_t,
  p IS FALSE AS f,
  p IS NOT FALSE AS not_f,
  p IS UNKNOWN AS u,
  p IS NOT UNKNOWN AS not_u,
  (p AND q) IS NOT TRUE AS unproven
FROM l;
