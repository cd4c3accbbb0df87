-- For longer than two flush intervals.
CREATE TABLE beats WITH (connector = 'impulse', event_rate = 20, message_count = 50);

SELECT counter % 3 AS rest, count(*) AS times, sum(counter) AS total, min(counter) AS least, max(counter) AS most FROM beats GROUP BY counter % 3;
