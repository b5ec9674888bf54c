-- Queries as applications write them, at the planner's own choice.  Each is asked
-- twice: what comes through an index is compared with a sort of the whole table.
-- What becomes of single queries is in annoy_plans, of other objects in annoy_objects.
SELECT setseed(0.4);
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SET ann.target_recall = 0.99;

-- 20,000 rows in 50 clusters; filters that pass a tenth, a hundredth, two of them
CREATE TABLE items (id integer PRIMARY KEY, tenth integer, hundredth integer, pair integer, r real[], d double precision[]);
INSERT INTO items
SELECT id, id % 10, id % 100, id % 10000, v::real[], v FROM (
	SELECT id, array_agg(sin(id % 50 * 31 + i) + random() - 0.5) AS v
	FROM generate_series(1, 20000) id, generate_series(1, 8) i GROUP BY id) s;
CREATE INDEX items_tenth ON items (tenth);
CREATE INDEX items_hundredth ON items (hundredth);
CREATE INDEX items_pair ON items (pair);
CREATE INDEX items_r ON items USING annoy (r);
CREATE INDEX items_d ON items USING annoy (d double_cosine_ops);
CREATE TABLE queries AS SELECT id, ARRAY(SELECT x + 0.05 FROM unnest(d) x) AS q FROM items WHERE id % 4000 = 17;
VACUUM ANALYZE items, queries;
CREATE FUNCTION near() RETURNS float8[] LANGUAGE sql IMMUTABLE AS 'SELECT q FROM queries WHERE id = 4017';

-- A plan, but for the numbers of near().
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		RETURN NEXT regexp_replace(line, '''\{[-+.,0-9e]*\}''', 'near()');
	END LOOP;
END
$$;
-- How often this transaction has searched an index of vectors.
CREATE FUNCTION searches() RETURNS numeric LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(sum(pg_stat_get_xact_numscans(c.oid)), 0) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
	WHERE amname = 'annoy' AND relkind = 'i'
$$;
-- The column x of a query.
CREATE FUNCTION answer(query text) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
	result float8[] := '{}';
	row record;
BEGIN
	FOR row IN EXECUTE query LOOP
		result := result || row.x;
	END LOOP;
	RETURN result;
END
$$;
-- Compares the answer of a query with that of another, by default the same, without
-- index scans: how many searches there were, how many rows, whether all that there
-- should be, whether sorted, and whether nearly all (one of ten may be missing) the nearest.
CREATE FUNCTION compare(query text, exactly text DEFAULT NULL,
	OUT searches numeric, OUT n bigint, OUT complete boolean, OUT sorted boolean, OUT nearest boolean)
LANGUAGE plpgsql AS $$
DECLARE
	found float8[];
	exact float8[];
BEGIN
	searches := searches();
	found := answer(query);
	searches := searches() - searches;
	SET LOCAL enable_indexscan = off;
	exact := answer(coalesce(exactly, query));
	SET LOCAL enable_indexscan = on;
	n := cardinality(found);
	complete := n = cardinality(exact);
	sorted := found = ARRAY(SELECT x FROM unnest(found) x ORDER BY x);
	nearest := (SELECT count(*) >= 0.9 * n FROM unnest(found) x WHERE x <= (SELECT max(x) FROM unnest(exact) x));
END
$$;

-- LIMIT and OFFSET in all their forms; the last four want everything, in order
SELECT tail, r.searches, r.n, r.complete, r.sorted, r.nearest, (r.n, r.complete, r.sorted, r.nearest) = (d.n, d.complete, d.sorted, d.nearest) AS alike
FROM unnest(ARRAY['LIMIT 10', 'LIMIT 100', 'LIMIT 20 OFFSET 30', 'OFFSET 19995 LIMIT 10', 'OFFSET 20000 LIMIT 10', 'LIMIT 1 + 2', 'LIMIT 0',
	'LIMIT (SELECT 15)', 'LIMIT (SELECT count(*) FROM queries)', 'FETCH FIRST 7 ROWS WITH TIES',
	'LIMIT NULL', 'LIMIT ALL', 'OFFSET 19990', '']) tail,
	compare('SELECT r <-> near() AS x FROM items ORDER BY r <-> near() ' || tail) r,
	compare('SELECT d <=> near() AS x FROM items ORDER BY d <=> near() ' || tail) d;

-- Filters, each with an index of its own.  One of these is chosen where few rows pass,
-- ours where all do; and any LIMIT gets its rows.
SELECT filter, lim, r.n, r.complete, r.sorted, r.nearest, d.n, d.complete, d.sorted, d.nearest,
	CASE WHEN filter IN ('true', 'pair = 7') THEN r.searches END AS searches
FROM unnest(ARRAY['true', 'tenth = 3', 'hundredth = 77', 'pair = 7', 'hundredth IN (1, 2) AND tenth < 2', 'id > 19000', 'id < 0']) filter,
	unnest(ARRAY[1, 10, 250]) lim,
	compare(format('SELECT r <-> near() AS x FROM items WHERE %s ORDER BY x LIMIT %s', filter, lim)) r,
	compare(format('SELECT d <=> near() AS x FROM items WHERE %s ORDER BY x LIMIT %s', filter, lim)) d
ORDER BY lim, filter COLLATE "C";

-- Prepared statements, with a plan for each value and with one for all
PREPARE by_r(real[], bigint) AS SELECT r <-> $1 AS x FROM items ORDER BY r <-> $1 LIMIT $2;
PREPARE by_d(numeric[], int, int) AS SELECT id, d <=> $1 AS x FROM items WHERE tenth <> $3 ORDER BY d <=> $1 LIMIT $2 OFFSET 5;
SET plan_cache_mode = force_custom_plan;
SELECT plan($$EXECUTE by_r(near()::real[], 10)$$);
SELECT plan($$EXECUTE by_r(near()::real[], NULL)$$);
SET plan_cache_mode = force_generic_plan;
SELECT plan($$EXECUTE by_r(near()::real[], 10)$$);
SELECT plan($$EXECUTE by_d(near()::numeric[], 10, 3)$$);
CREATE FUNCTION compare_executed(lim text, OUT statement text, OUT mode text, OUT searches numeric, OUT n bigint, OUT complete boolean, OUT sorted boolean, OUT nearest boolean)
RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	FOREACH mode IN ARRAY ARRAY['force_custom_plan', 'force_generic_plan', 'auto'] LOOP
		PERFORM set_config('plan_cache_mode', mode, true);
		statement := 'by_r';
		RETURN QUERY SELECT statement, mode, c.* FROM compare(format('EXECUTE by_r(near()::real[], %s)', lim),
			format('SELECT r <-> near()::real[] AS x FROM items ORDER BY r <-> near()::real[] LIMIT %s', lim)) c;
		statement := 'by_d';
		RETURN QUERY SELECT statement, mode, c.* FROM compare(format('EXECUTE by_d(near()::numeric[], %s, 3)', lim),
			format('SELECT d <=> near()::numeric[] AS x FROM items WHERE tenth <> 3 ORDER BY x OFFSET 5 LIMIT %s', lim)) c;
	END LOOP;
END
$$;
SELECT lim, statement, mode, n, complete, sorted, nearest FROM unnest(ARRAY['10', '200', '0']) lim, compare_executed(lim);
-- a parameter that says no LIMIT gets all that the generic plan can give: every row,
-- sorted but for the few that are found late
SELECT count(*), count(DISTINCT x) > 19990 AS different FROM unnest(answer('EXECUTE by_r(near()::real[], NULL)')) x;
SELECT count(*) FROM unnest(answer('EXECUTE by_r(NULL, 10)')) x;
RESET plan_cache_mode;

-- PL/pgSQL: a variable as query.  A loop is planned as one that reads all of its rows,
-- and a cursor as one that does not.
CREATE FUNCTION asked_once(query real[]) RETURNS SETOF float8 LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT r <-> query FROM items ORDER BY r <-> query LIMIT 10;
END
$$;
CREATE FUNCTION until(query float8[], n integer) RETURNS SETOF float8 LANGUAGE plpgsql AS $$
DECLARE
	row record;
BEGIN
	FOR row IN SELECT r <-> query AS x FROM items ORDER BY r <-> query LOOP
		EXIT WHEN n = 0;
		n := n - 1;
		RETURN NEXT row.x;
	END LOOP;
END
$$;
CREATE FUNCTION through_cursor(query float8[], n integer) RETURNS SETOF float8 LANGUAGE plpgsql AS $$
DECLARE
	c CURSOR (q float8[]) FOR SELECT d <=> q FROM items WHERE tenth <> 3 ORDER BY d <=> q;
	x float8;
BEGIN
	OPEN c(query);
	FOR i IN 1..n LOOP
		FETCH c INTO x;
		EXIT WHEN NOT FOUND;
		RETURN NEXT x;
	END LOOP;
	CLOSE c;
END
$$;
CREATE FUNCTION by_expression(q real[], lim bigint DEFAULT 10) RETURNS SETOF float8 LANGUAGE sql STABLE AS
	'SELECT r <-> q FROM items ORDER BY r <-> q LIMIT lim';
SELECT * FROM compare('SELECT * FROM asked_once(near()::real[]) x', 'SELECT r <-> near()::real[] AS x FROM items ORDER BY x LIMIT 10');
SELECT * FROM compare('SELECT * FROM until(near(), 10) x', 'SELECT r <-> near() AS x FROM items ORDER BY x LIMIT 10');
SELECT * FROM compare('SELECT * FROM through_cursor(near(), 10) x', 'SELECT d <=> near() AS x FROM items WHERE tenth <> 3 ORDER BY x LIMIT 10');
SELECT * FROM compare('SELECT * FROM by_expression(near()::real[]) x', 'SELECT r <-> near()::real[] AS x FROM items ORDER BY x LIMIT 10');
-- to the end of a cursor: every row once
SELECT count(*) FROM through_cursor(near(), 30000);

-- Joins that ask for each row of another table: a search for each
SELECT plan('SELECT q.id, i.id FROM queries q, LATERAL (SELECT id FROM items ORDER BY r <-> q LIMIT 3) i');
CREATE VIEW nearest AS SELECT q.id AS query, i.* FROM queries q
	CROSS JOIN LATERAL (SELECT id, tenth, r <-> q.q AS x FROM items ORDER BY r <-> q.q LIMIT 10) i;
CREATE TABLE ids AS SELECT id FROM queries;
SELECT ids.id, c.* FROM ids, compare(format('SELECT x FROM nearest WHERE query = %s', id),
	format('SELECT r <-> q AS x FROM items, queries q WHERE q.id = %s ORDER BY x LIMIT 10', id)) c ORDER BY id;
-- one search for each outer row, whatever else is joined; as many rows as each says,
-- and none where there are none
SELECT query, c.searches, c.n, c.complete, c.nearest FROM (VALUES
	('SELECT x FROM nearest ORDER BY x'),
	('SELECT n.x FROM nearest n JOIN items i USING (id) WHERE n.id >= 0 ORDER BY n.x'),
	('SELECT coalesce(n.x, 0) AS x FROM queries q LEFT JOIN LATERAL
		(SELECT r <-> q.q AS x FROM items ORDER BY r <-> q.q LIMIT q.id / 4000) n ON true ORDER BY 1'),
	('SELECT (SELECT d <=> q.q FROM items ORDER BY d <=> q.q LIMIT 1) AS x FROM queries q ORDER BY 1'),
	('SELECT n.x FROM queries q, LATERAL (SELECT d <=> q.q AS x FROM items WHERE tenth = 3 ORDER BY d <=> q.q OFFSET 2 LIMIT 5) n ORDER BY x'),
	('SELECT i.r <-> n.r AS x FROM items i, LATERAL (SELECT r FROM items ORDER BY r <-> i.r OFFSET 1 LIMIT 1) n WHERE i.id <= 30 ORDER BY 1'),
	('SELECT x FROM queries q, LATERAL (SELECT r <-> q.q AS x FROM items ORDER BY r <-> q.q LIMIT 10) a WHERE EXISTS
		(SELECT FROM items b WHERE b.id = q.id) ORDER BY x')) v(query), compare(query) c;

-- Subqueries, CTEs, UNION ALL
CREATE FUNCTION forms() RETURNS TABLE (query text) LANGUAGE sql AS $$ VALUES
	('SELECT x FROM (SELECT id, r <-> near() AS x FROM items ORDER BY r <-> near() LIMIT 10) s'),
	('SELECT x FROM (SELECT id, tenth, r <-> near() AS x FROM items) s ORDER BY x LIMIT 10'),
	('SELECT x FROM (SELECT id, r <-> near() AS x FROM items OFFSET 0) s ORDER BY x LIMIT 10'),
	('SELECT x FROM (SELECT id, d <=> near() AS x FROM items ORDER BY x LIMIT 50) s WHERE id > 0'),
	('WITH n AS (SELECT id, r <-> near() AS x FROM items ORDER BY r <-> near() LIMIT 10) SELECT x FROM n'),
	('WITH n AS MATERIALIZED (SELECT id, r <-> near() AS x FROM items ORDER BY x LIMIT 10) SELECT a.x FROM n a JOIN n b USING (id) ORDER BY 1'),
	('SELECT r <-> (SELECT q FROM queries WHERE id = 17) AS x FROM items ORDER BY x LIMIT 10'),
	('WITH q AS MATERIALIZED (SELECT q FROM queries WHERE id = 17) SELECT r <-> (SELECT q FROM q) AS x FROM items ORDER BY x LIMIT 10'),
	('SELECT x FROM ((SELECT r <-> near() AS x FROM items WHERE tenth < 5 ORDER BY x LIMIT 10)
		UNION ALL (SELECT r <-> near() FROM items WHERE tenth >= 5 ORDER BY 1 LIMIT 10)) u ORDER BY x LIMIT 10'),
	('SELECT x FROM (SELECT id, r <-> near() AS x FROM items UNION ALL SELECT id, q <-> near() FROM queries) u ORDER BY x LIMIT 10')
$$;
SELECT query, c.* FROM forms(), compare(query) c;

-- Cursors, read in steps and to the end: every row, once.  The few that are found late
-- come after all others, which are sorted.
CREATE TABLE fetched (place serial, id integer, x float8);
CREATE FUNCTION fetch_into(c refcursor, step integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	row record;
	n integer := 0;
BEGIN
	WHILE n < step LOOP
		FETCH c INTO row;
		EXIT WHEN NOT FOUND;
		INSERT INTO fetched (id, x) VALUES (row.id, row.x);
		n := n + 1;
	END LOOP;
	RETURN n;
END
$$;
CREATE FUNCTION fetched(OUT n bigint, OUT ids bigint, OUT sorted boolean, OUT nearest bigint) LANGUAGE sql AS $$
	SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE x < top) <= 0.5 * count(*) AND count(*) FILTER (WHERE x < before) <= 1,
		count(*) FILTER (WHERE place <= 100 AND x <= (SELECT max(x) FROM (SELECT x FROM fetched ORDER BY x LIMIT 100) s))
	FROM (SELECT *, lag(x) OVER w AS before, max(x) OVER w AS top FROM fetched WINDOW w AS (ORDER BY place)) s
$$;
BEGIN;
SELECT plan('DECLARE c CURSOR FOR SELECT id, r <-> near() AS x FROM items ORDER BY r <-> near()');
DECLARE c CURSOR FOR SELECT id, r <-> near() AS x FROM items ORDER BY r <-> near();
DECLARE e CURSOR FOR SELECT id, d <=> near() AS x FROM items WHERE id % 10 = 3 ORDER BY d <=> near();
SELECT fetch_into('c', n) FROM unnest(ARRAY[1, 9, 90, 900, 9000]) n;
SELECT n, ids, sorted, nearest > 90 AS nearest FROM fetched();
-- others do not disturb it
SELECT fetch_into('e', 5);
TRUNCATE fetched;
DELETE FROM items WHERE id % 2 = 0;
SELECT fetch_into('e', 3000);
SELECT count(DISTINCT id) FROM fetched;
TRUNCATE fetched;
SELECT fetch_into('c', 20000);
SELECT fetch_into('c', 1);
SELECT n, ids FROM fetched();
CLOSE c;
ROLLBACK;
TRUNCATE fetched RESTART IDENTITY;
-- beyond the end of the transaction, and with changes that it does not see
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT id, r <-> near() AS x FROM items ORDER BY r <-> near();
SELECT fetch_into('held', 7);
COMMIT;
UPDATE items SET r = d WHERE id % 100 = 1;
SELECT fetch_into('held', 13);
DELETE FROM items WHERE id % 100 = 1;
SELECT fetch_into('held', 20000);
SELECT n, ids, sorted, nearest > 90 AS nearest FROM fetched();
CLOSE held;
TRUNCATE fetched RESTART IDENTITY;
BEGIN;
DECLARE c CURSOR FOR SELECT id, d <=> near() AS x FROM items ORDER BY d <=> near();
SELECT fetch_into('c', 30000);
SELECT n, ids, sorted, nearest > 90 AS nearest FROM fetched();
COMMIT;
VACUUM items;

-- Row-level security: a policy is one more filter, which a function that tells what
-- it is called with does not get past; and a distance is no quicker than it.
CREATE TABLE secrets (id integer, owner name, vec real[]);
INSERT INTO secrets SELECT id, CASE id % 10 WHEN 3 THEN 'regress_ann_reader' ELSE 'another' END, r FROM items;
CREATE INDEX secrets_vec ON secrets USING annoy (vec);
ANALYZE secrets;
CREATE FUNCTION tell(id integer) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
	IF id % 10 <> 3 THEN RAISE NOTICE 'row %', id; END IF;
	RETURN true;
END
$$;
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secrets USING (owner = current_user);
CREATE ROLE regress_ann_reader;
GRANT SELECT ON secrets TO regress_ann_reader;
GRANT SELECT ON queries TO regress_ann_reader;
SET ROLE regress_ann_reader;
SELECT plan('SELECT id FROM secrets ORDER BY vec <-> near() LIMIT 10');
SELECT c.* FROM compare('SELECT vec <-> near() AS x FROM secrets ORDER BY vec <-> near() LIMIT 10') c;
SELECT count(*), bool_and(id % 10 = 3) AS own FROM (SELECT id FROM secrets WHERE tell(id) ORDER BY vec <-> near() LIMIT 10) s;
-- a range is asked after the policy, so that it is no condition of the index
SELECT count(*) FROM plan('SELECT id FROM secrets WHERE vec <-> near() < 1') line WHERE line LIKE '%Index Cond%';
SELECT c.n > 0 AS some, c.complete FROM compare('SELECT 0.0::float8 AS x FROM secrets WHERE vec <-> near() < 1') c;
SELECT count(*) FROM secrets WHERE vec <-> near() < 100 AND owner <> current_user;
-- its plan is not that of another user
PREPARE own AS SELECT count(*) FROM (SELECT id FROM secrets ORDER BY vec <-> near() LIMIT 5000) s;
EXECUTE own;
RESET ROLE;
EXECUTE own;
DEALLOCATE own;
DROP TABLE secrets;
DROP FUNCTION tell(integer);
REVOKE ALL ON queries FROM regress_ann_reader;
DROP ROLE regress_ann_reader;

-- Partitions by list and by hash: merged in the exact order, only as many rows read
-- of each as are needed, and none of those that cannot hold any
CREATE TABLE listed (id integer, tenth integer, r real[], d float8[]) PARTITION BY LIST (tenth);
CREATE TABLE listed_few PARTITION OF listed FOR VALUES IN (0, 1, 2);
CREATE TABLE listed_one PARTITION OF listed FOR VALUES IN (3);
CREATE TABLE listed_rest PARTITION OF listed DEFAULT;
CREATE TABLE hashed (id integer, tenth integer, r real[], d float8[]) PARTITION BY HASH (id);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (modulus 2, remainder 1);
INSERT INTO listed SELECT id, tenth, r, d FROM items;
INSERT INTO hashed SELECT id, tenth, r, d FROM items;
CREATE INDEX ON listed USING annoy (r);
CREATE INDEX ON hashed USING annoy (d double_cosine_ops);
VACUUM ANALYZE listed, hashed;
SELECT plan('SELECT id FROM listed ORDER BY r <-> near() LIMIT 10');
SELECT plan('SELECT id FROM listed WHERE tenth = 3 ORDER BY r <-> near() LIMIT 10');
SELECT plan('SELECT id FROM hashed WHERE tenth < 9 ORDER BY d <=> near() LIMIT 10 OFFSET 3');
SELECT query, c.* FROM (VALUES
	('SELECT r <-> near() AS x FROM listed ORDER BY x LIMIT 10'),
	('SELECT r <-> near() AS x FROM listed ORDER BY x LIMIT 300 OFFSET 100'),
	('SELECT r <-> near() AS x FROM listed WHERE tenth IN (0, 3) ORDER BY x LIMIT 10'),
	('SELECT r <-> near() AS x FROM listed WHERE tenth = 3 ORDER BY x LIMIT 10'),
	('SELECT d <=> near() AS x FROM hashed ORDER BY x LIMIT 10'),
	('SELECT d <=> near() AS x FROM hashed WHERE id = 17 ORDER BY x LIMIT 10'),
	('SELECT d <=> near() AS x FROM hashed WHERE tenth < 9 ORDER BY x LIMIT 100'),
	('SELECT n.x FROM queries, LATERAL (SELECT d <=> q AS x FROM hashed ORDER BY d <=> q LIMIT 10) n ORDER BY x')) v(query), compare(query) c;
-- which of them are read is decided when the query runs
SET plan_cache_mode = force_generic_plan;
PREPARE from_tenth(int, bigint) AS SELECT r <-> near() AS x FROM listed WHERE tenth >= $1 ORDER BY r <-> near() LIMIT $2;
SELECT c.* FROM compare('EXECUTE from_tenth(4, 10)', 'SELECT r <-> near() AS x FROM items WHERE tenth >= 4 ORDER BY x LIMIT 10') c;
RESET plan_cache_mode;
DEALLOCATE from_tenth;
DROP TABLE listed, hashed;

-- Indexes of an expression and of a part of the rows
CREATE FUNCTION half(a real[]) RETURNS real[] LANGUAGE sql IMMUTABLE STRICT AS 'SELECT a[1:4]';
CREATE INDEX items_half ON items USING annoy ((half(r)));
CREATE INDEX items_tenth_d ON items USING annoy (d) WHERE tenth = 3;
CREATE INDEX items_cast ON items USING annoy ((d::real[]) real_ip_ops);
ANALYZE items;
SELECT query, c.* FROM (VALUES
	('SELECT half(r) <-> (near())[1:4] AS x FROM items ORDER BY x LIMIT 10'),
	('SELECT half(r) <-> (near())[1:4] AS x FROM items WHERE id > 10000 ORDER BY x LIMIT 10'),
	('SELECT d <-> near() AS x FROM items WHERE tenth = 3 ORDER BY x LIMIT 10'),
	('SELECT d <-> near() AS x FROM items WHERE tenth = 3 AND id < 19000 ORDER BY x LIMIT 10'),
	('SELECT d <-> near() AS x FROM items WHERE tenth = 4 ORDER BY x LIMIT 10'),
	('SELECT d::real[] <#> near() AS x FROM items ORDER BY x LIMIT 10')) v(query), compare(query) c;

-- ann.max_scan_tuples: a filter that two rows pass gives up early, others do not
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
CREATE FUNCTION returned(query text, most integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	result bigint;
BEGIN
	PERFORM set_config('ann.max_scan_tuples', most::text, true);
	EXECUTE format('SELECT count(*) FROM (%s) s', query) INTO result;
	PERFORM set_config('ann.max_scan_tuples', '0', true);
	RETURN result;
END
$$;
SELECT query, returned(query, 0) AS read_on, CASE WHEN returned(query, 40) < returned(query, 0) THEN 'fewer' ELSE 'all' END AS forty
FROM unnest(ARRAY['SELECT id FROM items WHERE pair = 7777 ORDER BY d <=> near() LIMIT 2', 'SELECT id FROM items WHERE hundredth = 7 ORDER BY d <=> near() LIMIT 10',
	'SELECT id FROM items ORDER BY d <=> near() LIMIT 50', 'SELECT id FROM items WHERE id > 0 ORDER BY d <=> near() LIMIT 50']) query;
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET enable_sort;
DROP FUNCTION returned(text, integer);

-- EXPLAIN (ANALYZE) counts searches, from PostgreSQL 18 on
CREATE FUNCTION explained_searches(query text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	line text;
	result integer;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
		result := coalesce(result, substring(line FROM 'Index Searches: (\d+)')::integer);
	END LOOP;
	RETURN result;
END
$$;
SELECT query, explained_searches(query) IS NOT DISTINCT FROM CASE WHEN current_setting('server_version_num')::integer >= 180000 THEN searches END AS counted
FROM (VALUES (1, 'SELECT id FROM items ORDER BY r <-> near() LIMIT 10'),
	(5, 'SELECT i.id FROM queries q, LATERAL (SELECT id FROM items ORDER BY r <-> q LIMIT 3) i')) v(searches, query);

DROP VIEW nearest;
DROP TABLE items, queries, ids, fetched;
DROP FUNCTION plan(text), searches(), answer(text), compare(text, text), compare_executed(text), forms(), fetch_into(refcursor, integer),
	fetched(), asked_once(real[]), until(float8[], integer), through_cursor(float8[], integer), by_expression(real[], bigint),
	half(real[]), explained_searches(text), near();
