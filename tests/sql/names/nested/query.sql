CREATE TABLE v (
  id INT NOT NULL,
  homePlace STRUCT<zipCode INT, City TEXT, geoSpot STRUCT<latDeg DOUBLE, lonDeg DOUBLE>>,
  tags STRUCT<tagName TEXT>[]
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

CREATE TABLE places (
  id INT,
  zipCode INT,
  latDeg DOUBLE,
  Spot STRUCT<latDeg DOUBLE, lonDeg DOUBLE>,
  tags STRUCT<tagName TEXT>[]
) WITH (connector = 'single_file', path = '$OUT/places.json', format = 'json', type = 'sink');

INSERT INTO places
SELECT id, homePlace.zipCode + 1, v."homePlace"."geoSpot".LATDEG, homeplace['GeoSpot'], tags
FROM v WHERE homePlace.city IS NOT NULL OR HOMEPLACE."zipCode" > 0;

SELECT id, homePlace, (homePlace).geospot.londeg, "HOMEPLACE".City FROM v;
