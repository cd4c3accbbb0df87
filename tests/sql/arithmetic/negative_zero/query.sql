CREATE TABLE f (
  id INT NOT NULL,
  x DOUBLE,
  y DOUBLE
) WITH (connector = 'single_file', path = 'f.jsonl', format = 'json', type = 'source');

SELECT id, x = 0.0 AS equal, x < 0.0 AS less, x * -1.0 = x AS mirrored FROM f;
