CREATE TABLE v (
  id INT NOT NULL,
  name TEXT
) WITH (connector = 'filesystem', path = 'data', format = 'json', type = 'source');

SELECT id, name FROM v;
