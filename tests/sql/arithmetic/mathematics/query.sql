CREATE TABLE f (
  id INT NOT NULL,
  x DOUBLE,
  y DOUBLE
) WITH (connector = 'single_file', path = 'f.jsonl', format = 'json', type = 'source');

SELECT
  id,
  sqrt(y) AS root,
  power(x, 2.0) AS square,
  exp(y) AS e,
  ln(abs(x)) AS log,
  log10(1000.0) AS three,
  sin(y) AS sine,
  atan2(x, y) AS angle,
  signum(x) AS sign,
  round(x, 1) AS rounded,
  pi() > 3.14 AS about_pi
FROM f WHERE id <> 5;
