CREATE TABLE t (
  counter BIGINT UNSIGNED
) WITH (connector = 'impulse', event_rate = 'fast');

SELECT * FROM t;
