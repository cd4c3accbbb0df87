CREATE TABLE w (
  id INT NOT NULL,
  s TEXT
) WITH (connector = 'single_file', path = 'w.jsonl', format = 'json', type = 'source');

SELECT id, string_to_array(s, ',') AS parts, string_to_array(s, ',')[2] AS second, array_length(string_to_array(s, ',')) AS n, ['x', s] AS pair FROM w;
