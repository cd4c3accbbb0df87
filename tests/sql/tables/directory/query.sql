CREATE TABLE v (
  id INT NOT NULL,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'filesystem', path = 'data', format = 'json', type = 'source');

SELECT count(*) AS n, min(id) AS first, max(id) AS last FROM v GROUP BY tumble(INTERVAL '1 minute');
