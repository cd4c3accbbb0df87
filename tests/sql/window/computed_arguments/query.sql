CREATE TABLE v (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  x DOUBLE,
  d DECIMAL(8, 2),
  ok BOOLEAN,
  day DATE,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT length(kind) AS letters, tumble(INTERVAL '10 seconds') AS window, sum(n * 2 + id) AS total, max(upper(kind)) AS last, min(substr(concat(kind, id), 1, 2)) AS first, avg(CASE WHEN ok THEN x ELSE 0 END) AS mean, count(DISTINCT md5(kind)) AS digests FROM v GROUP BY length(kind), window;
