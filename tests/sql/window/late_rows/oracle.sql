SELECT
  kind,
  named_struct('start', date_bin(INTERVAL '10 seconds', at), 'end', date_bin(INTERVAL '10 seconds', at) + INTERVAL '10 seconds') AS "window",
  count(*) AS "rows",
  max(id) AS "last"
FROM v
WHERE NOT late
GROUP BY kind, date_bin(INTERVAL '10 seconds', at);
