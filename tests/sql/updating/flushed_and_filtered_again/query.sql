-- For two flush intervals; without the key, so that no row is known to be in the place of another.
CREATE TABLE beats WITH (connector = 'impulse', event_rate = 20, message_count = 40);

CREATE VIEW rests AS SELECT counter % 4 AS rest, count(*) AS times, max(counter) AS most FROM beats GROUP BY counter % 4;
CREATE TABLE even WITH (connector = 'filesystem', path = '$OUT/even', format = 'debezium_json', type = 'sink');

INSERT INTO even SELECT most, times FROM rests WHERE most % 2 = 0
UNION ALL SELECT counter, -1 AS times FROM beats WHERE counter > 38;
