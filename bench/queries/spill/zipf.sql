-- Every key once, then $MORE rows, of which a share goes to each of the $KEYS keys that falls with its number: key k has about
-- 1 / (k + 1) of what the first one has.
CREATE TABLE counters (
    counter BIGINT UNSIGNED,
    at TIMESTAMP METADATA FROM '_timestamp',
    WATERMARK FOR at
) WITH (
    connector = 'impulse', message_count = $ROWS,
    start_time = '2026-01-01T00:00:00Z', event_time_interval = '1us'
);

CREATE VIEW numbers AS
SELECT
    CASE
        WHEN CAST(counter AS BIGINT) < $KEYS THEN CAST(counter AS BIGINT)
        ELSE CAST(
            power(CAST($KEYS AS DOUBLE), CAST(CAST(counter AS BIGINT) * 2654435761 % 4294967296 AS DOUBLE) / 4294967296e0)
            AS BIGINT
        ) - 1
    END AS k,
    CAST(counter AS BIGINT) AS v,
    at
FROM counters;
