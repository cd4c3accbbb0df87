CREATE TABLE v (
  amount DECIMAL(12, 2),
  id BIGINT NOT NULL,
  flag BOOLEAN,
  kind TEXT,
  place STRUCT<city TEXT, spot STRUCT<y DOUBLE>>,
  tags TEXT[],
  at TIMESTAMP
) WITH (connector = 'filesystem', path = 'v.parquet', format = 'parquet', type = 'source');

SELECT id, kind, place.city AS city, place.spot.y AS y, tags, at, amount FROM v WHERE id <> 4;
