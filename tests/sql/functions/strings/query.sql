CREATE TABLE orders (
  id BIGINT NOT NULL,
  customer TEXT,
  amount DOUBLE,
  quantity INT,
  note TEXT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

SELECT
  id,
  upper(note) AS upper,
  char_length(note) AS length,
  substr(note, 2, 3) AS middle,
  split_part(note, ',', 2) AS second,
  concat(customer, '-', note) AS joined,
  customer || '/' || note AS path,
  strpos(note, 'W') AS place,
  trim(note) AS trimmed,
  lpad(customer, 5, '.') AS padded
FROM orders;
