-- Cancelled flights have a schedule but never departed: how many, a day and carrier?
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
    cancelled,
    scheduled_flights,
    round(100.0 * cancelled / scheduled_flights) AS percent
FROM (
    SELECT
        tumble(INTERVAL '1 day') AS window,
        carrier,
        count(*) FILTER (WHERE departed IS NULL) AS cancelled,
        count(*) AS scheduled_flights
    FROM departures
    GROUP BY window, carrier
    HAVING count(*) FILTER (WHERE departed IS NULL) > 0
);
