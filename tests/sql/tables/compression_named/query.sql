CREATE TABLE inflated (
  id INT NOT NULL,
  n BIGINT
) WITH (connector = 'filesystem', path = 'inflated.data', format = 'json', 'source.compression' = 'gzip', type = 'source');

CREATE TABLE plain (
  id INT NOT NULL,
  n BIGINT
) WITH (connector = 'filesystem', path = 'plain.gz', format = 'json', 'source.compression' = 'none', type = 'source');

SELECT id, n FROM inflated UNION ALL SELECT id, n FROM plain;
