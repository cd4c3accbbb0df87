CREATE TABLE t WITH (connector = 'impulse', event_rate = '10', mesage_count = '5');

SELECT counter FROM t;
