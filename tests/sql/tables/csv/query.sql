CREATE TABLE v (
  id INT NOT NULL,
  name TEXT,
  x DOUBLE,
  ok BOOLEAN,
  day DATE
) WITH (connector = 'single_file', path = 'v.csv', format = 'csv', type = 'source', 'csv.delimiter' = ';');

SELECT id, name, x, ok, day, char_length(name) AS n FROM v;
