-- The slowest routes of each week, in miles per hour in the air, among those flown at least 20 times.
CREATE TABLE departures (
    carrier TEXT,
    flight INT,
    tailnum TEXT,
    origin TEXT,
    dest TEXT,
    scheduled TIMESTAMP,
    departed TIMESTAMP,
    dep_delay INT,
    air_time INT,
    distance INT,
    WATERMARK FOR departed AS departed - INTERVAL '22 hours'
) WITH (
    connector = 'filesystem',
    type = 'source',
    path = 'examples/flights/departures-2013-01.jsonl.gz',
    format = 'json'
);

CREATE VIEW flown AS
SELECT origin || '-' || dest AS route, 60.0 * distance / air_time AS mph
FROM departures
WHERE air_time > 0;

SELECT window.start AS week, route, flights, round(mph) AS mph
FROM (
    SELECT tumble(INTERVAL '7 days') AS window, route, count(*) AS flights, avg(mph) AS mph
    FROM flown
    GROUP BY window, route
    HAVING count(*) >= 20 AND avg(mph) < 300
);
