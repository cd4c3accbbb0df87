-- How late do flights leave New York's airports, hour by hour?
--
-- The events stand in the order of the time-table, but an hour's flights are those that left in it: event time is
-- `departed`, which is up to 21 h 48 min out of order. The watermark waits 22 hours, so no flight comes too late.
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

SELECT
    window.start AS hour,
    origin,
    flights,
    mean_delay,
    worst_delay
FROM (
    SELECT
        tumble(INTERVAL '1 hour') AS window,
        origin,
        count(*) AS flights,
        round(avg(dep_delay)) AS mean_delay,
        max(dep_delay) AS worst_delay
    FROM departures
    WHERE departed IS NOT NULL
    GROUP BY window, origin
);
