CREATE TABLE beats WITH (connector = 'impulse', message_count = 5);

CREATE TABLE t WITH (
  connector = 'filesystem', path = 'x', format = 'json', type = 'sink',
  'rolling_policy.file_size' = '1.5 GB'
);

INSERT INTO t SELECT counter FROM beats;
