-- Every flight that left more than five hours late, with a readable flight number and a verdict.
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
    concat(carrier, ' ', CAST(flight AS TEXT)) AS flight,
    origin || ' to ' || dest AS route,
    date_trunc('day', scheduled) AS day,
    CASE
        WHEN dep_delay >= 720 THEN 'half a day or more'
        WHEN dep_delay >= 480 THEN 'a working day'
        ELSE 'an afternoon'
    END AS lost,
    dep_delay / 60 AS hours,
    coalesce(tailnum, 'unknown') AS aircraft
FROM departures
WHERE dep_delay > 300;
