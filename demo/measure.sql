--
-- measure.sql
--	  Functions that time, explain and compare searches, for the other scripts.
--
-- They work on a table (id, vec real[]) and print lines of text.  A search is
-- SQL with the query vector as $1.
--

-- The search for the k rows of tab that are nearest by the operator op.
CREATE FUNCTION nearest(tab regclass, op text, k int) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
	SELECT format('SELECT id, vec %1$s $1 AS distance FROM %2$s ORDER BY vec %1$s $1 LIMIT %3$s', op, tab, k)
$$;

-- The median time of a search, in milliseconds, over several runs.
CREATE FUNCTION median_ms(search text, query real[], runs int DEFAULT 7) RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz;
	times float8[];
BEGIN
	FOR i IN 1 .. runs LOOP
		start := clock_timestamp();
		EXECUTE search USING query;
		times[i] := 1000 * extract(epoch FROM clock_timestamp() - start);
	END LOOP;
	RETURN (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times) AS t);
END $$;

-- A time or a distance for the reader, with three or four digits that matter.
CREATE FUNCTION short(x float8) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
	SELECT round(x::numeric, CASE WHEN x >= 100 THEN 1 WHEN x >= 10 THEN 2 ELSE 3 END)::text
$$;

-- The plan of a search as executed, indented.
CREATE FUNCTION plan(search text, query real[]) RETURNS SETOF text
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	line text;
BEGIN
	EXECUTE 'PREPARE planned(real[]) AS ' || search;
	FOR line IN EXECUTE format(
		'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) EXECUTE planned(%L)', query)
	LOOP
		RETURN NEXT '  ' || line;
	END LOOP;
	DEALLOCATE planned;
END $$;

-- How many of the rows that a search finds are within a distance.
CREATE FUNCTION found(search text, query real[], within float8) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM (%s) AS n WHERE distance <= $2', search) INTO n USING query, within;
	RETURN n;
END $$;

-- The exact distance of the last row that a search finds.
CREATE FUNCTION farthest(search text, query real[]) RETURNS float8
LANGUAGE plpgsql SET enable_indexscan = off AS $$
DECLARE
	distance float8;
BEGIN
	EXECUTE format('SELECT max(distance) FROM (%s) AS n', search) INTO distance USING query;
	RETURN distance;
END $$;

-- For each of the access methods that this server has: build an index, and
-- compare its answers and its speed with the exact ones, for the queries in
-- the table queries.  A row as near as the tenth is as good as the tenth.
-- Prints nothing if there is no such method.
CREATE FUNCTION compare(tab regclass, op text, opclass text, methods text[]) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	search text := nearest(tab, op, 10);
	method text;
	start timestamptz;
	exact_ms float8;
	index_ms float8;
	recall float8;
BEGIN
	methods := ARRAY(SELECT amname FROM pg_am WHERE amname = ANY (methods)
		ORDER BY array_position(methods, amname::text));
	IF methods = '{}' THEN
		RETURN;
	END IF;
	CREATE TEMP TABLE truth AS SELECT vec, farthest(search, vec) AS tenth FROM queries;
	SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY median_ms(search, vec, 3)) INTO exact_ms
	FROM (SELECT vec FROM truth LIMIT 10) AS t;
	FOREACH method IN ARRAY methods LOOP
		start := clock_timestamp();
		EXECUTE format('CREATE INDEX demo_index ON %s USING %I (vec %I)', tab, method, opclass);
		RETURN NEXT format(E'\nCREATE INDEX ON %s USING %s (vec %s)\n  built in %s s, %s', tab, method, opclass,
			short(extract(epoch FROM clock_timestamp() - start)::float8),
			pg_size_pretty(pg_relation_size('demo_index')));
		RETURN QUERY SELECT line FROM (SELECT vec FROM truth LIMIT 1) AS t, plan(search, vec) AS line;
		SELECT avg(found(search, vec, tenth)) / 10,
			percentile_cont(0.5) WITHIN GROUP (ORDER BY median_ms(search, vec, 3))
		INTO recall, index_ms FROM truth;
		RETURN NEXT format('  %s queries: recall@10 %s; %s ms, exact %s ms, %s times as fast',
			(SELECT count(*) FROM truth), round(recall::numeric, 3), short(index_ms), short(exact_ms),
			round((exact_ms / index_ms)::numeric, 1));
		DROP INDEX demo_index;
	END LOOP;
	DROP TABLE truth;
END $$;

-- Take up to 100 rows out of a table, but not more than a tenth of it, to be
-- the queries.
CREATE PROCEDURE hold_out(tab regclass)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE queries AS SELECT id, vec FROM %1$s ORDER BY hashint8(id) '
		'LIMIT (SELECT least(100, ceil((count(*) - 1) / 10.0)) FROM %1$s)', tab);
	EXECUTE format('DELETE FROM %s WHERE id IN (SELECT id FROM queries)', tab);
END $$;
