CREATE TABLE v (
  id INT NOT NULL,
  s TEXT
) WITH (connector = 'single_file', path = 'v.jsonl', format = 'json', type = 'source');

SELECT id, md5(s) AS md5, encode(sha256(s), 'hex') AS sha256, encode(sha512(s), 'base64') AS sha512, digest(s, 'sha224') AS raw FROM v;
