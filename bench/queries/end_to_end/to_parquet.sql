-- $OUT is replaced.
CREATE TABLE results WITH (connector = 'single_file', path = '$OUT', format = 'parquet', type = 'sink');
