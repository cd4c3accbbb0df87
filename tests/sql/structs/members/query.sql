CREATE TABLE v (
  id INT NOT NULL,
  place STRUCT<city TEXT, zip INT, spot STRUCT<x DOUBLE, y DOUBLE>>
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT
  id,
  place.city AS city,
  place.zip + 1 AS next,
  v.place.spot.x AS x,
  place['spot']['y'] AS y,
  place IS NULL AS nowhere,
  place.spot IS NULL AS spotless,
  place.spot AS spot
FROM v WHERE place.zip IS NOT NULL OR place.city IS NULL;
