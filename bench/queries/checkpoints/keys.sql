-- A count and a sum for each of $KEYS keys, in a window that does not close: every key once, as fast as can be, then $RATE
-- changes a second all over them.
CREATE TABLE every_key (
    counter BIGINT UNSIGNED,
    at TIMESTAMP METADATA FROM '_timestamp',
    WATERMARK FOR at
) WITH (
    connector = 'impulse', message_count = $KEYS,
    start_time = '2026-01-01T00:00:00Z', event_time_interval = '1us'
);

CREATE TABLE changes (
    counter BIGINT UNSIGNED,
    at TIMESTAMP METADATA FROM '_timestamp',
    WATERMARK FOR at
) WITH (
    connector = 'impulse', event_rate = $RATE,
    start_time = '2026-01-01T00:00:00Z', event_time_interval = '1us'
);

CREATE TABLE kept WITH (connector = 'blackhole', type = 'sink');

INSERT INTO kept
SELECT k, tumble(INTERVAL '1 day') AS window, count(*) AS n, sum(v) AS total
FROM (
    SELECT CAST(counter AS BIGINT) AS k, CAST(counter AS BIGINT) AS v, at FROM every_key
    UNION ALL
    SELECT CAST(counter AS BIGINT) * 7919 % $KEYS AS k, CAST(counter AS BIGINT) AS v, at FROM changes
) AS numbers
GROUP BY k, window;
