SELECT
  id,
  CASE WHEN b <> 0 THEN 100 / b > 10 WHEN b = 0 THEN false END AS share,
  CASE WHEN b <> 0 THEN 100 / b > 10 WHEN b = 0 THEN true END AS zero_or_share
FROM v;
