-- When the planner takes the index: for ORDER BY distance LIMIT, on tables from
-- 1,000 rows on, and for nothing else.
SELECT setseed(0.2);
-- the 'plan' of a query in a word: index, sort, or what else there is
CREATE FUNCTION plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		lines := lines || line;
	END LOOP;
	RETURN CASE WHEN lines LIKE '%Order By: %' THEN 'index' ELSE '' END || CASE WHEN lines LIKE '%Sort Key%' THEN 'sort' ELSE '' END;
END
$$;

-- sizes of tables and vectors
DO $$
DECLARE
	dim integer;
	n integer;
BEGIN
	FOREACH dim IN ARRAY ARRAY[3, 128, 784] LOOP
		FOREACH n IN ARRAY ARRAY[1000, 10000 / (1 + dim / 128)] LOOP
			EXECUTE format('CREATE TABLE size_%1$s_%2$s (id integer, vec real[]);
				ALTER TABLE size_%1$s_%2$s ALTER vec SET STORAGE EXTERNAL, ALTER vec SET STATISTICS 0;
				INSERT INTO size_%1$s_%2$s SELECT i, (SELECT array_agg(random()) FROM generate_series(1, %1$s) WHERE i > 0) FROM generate_series(1, %2$s) i;
				CREATE INDEX ON size_%1$s_%2$s USING annoy (vec)', dim, n);
		END LOOP;
	END LOOP;
END
$$;
SELECT format('VACUUM ANALYZE %I', relname) FROM pg_class WHERE relname ~ '^size_\d+_\d+$' \gexec
SELECT relname, plan(format('SELECT id FROM %I ORDER BY vec <-> array_fill(0::real, ARRAY[%s]) LIMIT 10', relname, split_part(relname, '_', 2))) AS limit_10,
	plan(format('SELECT id FROM %I ORDER BY vec <-> (SELECT array_fill(0::real, ARRAY[%s])) LIMIT 1', relname, split_part(relname, '_', 2))) AS subquery,
	plan(format('SELECT id FROM %I ORDER BY vec <-> array_fill(0::real, ARRAY[%s])', relname, split_part(relname, '_', 2))) AS no_limit
FROM pg_class WHERE relname ~ '^size_\d+_\d+$' ORDER BY reltuples, relname;

CREATE TABLE items AS SELECT id, vec, id % 10 AS kind FROM size_3_10000;
CREATE INDEX items_vec ON items USING annoy (vec);
CREATE TABLE others AS SELECT * FROM size_3_1000;
VACUUM ANALYZE items, others;
-- for these it does
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 10;
SELECT query, plan(query) FROM unnest(ARRAY[
	$$SELECT id FROM items ORDER BY '{1,2,3}'::float8[] <-> vec LIMIT 10$$,
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' OFFSET 100 LIMIT 10$$,
	$$SELECT id FROM items WHERE kind = 1 ORDER BY vec <-> '{1,2,3}' LIMIT 10$$,
	$$SELECT id, vec <-> '{1,2,3}' FROM items ORDER BY 2 LIMIT 10$$,
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' LIMIT (SELECT 10)$$,
	$$SELECT o.id, (SELECT i.id FROM items i ORDER BY i.vec <-> o.vec LIMIT 1) FROM others o$$,
	$$SELECT o.id, n.id FROM others o, LATERAL (SELECT i.id FROM items i ORDER BY i.vec <-> o.vec LIMIT 1) n$$,
	$$WITH n AS MATERIALIZED (SELECT id, vec <-> '{1,2,3}' AS x FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 10) SELECT avg(x) FROM n$$,
	$$SELECT count(*) FROM (SELECT id FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 10) s$$,
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' FETCH FIRST 10 ROWS ONLY$$,
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 1 FOR UPDATE$$]) query;
-- not for these: no LIMIT, all rows are needed, another order, another operator
SELECT query, plan(query) FROM unnest(ARRAY[
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}'$$,
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' DESC LIMIT 10$$,
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' NULLS FIRST LIMIT 10$$,
	$$SELECT id FROM items ORDER BY (vec <-> '{1,2,3}') + 0 LIMIT 10$$,
	$$SELECT id FROM items ORDER BY vec <=> '{1,2,3}' LIMIT 10$$,
	$$SELECT id FROM items ORDER BY l2_distance(vec, '{1,2,3}') LIMIT 10$$,
	$$SELECT id FROM items ORDER BY vec <-> vec LIMIT 10$$,
	$$SELECT DISTINCT vec <-> '{1,2,3}' FROM items LIMIT 10$$,
	$$SELECT DISTINCT ON (vec <-> '{1,2,3}') id FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 10$$,
	$$SELECT vec <-> '{1,2,3}', count(*) FROM items GROUP BY 1 ORDER BY 1 LIMIT 10$$,
	$$SELECT min(vec <-> '{1,2,3}') FROM items$$,
	$$SELECT max(id) FROM items$$,
	$$SELECT id, rank() OVER (ORDER BY vec <-> '{1,2,3}') FROM items LIMIT 10$$,
	$$SELECT vec <-> '{1,2,3}' FROM items UNION SELECT 1.0 ORDER BY 1 LIMIT 10$$,
	$$SELECT a.id FROM items a JOIN (SELECT id::float8 AS x FROM others) b ON a.vec <-> '{1,2,3}' = b.x$$,
	$$SELECT id FROM items WHERE vec <-> '{1,2,3}' < 1$$,
	$$SELECT count(*) FROM items$$]) query;
-- above ann.max_limit
SET ann.max_limit = 50;
SELECT query, plan(query) FROM unnest(ARRAY[
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 50$$,
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 51$$,
	$$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' OFFSET 45 LIMIT 10$$]) query;
RESET ann.max_limit;
-- a parameter of unknown value counts as a small one, a cursor as what is read first
SET plan_cache_mode = force_generic_plan;
PREPARE nearest(float8[], integer) AS SELECT id FROM items ORDER BY vec <-> $1 LIMIT $2;
EXPLAIN (COSTS OFF) EXECUTE nearest('{1,2,3}', 10);
DEALLOCATE nearest;
RESET plan_cache_mode;
SELECT plan($$DECLARE c CURSOR FOR SELECT id FROM items ORDER BY vec <-> '{1,2,3}'$$);
-- an index of its own for the filter wins where few rows pass
CREATE INDEX items_id ON items (id);
SELECT plan($$SELECT id FROM items WHERE id = 77 ORDER BY vec <-> '{1,2,3}' LIMIT 10$$);
-- the user can force it, either way
SET enable_seqscan = off;
SELECT plan($$SELECT id FROM items ORDER BY vec <-> '{1,2,3}'$$);
RESET enable_seqscan;
SET enable_indexscan = off;
SELECT plan($$SELECT id FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 10$$);
RESET enable_indexscan;
-- a second key: as many as share the first are sorted by it
SELECT plan($$SELECT id FROM items ORDER BY vec <-> '{1,2,3}', id LIMIT 10$$) IN ('sort', 'indexsort') AS either;

SELECT format('DROP TABLE %s', string_agg(relname, ', ')) FROM pg_class WHERE relname ~ '^size_\d+_\d+$' \gexec
DROP TABLE items, others;
DROP FUNCTION plan(text);
