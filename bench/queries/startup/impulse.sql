-- $LITERAL is replaced by a number that no query has had.
CREATE TABLE impulse WITH (connector = 'impulse', event_rate = '10');

SELECT counter, CAST(counter AS BIGINT) + $LITERAL AS shifted FROM impulse;
