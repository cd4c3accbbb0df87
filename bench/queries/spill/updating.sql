SELECT k, count(*) AS n, sum(v) AS total FROM numbers GROUP BY k;
