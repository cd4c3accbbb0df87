-- How many aircraft does each carrier use in a day, and how many airports does it reach?
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
    WATERMARK FOR scheduled AS scheduled - INTERVAL '1 hour'
) WITH (
    connector = 'filesystem',
    type = 'source',
    path = 'examples/flights/departures-2013-01.jsonl.gz',
    format = 'json'
);

SELECT
    CAST(window.start AS DATE) AS day,
    carrier,
    aircraft,
    destinations,
    flights
FROM (
    SELECT
        tumble(INTERVAL '1 day') AS window,
        carrier,
        count(DISTINCT tailnum) AS aircraft,
        count(DISTINCT dest) AS destinations,
        count(*) AS flights
    FROM departures
    GROUP BY window, carrier
);
