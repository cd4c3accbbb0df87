SELECT
  id,
  items,
  items[1] AS first,
  get_field(items[1], 'label') AS label,
  get_field(items[2], 'n') AS n,
  array_length(items) AS members,
  tags,
  tags[2] AS second,
  grid,
  grid[1][2] AS cell
FROM v;
