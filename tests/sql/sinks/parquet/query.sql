CREATE TABLE events (
  id INT NOT NULL,
  kind TEXT,
  n BIGINT,
  at TIMESTAMP NOT NULL
) WITH (connector = 'single_file', path = 'events.jsonl', format = 'json', type = 'source');

CREATE TABLE result WITH (
  connector = 'filesystem', path = '$OUT/result', format = 'parquet', type = 'sink',
  'parquet.compression' = 'snappy', 'parquet.row_group_size' = 2
);

INSERT INTO result
SELECT id, at, CAST(n AS DECIMAL(12, 3)) AS price, named_struct('kind', kind, 'n', n) AS pair, make_array(n, 1) AS numbers, kind IS NULL AS missing
FROM events;
