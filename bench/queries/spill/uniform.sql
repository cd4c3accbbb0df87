-- Every key once, then $MORE rows of any of the $KEYS keys, each as likely as the other.
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
        ELSE CAST(counter AS BIGINT) * 2654435761 % 4294967296 % $KEYS
    END AS k,
    CAST(counter AS BIGINT) AS v,
    at
FROM counters;
