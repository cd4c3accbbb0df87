SELECT k, tumble(INTERVAL '365 days') AS window, count(*) AS n, sum(v) AS total FROM numbers GROUP BY k, window;
