-- 256 bytes that nothing compresses for each of $KEYS keys, in a window that does not close; and beats that come out as they
-- go in.
CREATE TABLE every_key (
    counter BIGINT UNSIGNED,
    at TIMESTAMP METADATA FROM '_timestamp',
    WATERMARK FOR at
) WITH (
    connector = 'impulse', message_count = $KEYS,
    start_time = '2026-01-01T00:00:00Z', event_time_interval = '1us'
);

CREATE TABLE beats (
    counter BIGINT UNSIGNED,
    at TIMESTAMP METADATA FROM '_timestamp',
    WATERMARK FOR at
) WITH (
    connector = 'impulse', event_rate = 200,
    start_time = '2026-01-01T00:00:00Z', event_time_interval = '1us'
);

CREATE TABLE kept WITH (connector = 'blackhole', type = 'sink');

INSERT INTO kept
SELECT k, tumble(INTERVAL '1 day') AS window, max(a) AS a, max(b) AS b, max(c) AS c, max(d) AS d
FROM (
    SELECT
        CAST(counter AS BIGINT) AS k,
        sha512('a' || CAST(counter AS TEXT)) AS a,
        sha512('b' || CAST(counter AS TEXT)) AS b,
        sha512('c' || CAST(counter AS TEXT)) AS c,
        sha512('d' || CAST(counter AS TEXT)) AS d,
        at
    FROM every_key
    UNION ALL
    SELECT
        CAST(counter AS BIGINT) AS k,
        sha512('a' || CAST(counter AS TEXT)) AS a,
        sha512('b' || CAST(counter AS TEXT)) AS b,
        sha512('c' || CAST(counter AS TEXT)) AS c,
        sha512('d' || CAST(counter AS TEXT)) AS d,
        at
    FROM beats
) AS numbers
GROUP BY k, window;

SELECT counter FROM beats;
