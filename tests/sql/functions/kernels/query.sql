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
  regexp_replace(note, '([aeiou])', '<\1>', 'g') AS vowels,
  md5(note) AS digest,
  make_array(id, quantity) AS list,
  array_length(string_to_array(note, ',')) AS parts,
  encode(note, 'hex') AS hex
FROM orders
WHERE reverse(customer) <> 'yc';
