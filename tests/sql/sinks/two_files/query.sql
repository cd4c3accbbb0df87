CREATE TABLE orders (
  id BIGINT NOT NULL,
  customer TEXT,
  amount DOUBLE,
  quantity INT,
  note TEXT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at
) WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE cheap WITH (connector = 'single_file', path = '$OUT/cheap.json', format = 'json', type = 'sink');
CREATE TABLE dear WITH (connector = 'single_file', path = '$OUT/dear.json', format = 'json', type = 'sink');

INSERT INTO cheap SELECT id, amount FROM orders WHERE amount < 10;
INSERT INTO dear SELECT id, amount, customer FROM orders WHERE amount >= 10;
