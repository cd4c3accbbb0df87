-- After one flush interval all five groups are shown; in the end three of them have too many rows.
CREATE TABLE beats WITH (connector = 'impulse', event_rate = 20, message_count = 43);

SELECT counter % 5 AS rest, count(*) AS times FROM beats GROUP BY counter % 5 HAVING count(*) < 9;
