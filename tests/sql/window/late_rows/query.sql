-- Rows 512, 513, 530 and 555 are far behind the first 512, which are a batch: their windows have been closed. With smaller
-- batches they are late all the more, and after a restart as well.
CREATE TABLE v (
  id INT NOT NULL,
  kind TEXT,
  late BOOLEAN NOT NULL,
  at TIMESTAMP,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT kind, tumble(INTERVAL '10 seconds') AS window, count(*) AS rows, max(id) AS last FROM v GROUP BY kind, window;
