-- What the planner is told: a distance costs by its dimensions and by TOAST.
-- Plans with indexes have files of their own.

-- The cost of one call of a function or an operator over a table's rows.
CREATE FUNCTION cost_of(expression text, relation text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	with_it json;
	without json;
BEGIN
	EXECUTE format('EXPLAIN (FORMAT JSON) SELECT %s FROM %s', expression, relation) INTO with_it;
	EXECUTE format('EXPLAIN (FORMAT JSON) SELECT 1 FROM %s', relation) INTO without;
	RETURN ((with_it->0->'Plan'->>'Total Cost')::float8 - (without->0->'Plan'->>'Total Cost')::float8) /
		(with_it->0->'Plan'->>'Plan Rows')::float8;
END
$$;

CREATE TABLE short (vec real[], other real[]);
INSERT INTO short SELECT array_agg(i), array_agg(i) FROM generate_series(1, 100) r, generate_series(1, 8) i GROUP BY r;
CREATE TABLE long (LIKE short);
ALTER TABLE long ALTER vec SET STORAGE EXTERNAL;
INSERT INTO long SELECT array_agg(i) FROM generate_series(1, 100) r, generate_series(1, 1536) i GROUP BY r;
CREATE TABLE inline (LIKE short);
ALTER TABLE inline ALTER vec SET STORAGE PLAIN;
INSERT INTO inline SELECT array_agg(i) FROM generate_series(1, 100) r, generate_series(1, 1536) i GROUP BY r;
CREATE TABLE no_statistics (LIKE long INCLUDING STORAGE);
ALTER TABLE no_statistics ALTER vec SET STATISTICS 0;
INSERT INTO no_statistics SELECT * FROM long;
VACUUM ANALYZE short, long, inline, no_statistics;

-- the constant tells the dimensions: 64 of them cost as much as one operator
SELECT round((cost_of('vec <-> array_fill(0::real, ARRAY[8])', 'short') / 0.0025)::numeric, 2) AS "8",
	round((cost_of('vec <-> array_fill(0::real, ARRAY[128])', 'short') / 0.0025)::numeric, 2) AS "128";
-- the same for each function, on either side, and without a constant
SELECT expression, round((cost_of(expression, 'short') / 0.0025)::numeric, 2) AS operators
FROM unnest(ARRAY[$$vec <-> '{1,2,3,4,5,6,7,8}'$$, $$'{1,2,3,4,5,6,7,8}' <-> vec$$,
	$$vec <=> '{1,2,3,4,5,6,7,8}'$$, $$vec <#> '{1,2,3,4,5,6,7,8}'::float8[]$$,
	$$l2_distance(vec, '{1,2,3,4,5,6,7,8}')$$, $$l2_norm(vec)$$, $$vec <-> other$$]) expression;

-- TOAST is paid for where it is used, once for each operand that is toasted
SELECT round((cost_of('vec <-> array_fill(0::real, ARRAY[1536])', 'inline') / 0.0025)::numeric) AS inline,
	cost_of('vec <-> array_fill(0::real, ARRAY[1536])', 'long') BETWEEN 0.5 AND 3 AS toasted,
	cost_of('a.vec <-> b.vec', 'long a JOIN long b ON true') /
	cost_of('a.vec <-> b.vec', 'long a JOIN inline b ON true') BETWEEN 1.8 AND 2 AS both;
-- out of line, statistics do not know the length: the TOAST table does
SELECT relation, cost_of('l2_norm(vec)', relation) / cost_of('vec <-> array_fill(0::real, ARRAY[1536])', 'long') BETWEEN 0.75 AND 1.35 AS by_toast
FROM unnest(ARRAY['long', 'no_statistics']) relation;
-- nothing known at all: no error
SELECT cost_of('l2_norm(array_fill(x, ARRAY[x]))', 'generate_series(1, 10) x') > 0 AS unknown;

-- a subquery with an outer reference and a join are priced without an error
EXPLAIN (COSTS OFF) SELECT (SELECT min(v.vec <-> w.vec) FROM short w) FROM short v;
EXPLAIN (COSTS OFF) SELECT v.vec <-> w.vec FROM short v JOIN short w ON v.vec <-> w.vec < 1;

-- a costly distance is worth parallel workers, a cheap one is not
SET parallel_setup_cost = 30;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT max(vec <-> array_fill(0::real, ARRAY[1536])) FROM long;
EXPLAIN (COSTS OFF) SELECT max(vec <-> array_fill(0::real, ARRAY[8])) FROM short;
SELECT max(vec <-> array_fill(0::real, ARRAY[1536])) FROM long;
DROP TABLE short, long, inline, no_statistics;
DROP FUNCTION cost_of(text, text);
