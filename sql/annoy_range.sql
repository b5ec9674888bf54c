-- Range queries: WHERE distance < radius as a condition of an index.  Which
-- conditions become one, what is returned, and what unusual input does.
SELECT setseed(0.4);
SET jit = off;

-- 3,000 rows around 20 centres, and some without a vector or a direction
CREATE TABLE items (id integer, kind integer, r real[], d double precision[]);
INSERT INTO items
SELECT id, id % 10, v::real[], v FROM (
	SELECT id, (SELECT array_agg(sin(id % 20 * 7 + i) + random() * 0.6 ORDER BY i) FROM generate_series(1, 8) i WHERE id > 0) AS v
	FROM generate_series(1, 3000) id OFFSET 0) s;
INSERT INTO items VALUES (3001, 1, NULL, NULL), (3002, 2, '{0,0,0,0,0,0,0,0}', '{0,0,0,0,0,0,0,0}');
CREATE INDEX items_r_l2 ON items USING annoy (r);
CREATE INDEX items_r_cosine ON items USING annoy (r real_cosine_ops) WITH (scalar = 'i8');
CREATE INDEX items_r_ip ON items USING annoy (r real_ip_ops);
CREATE INDEX items_d_l2 ON items USING annoy (d) WITH (scalar = 'none');
CREATE INDEX items_d_cosine ON items USING annoy (d double_cosine_ops);
CREATE INDEX items_d_ip ON items USING annoy (d double_ip_ops) WITH (scalar = 'f64');
CREATE TABLE queries AS SELECT id, d AS q, r AS q4, 0.3::double precision AS radius FROM items WHERE id % 100 = 7;
VACUUM ANALYZE items, queries;

-- the plan of a query in some words: what index, range, order, sort, join
CREATE FUNCTION plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	words text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'Index Scan using' THEN words := words || ' ' || substring(line FROM 'using (\w+)'); END IF;
		IF line ~ 'Index Cond: .*<@~' THEN words := words || ' range'; END IF;
		IF line ~ 'Order By:' THEN words := words || ' order'; END IF;
		IF line ~ 'Filter:.*<[-=#]>|Filter:.*distance|Filter:.*product' THEN words := words || ' filter'; END IF;
		IF line ~ 'Sort Key' THEN words := words || ' sort'; END IF;
		IF line ~ 'Nested Loop' THEN words := words || ' loop'; END IF;
		IF line ~ 'Seq Scan on items' THEN words := words || ' seq'; END IF;
		IF line ~ 'One-Time Filter: false' THEN words := words || ' nothing'; END IF;
	END LOOP;
	RETURN ltrim(words);
END
$$;

-- What it looks like
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1;
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE d <=> ARRAY[1,2,3,4,5,6,7,8] <= 0.1 ORDER BY d <=> ARRAY[1,2,3,4,5,6,7,8] LIMIT 10;

-- each comparison, operator, function, type of column and of query
SELECT format(condition, expression) AS where,
	plan(format('SELECT id FROM items WHERE ' || condition, expression)) AS plan
FROM unnest(ARRAY['%s < 1', '%s <= 1::real', '1.5 > %s', '2 >= %s']) condition,
	unnest(ARRAY[$$r <-> '{1,2,3,4,5,6,7,8}'$$, $$l2_distance('{1,2,3,4,5,6,7,8}', d)$$]) expression;
SELECT format('%s %s %s', c, o, q) AS distance, plan(format('SELECT id FROM items WHERE %s %s %s < 1', c, o, q)) AS plan,
	plan(format('SELECT id FROM items WHERE %s %s %s < 1', q, o, c)) AS commuted
FROM unnest(ARRAY['r', 'd']) c, unnest(ARRAY['<->', '<=>', '<#>']) o,
	unnest(ARRAY[$$'{1,2,3,4,5,6,7,8}'$$, $$'{1,2,3,4,5,6,7,8}'::real[]$$, $$'{1,2,3,4,5,6,7,8}'::float8[]$$,
		'ARRAY[1.5,2,3,4,5,6,7,8]', 'ARRAY[1,2,3,4,5,6,7,8]', 'ARRAY[1,2,3,4,5,6,7,8]::bigint[]',
		'ARRAY[1,2,3,4,5,6,7,8]::smallint[]', '(SELECT q FROM queries LIMIT 1)']) q;
SELECT format('%s(%s, %s)', f, c, q) AS distance, plan(format('SELECT id FROM items WHERE %s(%s, %s) < 1', f, c, q)) AS plan
FROM unnest(ARRAY['r', 'd']) c, unnest(ARRAY['l2_distance', 'cosine_distance', 'negative_inner_product']) f,
	unnest(ARRAY[$$'{1,2,3,4,5,6,7,8}'$$, $$'{1,2,3,4,5,6,7,8}'::real[]$$, $$'{1,2,3,4,5,6,7,8}'::float8[]$$, 'ARRAY[1,2.5,3,4,5,6,7,8]']) q;

-- with what else a query may have
SELECT query, plan(query) FROM unnest(ARRAY[
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 LIMIT 10$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 ORDER BY r <-> '{1,2,3,4,5,6,7,8}'$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 ORDER BY r <-> '{1,2,3,4,5,6,7,8}' LIMIT 10$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 ORDER BY '{1,2,3,4,5,6,7,8}' <-> r LIMIT 10$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 ORDER BY r <-> '{8,2,3,4,5,6,7,8}'$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 ORDER BY r <-> '{1,2,3,4,5,6,7,8}' DESC$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 ORDER BY r <-> '{1,2,3,4,5,6,7,8}' NULLS FIRST$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 ORDER BY id$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 AND kind = 3$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 AND r <-> '{2,2,3,4,5,6,7,8}' < 1$$,
	$$SELECT id FROM items WHERE r <@~ l2_ball('{1,2,3,4,5,6,7,8}', 1)$$,
	$$SELECT count(*) FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1$$,
	$$SELECT min(r <-> '{1,2,3,4,5,6,7,8}') FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1$$,
	$$UPDATE items SET kind = 0 WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1$$,
	$$DELETE FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 FOR UPDATE$$,
	$$DECLARE c CURSOR FOR SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1$$,
	$$SELECT id FROM items WHERE r <-> (SELECT q FROM queries LIMIT 1) < (SELECT radius FROM queries LIMIT 1)$$]) query;
-- joins: the query, and the radius, come from another table
SELECT query, plan(query) FROM unnest(ARRAY[
	$$SELECT * FROM queries JOIN items ON r <-> q < radius$$,
	$$SELECT * FROM queries JOIN items ON r <-> q4 < 0.3$$,
	$$SELECT * FROM queries JOIN items ON radius >= l2_distance(q4, r) AND kind = queries.id % 10$$,
	$$SELECT * FROM queries LEFT JOIN items ON d <=> q < radius$$,
	$$SELECT * FROM queries WHERE EXISTS (SELECT FROM items WHERE r <-> q < radius AND items.id <> queries.id)$$,
	$$SELECT * FROM queries, LATERAL (SELECT * FROM items WHERE r <-> q < radius) i$$,
	$$SELECT * FROM queries, LATERAL (SELECT * FROM items WHERE r <-> q < radius ORDER BY r <-> q LIMIT 3) i$$,
	$$DELETE FROM items USING queries WHERE r <-> q < radius$$]) query;
-- not for these: the column on both sides, volatile, another order, OR, no distance
SELECT query, plan(query) FROM unnest(ARRAY[
	$$SELECT id FROM items WHERE r <-> r < 1$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < kind$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < random()$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' > 1$$,
	$$SELECT id FROM items WHERE 1 <= r <-> '{1,2,3,4,5,6,7,8}'$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' = 1$$,
	$$SELECT id FROM items WHERE (r <-> '{1,2,3,4,5,6,7,8}') + 0 < 1$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 OR kind = 3$$,
	$$SELECT id FROM items WHERE inner_product(r, '{1,2,3,4,5,6,7,8}') < 1$$,
	$$SELECT id FROM items TABLESAMPLE SYSTEM (10) WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1$$]) query;
-- what the planner does by itself: a range of all or none, and a join
RESET enable_seqscan;
SELECT query, plan(query) FROM unnest(ARRAY[
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 'NaN'$$,
	$$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < -1$$,
	$$SELECT * FROM queries JOIN items ON r <-> q < radius$$]) query;
SET enable_seqscan = off;

-- prepared statements, with plans for any parameter and for given ones
PREPARE near(float8[], float8) AS SELECT count(*) FROM items WHERE r <-> $1 < $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE near('{1,2,3,4,5,6,7,8}', 1);
SET plan_cache_mode = force_custom_plan;
EXPLAIN (COSTS OFF) EXECUTE near('{1,2,3,4,5,6,7,8}', 1);
RESET plan_cache_mode;
DEALLOCATE near;

-- row-level security: the distance may not see rows that the policy hides
CREATE ROLE regress_ann_reader;
GRANT SELECT ON items TO regress_ann_reader;
CREATE POLICY kind ON items USING (kind < 5);
ALTER TABLE items ENABLE ROW LEVEL SECURITY;
SET ROLE regress_ann_reader;
SELECT plan($$SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1$$);
RESET ROLE;
ALTER TABLE items DISABLE ROW LEVEL SECURITY;
DROP POLICY kind ON items;
REVOKE SELECT ON items FROM regress_ann_reader;
DROP ROLE regress_ann_reader;

-- What is returned.  For radii with 1, 30, 300 and 2,000 rows: as many as a
-- sequential scan finds but for a few, no others, no row twice, and in order.
SET ann.target_recall = 0.99;
CREATE TABLE found (c text, o text, rank integer, form text, wanted integer, found integer, wrong integer, ordered boolean);
CREATE FUNCTION compare(c text, o text, rank integer, form text, query text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	q record;
	truth double precision[];
	answer double precision[];
	radius double precision;
BEGIN
	FOR q IN SELECT * FROM queries LOOP
		EXECUTE format('SELECT array_agg(x ORDER BY x) FROM (SELECT (%s %s $1) + 0 AS x FROM items) s', c, o) INTO truth USING q.q;
		radius := truth[rank];
		EXECUTE format('SELECT array_agg(x) FROM (' || query || ') s', c, o) INTO answer USING q.q, radius;
		INSERT INTO found SELECT c, o, rank, form,
			(SELECT count(*) FROM unnest(truth) x WHERE x <= radius),
			cardinality(answer),
			(SELECT count(*) FROM (SELECT x FROM unnest(answer) x EXCEPT ALL SELECT x FROM unnest(truth) x WHERE x <= radius) s),
			answer = (SELECT array_agg(x ORDER BY x) FROM unnest(answer) x);
	END LOOP;
END
$$;
SELECT count(compare(c, o, rank, 'any order', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s %2$s $1 <= $2'))
FROM unnest(ARRAY['r', 'd']) c, unnest(ARRAY['<->', '<=>', '<#>']) o, unnest(ARRAY[1, 30, 300, 2000]) rank;
-- the index sorts
SET enable_sort = off;
SELECT count(compare(c, o, rank, 'sorted', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s %2$s $1 <= $2 ORDER BY %1$s %2$s $1'))
FROM unnest(ARRAY['r', 'd']) c, unnest(ARRAY['<->', '<=>', '<#>']) o, unnest(ARRAY[1, 30, 300, 2000]) rank;
SELECT count(compare(c, o, rank, 'limit 10', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s %2$s $1 <= $2 ORDER BY %1$s %2$s $1 LIMIT 10'))
FROM unnest(ARRAY['r', 'd']) c, unnest(ARRAY['<->', '<=>', '<#>']) o, unnest(ARRAY[1, 30, 300]) rank;
RESET enable_sort;
SELECT count(compare(c, '<->', rank, 'limit 10 of any', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s %2$s $1 <= $2 LIMIT 10'))
FROM unnest(ARRAY['r', 'd']) c, unnest(ARRAY[1, 30, 300]) rank;
SELECT form, rank, count(*), sum(wrong) AS wrong, bool_and(found <= wanted) AS not_too_many,
	sum(found) >= 0.97 * sum(CASE WHEN form LIKE 'limit%' THEN least(10, wanted) ELSE wanted END) AS recall,
	bool_and(ordered) FILTER (WHERE form IN ('sorted', 'limit 10')) AS ordered
FROM found GROUP BY form, rank ORDER BY form, rank;
DELETE FROM found;
-- the operator by itself is as exact, whatever the index rounds
SELECT count(compare(c, '<->', rank, 'ball', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s <@~ l2_ball($1, $2)'))
FROM unnest(ARRAY['r', 'd']) c, unnest(ARRAY[1, 30, 300]) rank;
SELECT count(compare(c, '<=>', rank, 'ball', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s <@~ cosine_ball($1, $2)'))
FROM unnest(ARRAY['r', 'd']) c, unnest(ARRAY[1, 30, 300]) rank;
SELECT count(compare(c, '<#>', rank, 'two balls', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s <@~ ip_ball($1, $2) AND %1$s <@~ ip_ball($1, $2 + 1)'))
FROM unnest(ARRAY['r', 'd']) c, unnest(ARRAY[1, 30, 300]) rank;
SELECT form, rank, sum(wrong) AS wrong, sum(found) >= 0.97 * sum(wanted) AS recall FROM found GROUP BY form, rank ORDER BY form, rank;
DELETE FROM found;
-- a table that is large enough for several stages of a search
ALTER TABLE items RENAME TO few_items;
CREATE TABLE items AS
SELECT id, id % 10 AS kind, v AS r FROM (
	SELECT id, (SELECT array_agg(sin(id % 20 * 7 + i) + random() * 0.6 ORDER BY i)::real[] FROM generate_series(1, 8) i WHERE id > 0) AS v
	FROM generate_series(1, 12000) id OFFSET 0) s;
CREATE INDEX ON items USING annoy (r);
SELECT count(compare('r', '<->', rank, 'any order', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s %2$s $1 <= $2'))
FROM unnest(ARRAY[120, 300, 900]) rank;
SET enable_sort = off;
SELECT count(compare('r', '<->', rank, 'sorted', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s %2$s $1 <= $2 ORDER BY %1$s %2$s $1'))
FROM unnest(ARRAY[120, 300, 900]) rank;
SELECT count(compare('r', '<->', rank, 'limit', 'SELECT %1$s %2$s $1 AS x FROM items WHERE %1$s %2$s $1 <= $2 ORDER BY %1$s %2$s $1 LIMIT 200'))
FROM unnest(ARRAY[120, 300, 900]) rank;
RESET enable_sort;
SELECT form, rank, sum(wrong) AS wrong,
	sum(found) >= 0.95 * sum(CASE WHEN form = 'limit' THEN least(200, wanted) ELSE wanted END) AS recall,
	bool_and(ordered) FILTER (WHERE form <> 'any order') AS ordered
FROM found GROUP BY form, rank ORDER BY form, rank;
DELETE FROM found;
DROP TABLE items;
ALTER TABLE few_items RENAME TO items;

-- two ranges around different vectors, and an order by a third
SELECT sum(a) > 0 AS some, bool_and(a <= b) AS subset, sum(a) >= 0.97 * sum(b) AS recall FROM (
	SELECT (SELECT count(*) FROM items WHERE r <@~ l2_ball(o.q, 1.2) AND r <@~ l2_ball(p.q, 1.2)) AS a,
		(SELECT count(*) FROM items WHERE (r <-> o.q) + 0 <= 1.2 AND (r <-> p.q) + 0 <= 1.2) AS b
	FROM queries o, queries p WHERE o.id < 1000 AND p.id < 1000 AND o.q <-> p.q < 1.2) s;
SELECT count(*), bool_and(a <@ b) AS subset, sum(cardinality(a)) >= 0.97 * sum(cardinality(b)) AS recall FROM (
	SELECT ARRAY(SELECT id FROM items WHERE r <@~ l2_ball(o.q, 0.5) ORDER BY r <-> p.q LIMIT 20) AS a,
		ARRAY(SELECT id FROM items WHERE (r <-> o.q) + 0 <= 0.5 ORDER BY (r <-> p.q) + 0 LIMIT 20) AS b
	FROM queries o, queries p WHERE o.id < 1000 AND p.id < 500) s;
-- a filter beside the range
SELECT count(*), bool_and(a <@ b) AS subset, sum(cardinality(a)) >= 0.97 * sum(cardinality(b)) AS recall FROM (
	SELECT ARRAY(SELECT id FROM items WHERE r <-> q < 1 AND kind = 7 ORDER BY r <-> q LIMIT 20) AS a,
		ARRAY(SELECT id FROM items WHERE (r <-> q) + 0 < 1 AND kind = 7 ORDER BY (r <-> q) + 0 LIMIT 20) AS b
	FROM queries) s;
-- joins, and rescans with other ranges
SELECT count(*) >= 0.97 * (SELECT count(*) FROM queries JOIN items ON (r <-> q) + 0 < radius) AND
	count(*) <= (SELECT count(*) FROM queries JOIN items ON (r <-> q) + 0 < radius) AS joined
FROM queries JOIN items ON r <-> q < radius;
SELECT count(*) = (SELECT count(*) FROM queries) AS left_join FROM queries LEFT JOIN items ON r <-> q < -1;

-- Unusual input: as a sequential scan, which plan() shows that it is not
CREATE FUNCTION agree(condition text) RETURNS TABLE (plan text, index_says text, table_says text) LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	queries text[] := ARRAY[format('SELECT count(*)::text FROM items WHERE %s', condition),
		format('SELECT count(*)::text FROM items WHERE %s', replace(condition, ') ', ') + 0 '))];
BEGIN
	plan := plan(queries[1]);
	FOR i IN 1 .. 2 LOOP
		BEGIN
			EXECUTE queries[i] INTO answer;
		EXCEPTION WHEN OTHERS THEN
			answer := SQLSTATE || ' ' || SQLERRM;
		END;
		IF i = 1 THEN index_says := answer; ELSE table_says := answer; END IF;
	END LOOP;
	RETURN NEXT;
END
$$;
SELECT condition, b.* FROM unnest(ARRAY[
	$$(r <-> '{1,2,3,4,5,6,7,8}') < NULL$$,
	$$(r <-> '{1,2,3,4,5,6,7,8}') < (SELECT NULL::float8)$$,
	$$(r <-> (SELECT NULL::real[])) < 1$$,
	$$(r <-> '{1,2,3,4,5,6,7,8}') < 'NaN'$$,
	$$(r <-> '{1,2,3,4,5,6,7,8}') <= 'NaN'$$,
	$$(r <-> '{1,2,3,4,5,6,7,8}') < 'Infinity'$$,
	$$(r <-> '{1,2,3,4,5,6,7,8}') < '-Infinity'$$,
	$$(r <-> '{1,2,3,4,5,6,7,8}') < -1$$,
	$$(r <-> '{0,0,0,0,0,0,0,0}') < 0$$,
	$$(r <-> '{0,0,0,0,0,0,0,0}') <= 0$$,
	$$(r <=> '{1,2,3,4,5,6,7,8}') < 'NaN'$$,
	$$(r <=> '{1,2,3,4,5,6,7,8}') <= 'NaN'$$,
	$$(r <=> '{1,2,3,4,5,6,7,8}') <= 'Infinity'$$,
	$$(r <=> '{0,0,0,0,0,0,0,0}') < 2$$,
	$$(r <=> '{0,0,0,0,0,0,0,0}') < 'NaN'$$,
	$$(r <=> '{0,0,0,0,0,0,0,0}') <= 'NaN'$$,
	$$(r <#> '{0,0,0,0,0,0,0,0}') < 0$$,
	$$(r <#> '{0,0,0,0,0,0,0,0}') <= 0$$,
	$$(r <#> '{1,2,3,4,5,6,7,8}') < '-Infinity'$$,
	$$(r <-> '{1,2,3}') < 1$$,
	$$(r <-> '{1,2,3,4,5,6,7,NaN}') < 1$$,
	$$(r <-> '{1,2,3,4,5,6,7,NULL}') < 1$$,
	$$(r <-> '{}') < 1$$,
	$$(r <-> '{{1,2,3,4,5,6,7,8}}') < 1$$]) condition, agree(condition) b;
SELECT id, r <@~ l2_ball('{1,2,3,4,5,6,7,8}', 100) AS inside, r <@~ l2_ball('{1,2,3,4,5,6,7,8}', 1) AS outside,
	r <@~ l2_ball('{1,2,3,4,5,6,7,8}', 'NaN') AS nan, r <@~ ROW('{1,2,3,4,5,6,7,8}', NULL)::l2_ball AS no_radius,
	r <@~ cosine_ball('{1,2,3,4,5,6,7,8}', 2) AS cosine
FROM items WHERE id IN (1, 3001, 3002) ORDER BY id;
SELECT count(*) FROM items WHERE r <@~ ROW('{1,2,3,4,5,6,7,8}', NULL)::l2_ball;
SELECT count(*) FROM items WHERE r <@~ ROW(NULL, 1)::l2_ball;
SELECT count(*) FROM items WHERE r <@~ NULL::l2_ball;
SELECT count(*) FROM items WHERE r <@~ ROW('{1,2,3}', 1)::l2_ball;
SELECT l2_ball('{1,2}', 3), l2_ball(NULL, 3) IS NULL AS is_null, cosine_ball(ARRAY[1, 2], 3), ip_ball(ARRAY[0.5]::real[], 'NaN');
SELECT l2_ball('{1,NULL}', 3);
SELECT l2_ball('{}', 3);

-- cursors, and rows that change while they are read
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM items WHERE d <-> '{0,0,0,0,0,0,0,0}' <= 0;
FETCH 5 FROM c;
MOVE FORWARD ALL FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;
BEGIN;
CREATE TEMPORARY TABLE before AS SELECT id FROM items WHERE r <-> (SELECT q FROM queries WHERE id = 7) <= 0.5;
WITH changed AS (UPDATE items SET r = r, kind = 10 WHERE r <-> (SELECT q FROM queries WHERE id = 7) <= 0.5 RETURNING id)
SELECT count(*) = (SELECT count(*) FROM before) AS updated FROM changed;
SELECT count(*) = (SELECT count(*) FROM before) AS found FROM items WHERE kind = 10 AND r <-> (SELECT q FROM queries WHERE id = 7) <= 0.5;
SELECT count(*) = (SELECT count(*) FROM before) AS locked FROM (
	SELECT id FROM items WHERE r <-> (SELECT q FROM queries WHERE id = 7) <= 0.5 FOR UPDATE) s;
WITH gone AS (DELETE FROM items WHERE r <-> (SELECT q FROM queries WHERE id = 7) <= 0.5 RETURNING id)
SELECT count(*) = (SELECT count(*) FROM before) AS deleted FROM gone;
SELECT count(*) FROM items WHERE r <-> (SELECT q FROM queries WHERE id = 7) <= 0.5;
ROLLBACK;

-- partitions, partial indexes, expressions
CREATE TABLE parts (id integer, kind integer, r real[]) PARTITION BY LIST (kind);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES IN (0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
INSERT INTO parts SELECT id, id % 2, r FROM items WHERE id <= 3000;
CREATE INDEX ON parts USING annoy (r);
VACUUM ANALYZE parts;
EXPLAIN (COSTS OFF) SELECT id FROM parts WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1 ORDER BY r <-> '{1,2,3,4,5,6,7,8}' LIMIT 5;
SELECT count(*) >= 0.97 * (SELECT count(*) FROM queries JOIN parts ON (r <-> q) + 0 < radius) AS joined FROM queries JOIN parts ON r <-> q < radius;
CREATE TABLE points (x real, y real, z real);
INSERT INTO points SELECT random(), random(), random() FROM generate_series(1, 2000);
CREATE INDEX points_xyz ON points USING annoy ((ARRAY[x, y, z]));
CREATE INDEX points_low ON points USING annoy ((ARRAY[x, y])) WHERE z < 0.5;
VACUUM ANALYZE points;
SELECT query, plan(query) FROM unnest(ARRAY[
	'SELECT * FROM points WHERE ARRAY[x, y, z] <-> ARRAY[0.5, 0.5, 0.5] < 0.1',
	'SELECT * FROM points WHERE ARRAY[x, y] <-> ARRAY[0.5, 0.5] < 0.1 AND z < 0.5',
	'SELECT * FROM points WHERE ARRAY[x, y] <-> ARRAY[0.5, 0.5] < 0.1']) query;
SELECT (SELECT count(*) FROM points WHERE ARRAY[x, y, z] <-> ARRAY[0.5, 0.5, 0.5] < 0.2) / count(*)::numeric BETWEEN 0.97 AND 1 AS expression
FROM points WHERE (x - 0.5) ^ 2 + (y - 0.5) ^ 2 + (z - 0.5) ^ 2 < 0.04;

-- a filter, deleted rows, and a join above make a range read on: nothing in it is lost
SET enable_seqscan = off;
SET enable_sort = off;
SET enable_bitmapscan = off;
CREATE TABLE gone (id integer, kind integer, r real[]) WITH (autovacuum_enabled = off);
INSERT INTO gone SELECT id, abs(hashint4(id) % 10), r FROM items;
CREATE FUNCTION read_on(condition text, rest text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	q record;
	n bigint;
	found bigint := 0;
	wanted bigint := 0;
BEGIN
	FOR q IN SELECT n.q, (SELECT (r <-> n.q) + 0 AS x FROM gone ORDER BY 1 OFFSET 400 LIMIT 1) AS radius FROM queries n LOOP
		EXECUTE format('SELECT count(*) FROM (SELECT id FROM gone WHERE r <-> $1 < $2 AND %s %s LIMIT 10) s', condition, rest) INTO n USING q.q, q.radius;
		found := found + n;
		EXECUTE format('SELECT least(count(*), 10) FROM gone WHERE (r <-> $1) + 0 < $2 AND %s', condition) INTO n USING q.q, q.radius;
		wanted := wanted + n;
	END LOOP;
	RETURN CASE WHEN found >= 0.95 * wanted AND found <= wanted AND wanted > 0 THEN 'all' ELSE found || ' of ' || wanted END;
END
$$;
CREATE FUNCTION read_on_all() RETURNS TABLE (filter text, sorted text, vanished text) LANGUAGE sql AS $$
	SELECT read_on('kind = 3'), read_on('kind = 3', 'ORDER BY r <-> $1'), read_on('kind < 10', 'ORDER BY r <-> $1')
$$;
CREATE INDEX gone_r ON gone USING annoy (r);
SELECT * FROM read_on_all();
DELETE FROM gone g USING queries WHERE r <-> q < (SELECT (r <-> q) + 0 AS x FROM items ORDER BY 1 OFFSET 100 LIMIT 1);
SELECT * FROM read_on_all();
DROP INDEX gone_r;
CREATE INDEX gone_r ON gone USING annoy (r) WITH (scalar = none);
DELETE FROM gone g USING queries WHERE r <-> q < (SELECT (r <-> q) + 0 AS x FROM items ORDER BY 1 OFFSET 200 LIMIT 1);
SELECT * FROM read_on_all();
RESET enable_seqscan;
RESET enable_sort;
RESET enable_bitmapscan;
-- who may not look into the schema of the extension, or call its functions
CREATE ROLE regress_ann_reader;
CREATE VIEW near AS SELECT id FROM items WHERE r <-> '{1,2,3,4,5,6,7,8}' < 1;
GRANT SELECT ON near TO regress_ann_reader;
REVOKE EXECUTE ON FUNCTION l2_ball(double precision[], double precision) FROM PUBLIC;
SET ROLE regress_ann_reader;
SELECT count(*) >= 0 AS answered FROM near;
RESET ROLE;
GRANT EXECUTE ON FUNCTION l2_ball(double precision[], double precision) TO PUBLIC;
DROP VIEW near;
DROP ROLE regress_ann_reader;
DROP TABLE gone;
DROP FUNCTION read_on(text, text), read_on_all();

-- small tables are searched whole
CREATE TABLE few AS SELECT id, r FROM items WHERE id <= 150;
CREATE INDEX ON few USING annoy (r);
SELECT bool_and(a = b) AS exact FROM (
	SELECT ARRAY(SELECT id FROM few WHERE r <-> q < 2 ORDER BY r <-> q) AS a,
		ARRAY(SELECT id FROM few WHERE (r <-> q) + 0 < 2 ORDER BY (r <-> q) + 0) AS b FROM queries) s;
-- and so is what is empty
CREATE TABLE none (r real[]);
CREATE INDEX ON none USING annoy (r);
SELECT count(*) FROM none WHERE r <-> '{1,2}' < 1;
INSERT INTO none VALUES (NULL);
SELECT count(*) FROM none WHERE r <-> '{1,2}' < 'NaN';

DROP TABLE items, queries, found, parts, points, few, none;
DROP FUNCTION plan, compare, agree;
