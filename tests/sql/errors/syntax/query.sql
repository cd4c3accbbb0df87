SELEC id FROM orders;
SELECT id, FROM orders;
SELECT id FROM orders WHERE;
SELECT id FROM orders;
