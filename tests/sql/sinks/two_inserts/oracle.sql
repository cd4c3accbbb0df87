SELECT CAST(id AS BIGINT) AS id, kind AS name FROM events WHERE n > 4;
SELECT n AS id, upper(kind) AS name FROM events WHERE n <= 4;
