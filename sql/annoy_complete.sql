-- Complete scans: read to its end, a scan returns every row that the snapshot
-- sees, once: those with a distance in order, but for a short tail of rows that
-- were found late, then NaN (zero vectors under cosine), then NULL.
SELECT setseed(0.7);
SET enable_seqscan = off;
SET jit = off;

-- 6,000 vectors, 10,000 equal ones, 40 zero vectors, 1,000 NULLs
SET synchronize_seqscans = off;	-- rows are taken in the order of the table
CREATE TABLE points (id serial, r real[], d double precision[]);
INSERT INTO points (r, d)
SELECT v::real[], v FROM (
	SELECT array_agg(sin(id % 40 * 31 + i) + random() - 0.5) AS v
	FROM generate_series(1, 6000) id, generate_series(1, 20) i GROUP BY id) s;
INSERT INTO points (r, d) SELECT p.r, p.d FROM points p, generate_series(1, 10000) WHERE p.id = 77;
INSERT INTO points (r, d) SELECT array_fill(0, ARRAY[20]), array_fill(0, ARRAY[20]) FROM generate_series(1, 40);
INSERT INTO points (r, d) SELECT NULL, NULL FROM generate_series(1, 1000);

-- What a full scan of the index returns, compared with the table.  'late' is
-- empty where the distances are sorted but for at most 2 % (of a graph: a half) at
-- the end, which are sorted again.
CREATE FUNCTION check_scan(col text, operator text, query float8[],
	OUT n bigint, OUT missing bigint, OUT twice bigint, OUT differing bigint, OUT nan bigint, OUT nulls bigint,
	OUT ends boolean, OUT late text, share float8 DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
	descents bigint;
	behind bigint;
BEGIN
	EXECUTE format('CREATE TEMP TABLE scanned AS
		SELECT *, row_number() OVER () AS place FROM (SELECT id, ctid AS tid, %1$I %2$s $1 AS x FROM points ORDER BY %1$I %2$s $1) s',
		col, operator) USING query;
	SELECT count(*), count(*) - count(DISTINCT id), count(*) FILTER (WHERE x = 'NaN'), count(*) FILTER (WHERE x IS NULL)
	INTO n, twice, nan, nulls FROM scanned;
	EXECUTE format('SELECT count(*) FILTER (WHERE s.id IS NULL),
			count(*) FILTER (WHERE s.id IS NOT NULL AND (s.x IS DISTINCT FROM p.%I %s $1 OR s.tid <> p.ctid))
		FROM points p LEFT JOIN scanned s USING (id)', col, operator) INTO missing, differing USING query;
	-- numbers, then NaN, then NULL
	SELECT coalesce(bool_and(class >= before), true) INTO ends
	FROM (SELECT class, lag(class, 1, 0) OVER (ORDER BY place) AS before
		FROM (SELECT place, CASE WHEN x IS NULL THEN 2 WHEN x = 'NaN' THEN 1 ELSE 0 END AS class FROM scanned) s) s;
	SELECT count(*) FILTER (WHERE x < before), count(*) FILTER (WHERE x < top) INTO descents, behind
	FROM (SELECT x, lag(x) OVER w AS before, max(x) OVER w AS top FROM scanned WHERE x <> 'NaN' WINDOW w AS (ORDER BY place)) s;
	IF descents > 1 OR behind > n * coalesce(share, CASE WHEN 'annoy' LIKE '%hnsw' THEN 0.5 ELSE 0.02 END) THEN
		late := format('%s, in %s runs', behind, descents);
	END IF;
	DROP TABLE scanned;
END
$$;
\set q '(SELECT d FROM points WHERE id = 4711)'
\set near '''{0.5,1.3,-0.2,0.3,0.1,-0.6,0.4,0.9,0.2,-0.1,0.5,0.4,-0.3,0.8,0.7,0.2,-0.5,0.1,0.6,0.3}'''

CREATE INDEX points_r ON points USING annoy (r);
CREATE INDEX points_d ON points USING annoy (d double_cosine_ops) WITH (scalar = i8);
EXPLAIN (COSTS OFF) SELECT id FROM points ORDER BY r <-> :near;
SELECT * FROM check_scan('r', '<->', :q);
SELECT * FROM check_scan('r', '<->', :near);
SELECT * FROM check_scan('d', '<=>', :q);
SELECT * FROM check_scan('d', '<=>', :near);
-- nothing has a distance from NULL, and nothing a direction from zero
SELECT * FROM check_scan('r', '<->', NULL);
SELECT * FROM check_scan('d', '<=>', NULL);
SELECT * FROM check_scan('d', '<=>', array_fill(0, ARRAY[20]));
SELECT * FROM check_scan('r', '<->', array_fill(0, ARRAY[20]));

-- the other ways of storing, and the third distance
CREATE FUNCTION check_scalars(col text, class text, operator text, query float8[])
RETURNS TABLE (scalar text, n bigint, missing bigint, twice bigint, differing bigint, nan bigint, nulls bigint,
	ends boolean, late text) LANGUAGE plpgsql AS $$
BEGIN
	DROP INDEX points_r, points_d;
	FOREACH scalar IN ARRAY ARRAY['f64', 'f32', 'f16', 'i8', 'none'] LOOP
		EXECUTE format('CREATE INDEX points_scalar ON points USING annoy (%I %I) WITH (scalar = %s)', col, class, scalar);
		RETURN QUERY SELECT check_scalars.scalar, c.* FROM check_scan(col, operator, query) c;
		DROP INDEX points_scalar;
	END LOOP;
	CREATE INDEX points_r ON points USING annoy (r);
	CREATE INDEX points_d ON points USING annoy (d double_cosine_ops) WITH (scalar = i8);
END
$$;
SELECT * FROM check_scalars('r', 'real_ip_ops', '<#>', :near);
SELECT * FROM check_scalars('d', 'double_l2_ops', '<->', :near);
SELECT * FROM check_scalars('r', 'real_cosine_ops', '<=>', :near);

-- changed rows, in all their states: before and after vacuum, and once more when
-- the places of dead rows have been taken by others
DELETE FROM points WHERE id % 3 = 0;
UPDATE points SET r = (SELECT array_agg(x + 0.01) FROM unnest(r) x), d = (SELECT array_agg(x - 0.01) FROM unnest(d) x)
WHERE id % 3 = 1 AND id < 9000;
UPDATE points SET r = NULL WHERE id % 100 = 50;
UPDATE points SET d = array_fill(0, ARRAY[20]) WHERE id % 100 = 20;
INSERT INTO points (r, d) SELECT r, d FROM points WHERE id % 10 = 2 ORDER BY id;
SELECT * FROM check_scan('r', '<->', :near);
SELECT * FROM check_scan('d', '<=>', :near);
VACUUM points;
SELECT * FROM check_scan('r', '<->', :near);
SELECT * FROM check_scan('d', '<=>', :near);
INSERT INTO points (r, d) SELECT r, d FROM points WHERE id % 2 = 0 ORDER BY id;
INSERT INTO points (r, d) SELECT r, d FROM points WHERE id = 77 + 6000;
SELECT * FROM check_scan('r', '<->', :near);
SELECT * FROM check_scan('d', '<=>', :near);
SELECT * FROM check_scan('r', '<->', NULL);
-- a transaction that is rolled back leaves nothing that can be seen
BEGIN;
INSERT INTO points (r, d) SELECT r, d FROM points ORDER BY id LIMIT 1000;
DELETE FROM points WHERE id % 2 = 0;
SELECT * FROM check_scan('r', '<->', :near);
ROLLBACK;
SELECT * FROM check_scan('r', '<->', :near);
-- all rows dead: before and after vacuum
DELETE FROM points;
SELECT * FROM check_scan('r', '<->', :near);
VACUUM points;
SELECT * FROM check_scan('r', '<->', :near);
SELECT * FROM check_scan('d', '<=>', array_fill(0, ARRAY[20]));
-- a new life, from no row on
INSERT INTO points (r, d) SELECT ARRAY[i]::real[] || array_fill(0::real, ARRAY[19]), ARRAY[i] || array_fill(1, ARRAY[19]) FROM generate_series(1, 500) i;
SELECT * FROM check_scan('r', '<->', :near);
-- along a line, whose directions bytes hardly tell apart
SELECT * FROM check_scan('d', '<=>', :near, CASE WHEN 'annoy' LIKE '%hnsw' THEN 1 END);

-- 100,000 NULLs and few vectors: fast, and the vectors come first
TRUNCATE points;
INSERT INTO points (r) SELECT CASE WHEN i % 10000 = 0 THEN array_fill(i::real, ARRAY[20]) END FROM generate_series(1, 100000) i;
SET statement_timeout = '10s';
SELECT count(*), count(x), max(x) FROM (SELECT r <-> array_fill(0::real, ARRAY[20]) AS x FROM points
	ORDER BY r <-> array_fill(0::real, ARRAY[20]) LIMIT 100000) s;
REINDEX TABLE points;
SELECT count(*), count(x), max(x) FROM (SELECT r <-> array_fill(0::real, ARRAY[20]) AS x FROM points
	ORDER BY r <-> array_fill(0::real, ARRAY[20]) LIMIT 100000) s;
DELETE FROM points WHERE r IS NULL AND id % 2 = 0;
VACUUM points;
SELECT count(*), count(x), max(x) FROM (SELECT r <-> array_fill(0::real, ARRAY[20]) AS x FROM points
	ORDER BY r <-> array_fill(0::real, ARRAY[20]) LIMIT 100000) s;
RESET statement_timeout;

-- doubles out of the range of single precision: rows so small that they have a
-- direction in double only, and so large that no distance comes out (NaN)
TRUNCATE points;
INSERT INTO points (d) SELECT ARRAY[random(), random(), random()] FROM generate_series(1, 1500);
INSERT INTO points (d) VALUES ('{1e200,1e200,1e200}'), ('{1e-50,1e-50,1e-50}'), ('{1e-170,1e-170,1e-170}'), ('{1e300,-1e300,1}'),
	('{1e308,1e308,1e308}'), ('{1e40,1,1}'), ('{3e-46,3e-46,0}'), ('{0,0,0}'), (NULL);
SELECT * FROM check_scalars('d', 'double_cosine_ops', '<=>', '{0.5,0.2,0.3}');
SELECT * FROM check_scalars('d', 'double_l2_ops', '<->', '{0.5,0.2,0.3}');
-- and queries of that kind: sorted, whatever is found
SELECT q, count(*), bool_and(x >= before) AS sorted FROM unnest(ARRAY['{1e-50,1e-50,1e-60}', '{1e39,1,2}', '{1e300,1,1}', '{1e-170,0,0}']) q,
	LATERAL (SELECT x, lag(x, 1, x) OVER () AS before FROM (SELECT d <=> q::float8[] AS x FROM points ORDER BY d <=> q::float8[] LIMIT 12) s) s
GROUP BY q ORDER BY q;

-- Few rows among many dead ones, which no vacuum has seen yet: what is late does not
-- make up a LIMIT.
CREATE TABLE few (id int, r real[]) WITH (autovacuum_enabled = off);
INSERT INTO few SELECT i, array_agg(random()) FROM generate_series(1, 600) i, generate_series(1, 32) GROUP BY i;
CREATE INDEX few_r ON few USING annoy (r);
DELETE FROM few WHERE id % 67 <> 1;
SET ann.search_k = 20;
SET ann.ef_search = 10;
SET enable_sort = off;
SELECT count(*) AS answers, sum(rows) AS rows, count(*) FILTER (WHERE NOT sorted) AS unsorted
FROM (SELECT q, count(*) AS rows, bool_and(x >= before) AS sorted
	FROM (SELECT i AS q, array_agg(random()) AS v FROM generate_series(1, 50) i, generate_series(1, 32) GROUP BY i) q,
		LATERAL (SELECT x, lag(x, 1, x) OVER () AS before FROM (SELECT r <-> v AS x FROM few ORDER BY r <-> v LIMIT 10) s) s
	GROUP BY q) s;
RESET ann.search_k;
RESET ann.ef_search;
RESET enable_sort;

-- Most candidates without a row that the snapshot sees: they keep no near ones from
-- being found.
CREATE TABLE holes (id int, r real[]) WITH (autovacuum_enabled = off);
INSERT INTO holes SELECT i, array_agg(random()) FROM generate_series(1, 8000) i, generate_series(1, 16) GROUP BY i;
CREATE INDEX holes_r ON holes USING annoy (r) WITH (scalar = none);
DELETE FROM holes WHERE id % 4 <> 0;
SELECT CASE WHEN avg(found) >= 9.5 THEN 'good' ELSE avg(found)::text END AS found FROM
	(SELECT (SELECT count(*) FROM (SELECT r <-> v AS x FROM holes ORDER BY r <-> v LIMIT 10) s
		WHERE x <= (SELECT max(x) FROM (SELECT (r <-> v) + 0 AS x FROM holes ORDER BY (r <-> v) + 0 LIMIT 10) s)) AS found
	FROM (SELECT i, array_agg(random()) AS v FROM generate_series(1, 50) i, generate_series(1, 16) GROUP BY i) q) f;
DROP TABLE few, holes;

DROP TABLE points;
DROP FUNCTION check_scalars(text, text, text, float8[]);
DROP FUNCTION check_scan(text, text, float8[], float8);
