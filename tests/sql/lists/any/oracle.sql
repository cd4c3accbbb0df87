SELECT
  id,
  array_has(xs, n) AS in_xs,
  array_has(ts, t) AS in_ts,
  array_has(xs, 5) AS has_five,
  n IN (1, 2, 3) AS small
FROM v WHERE NOT array_has(xs, 7) OR n IS NULL OR xs IS NULL;
