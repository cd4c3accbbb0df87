CREATE TABLE orders (customer TEXT, amount BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'orders.jsonl', format = 'json', type = 'source');

CREATE TABLE clicks (customer TEXT, page TEXT, at TIMESTAMP, WATERMARK FOR at)
WITH (connector = 'single_file', path = 'clicks.jsonl', format = 'json', type = 'source');

CREATE TABLE matched (customer TEXT, total BIGINT, clicks BIGINT)
WITH (connector = 'single_file', path = '$OUT/matched.json', format = 'json', type = 'sink');

CREATE TABLE unseen (customer TEXT, total BIGINT)
WITH (connector = 'single_file', path = '$OUT/unseen.json', format = 'json', type = 'sink');

CREATE VIEW totals AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, sum(amount) AS total FROM orders GROUP BY customer, window;

CREATE VIEW visits AS
SELECT customer, tumble(INTERVAL '10 seconds') AS window, count(*) AS clicks FROM clicks GROUP BY customer, window;

CREATE VIEW seen AS
SELECT a.customer, a.window, a.total, b.clicks
FROM totals AS a LEFT JOIN visits AS b ON a.customer = b.customer AND a.window = b.window;

INSERT INTO matched SELECT customer, total, clicks FROM seen WHERE clicks IS NOT NULL;
INSERT INTO unseen SELECT customer, total FROM seen WHERE clicks IS NULL;
