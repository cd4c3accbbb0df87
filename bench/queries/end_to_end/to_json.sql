-- $OUT is replaced.
CREATE TABLE results WITH (connector = 'single_file', path = '$OUT', format = 'json', type = 'sink');
