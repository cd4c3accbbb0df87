CREATE TABLE d (
  id INT NOT NULL,
  price DECIMAL(10, 2),
  rate DECIMAL(6, 4),
  pieces INT
) WITH (connector = 'single_file', path = 'd.jsonl', format = 'json', type = 'source');

SELECT id, price / rate AS quotient, price % rate AS remainder, round(price / 3, 2) AS third, abs(price) AS size
FROM d WHERE rate <> 0;
