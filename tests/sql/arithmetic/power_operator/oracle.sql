SELECT
  id,
  power(x, 2) AS square,
  power(2, id) AS doubled,
  2 * power(3, 2) AS eighteen,
  power(4, 0.5) AS two
FROM v;
