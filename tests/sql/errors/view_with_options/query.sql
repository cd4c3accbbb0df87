CREATE TABLE beats WITH (connector = 'impulse', message_count = 5);

CREATE VIEW v WITH (type = 'source') AS SELECT counter FROM beats;

SELECT counter FROM v;
