CREATE TABLE totals (id BIGINT, total BIGINT) WITH (connector = 'single_file', path = '$OUT/totals.json', format = 'json', type = 'sink');

SELECT * FROM totals;
