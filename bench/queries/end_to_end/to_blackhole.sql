CREATE TABLE results WITH (connector = 'blackhole', type = 'sink');
