CREATE TABLE v (value TEXT) WITH (connector = 'single_file', path = 'v.log', format = 'raw_string', type = 'source');

SELECT value, char_length(value) AS n, split_part(value, ' ', 1) AS level FROM v;
