-- Every form in which a client writes or sends the query: each resolves to one
-- operator, without a cast of the column, and gives the right answer.  Binary
-- parameters need a client and are in test/t/001_client.pl.

CREATE TABLE items (id int, r real[], d double precision[]);
INSERT INTO items VALUES (1, '{0,0}', '{0,0}'), (2, '{3,4}', '{3,4}'), (3, '{1,0}', '{1,0}');

-- nearest of each form: 2, at distance 0, with the type that the query keeps
CREATE FUNCTION form(query text) RETURNS TABLE (query_form text, on_real text, on_double text)
LANGUAGE plpgsql AS $$
DECLARE
	col text;
	answer text[] := '{}';
	nearest text;
	commuted text;
BEGIN
	FOREACH col IN ARRAY ARRAY['r', 'd'] LOOP
		EXECUTE format('SELECT id || '' at '' || (%1$s <-> %2$s) FROM items ORDER BY %1$s <-> %2$s LIMIT 1',
					   col, query) INTO nearest;
		EXECUTE format('SELECT id || '' at '' || (%2$s <-> %1$s) FROM items ORDER BY %2$s <-> %1$s LIMIT 1',
					   col, query) INTO commuted;
		answer := answer || CASE WHEN nearest = commuted THEN nearest
			ELSE format('%s, commuted %s', nearest, commuted) END;
	END LOOP;
	RETURN QUERY SELECT query, answer[1], answer[2];
END
$$;
SELECT f.* FROM unnest(ARRAY[
	$$'{3,4}'::real[]$$,
	$$'{3,4}'::float8[]$$,
	$$'{3,4}'::numeric[]$$,
	$$'{3,4}'::integer[]$$,
	$$'{3,4}'::bigint[]$$,
	$$'{3,4}'::smallint[]$$,
	$$ARRAY[3.0, 4.0]$$,
	$$ARRAY[3, 4]$$,
	$$ARRAY[3, 4.0]$$,
	$$ARRAY[3e0, 4]$$,
	$$ARRAY[3::real, 4]$$,
	$$'{3,4}'$$,
	$$(SELECT ARRAY[3, 4.0])$$,
	$$(SELECT r FROM items WHERE id = 2)$$,
	$$(SELECT d FROM items WHERE id = 2)$$
	]) query, form(query) f;

-- no form casts the column, which would hide it from an index
CREATE FUNCTION sort_key(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM items ORDER BY ' || query LOOP
		IF line ~ 'Sort Key' THEN
			RETURN NEXT regexp_replace(line, '^\s*Sort Key: ', '');
		END IF;
	END LOOP;
END
$$;
SELECT sort_key(format(e, q))
FROM unnest(ARRAY['r <-> %s', 'd <-> %s', '%s <-> r', 'r <=> %s', 'r <#> %s']) e,
	unnest(ARRAY['ARRAY[3.0, 4.0]', 'ARRAY[3, 4]', $$'{3,4}'::float8[]$$, $$'{3,4}'$$]) q;

-- every pair of types has its own operator
CREATE FUNCTION answers(condition text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	answer boolean;
BEGIN
	EXECUTE 'SELECT ' || condition INTO answer;
	RETURN answer;
END
$$;
SELECT count(*) AS pairs, bool_and(answers(format($$
	'{1,2}'::%1$s <-> '{4,6}'::%2$s = 5 AND '{1,2}'::%1$s <#> '{4,6}'::%2$s = -16 AND
	abs(('{3,4}'::%1$s <=> '{4,3}'::%2$s) - 0.04) < 1e-15$$, a, b))) AS right
FROM unnest(ARRAY['real[]', 'float8[]', 'numeric[]', 'integer[]', 'bigint[]', 'smallint[]']) a,
	unnest(ARRAY['real[]', 'float8[]', 'numeric[]', 'integer[]', 'bigint[]', 'smallint[]']) b;
SELECT ARRAY[1, 2] <-> ARRAY[4, 6] AS integers, ARRAY[0.5, 1] <-> ARRAY[0.5, 2] AS numerics,
	ARRAY[1, 2] <-> ARRAY[1, 3.5] AS mixed, ARRAY[1, 2] <-> '{4,6}' AS literal;

-- integers at their full width
SELECT '{3000000000}'::bigint[] <-> '{0}'::real[] AS bigint,
	'{2147483647}'::integer[] <#> '{-2147483648}'::integer[] = 2147483647::float8 * 2147483648 AS integer,
	'{32767}'::smallint[] <-> '{-32768}'::smallint[] AS smallint;

-- the functions, too, take every pair of types, and literals on either side
SELECT count(*) AS pairs, bool_and(answers(format($$
	l2_distance('{1,2}'::%1$s, '{4,6}'::%2$s) = 5 AND inner_product('{1,2}'::%1$s, '{4,6}'::%2$s) = 16 AND
	negative_inner_product('{1,2}'::%1$s, '{4,6}'::%2$s) = -16 AND
	abs(cosine_distance('{3,4}'::%1$s, '{4,3}'::%2$s) - 0.04) < 1e-15$$, a, b))) AS right
FROM unnest(ARRAY['real[]', 'float8[]', 'numeric[]', 'integer[]', 'bigint[]', 'smallint[]']) a,
	unnest(ARRAY['real[]', 'float8[]', 'numeric[]', 'integer[]', 'bigint[]', 'smallint[]']) b;
SELECT count(*) AS types, bool_and(answers(format($$
	l2_distance('{1,2}'::%1$s, '{4,6}') = 5 AND l2_distance('{1,2}', '{4,6}'::%1$s) = 5 AND
	inner_product('{1,2}'::%1$s, '{4,6}') = 16$$, a))) AS right
FROM unnest(ARRAY['real[]', 'float8[]', 'numeric[]', 'integer[]', 'bigint[]', 'smallint[]']) a;
SELECT l2_distance(r, ARRAY[3, 4]) AS integers, l2_distance(r, ARRAY[3.0, 4]) AS numerics,
	l2_distance(r, '{3,4}') AS literal, l2_distance(d, '{3,4}') AS literal_d,
	l2_distance(r, d) AS mixed FROM items WHERE id = 2;

-- parameters: untyped takes the column's type, typed ones keep theirs
PREPARE untyped AS SELECT id FROM items ORDER BY r <-> $1 LIMIT 1;
EXECUTE untyped('{3,4}');
EXECUTE untyped(ARRAY[3.0, 4.0]);
PREPARE untyped_d AS SELECT id FROM items ORDER BY d <-> $1 LIMIT 1;
EXECUTE untyped_d('{3,4}');
PREPARE typed_double(float8[]) AS SELECT id FROM items ORDER BY r <-> $1 LIMIT 1;
EXECUTE typed_double('{3,4}');
PREPARE typed_numeric(numeric[]) AS SELECT id FROM items ORDER BY r <-> $1 LIMIT 1;
SET plan_cache_mode = force_generic_plan;
EXECUTE typed_numeric('{3,4}');
EXECUTE typed_numeric('{1,0}');
RESET plan_cache_mode;
SELECT name, parameter_types FROM pg_prepared_statements ORDER BY name COLLATE "C";

-- a conversion is kept from row to row, but not from query to query
SELECT q, id, r <-> q AS l2
FROM items, (VALUES (ARRAY[3.0, 4.0]), (ARRAY[0.0, 0.0])) query(q) ORDER BY q, id;
-- nor between the two operands of one call
SELECT a <-> b AS l2 FROM (VALUES (ARRAY[1, 2], ARRAY[1, 2]), (ARRAY[4, 6], ARRAY[1, 2]), (ARRAY[4, 6], ARRAY[4, 6])) v(a, b);

-- domains over the array types
CREATE DOMAIN embedding AS real[] CHECK (cardinality(VALUE) = 2);
CREATE TABLE domained (id int, vec embedding);
INSERT INTO domained VALUES (1, '{0,0}'), (2, '{3,4}');
SELECT id FROM domained ORDER BY vec <-> ARRAY[3, 4] LIMIT 1;
SELECT id FROM domained ORDER BY vec <-> '{3,4}' LIMIT 1;
SELECT id FROM domained ORDER BY vec <-> ARRAY[3.0, 4.0]::float8[] LIMIT 1;

-- columns as a tuple
CREATE TABLE points (id int, x real, y real);
INSERT INTO points VALUES (1, 0, 0), (2, 3, 4);
SELECT id FROM points ORDER BY ARRAY[x, y] <-> ARRAY[3, 4] LIMIT 1;

DEALLOCATE ALL;
DROP TABLE points, domained, items;
DROP DOMAIN embedding;
DROP FUNCTION answers(text);
DROP FUNCTION form(text);
DROP FUNCTION sort_key(text);
