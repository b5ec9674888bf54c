-- Builds by several processes are as complete, as exact and as good as by one.
SELECT setseed(0.5);
SET enable_seqscan = off;
SET jit = off;
-- builds are compared, rather than what they find out about settings
SET ann.search_k = 5000;
SET ann.target_recall = 0.999;
SET max_parallel_maintenance_workers = 2;

-- 12,000 vectors of which 600 are equal, some zero vectors and NULLs; and rows that
-- were updated and deleted
CREATE TABLE points (id integer, kind integer, r real[], d double precision[]);
ALTER TABLE points SET (parallel_workers = 2);
INSERT INTO points
SELECT id, id % 3, v::real[], v FROM (
	SELECT id, array_agg(sin(id % 40 * 31 + i) + random() - 0.5) AS v
	FROM generate_series(1, 11400) id, generate_series(1, 24) i GROUP BY id) s;
INSERT INTO points SELECT 12000 + i, 1, r, d FROM points, generate_series(1, 600) i WHERE id = 77;
INSERT INTO points SELECT 13000 + i, 2, CASE WHEN i % 2 = 0 THEN array_fill(0, ARRAY[24]) END, CASE WHEN i % 2 = 0 THEN array_fill(0, ARRAY[24]) END FROM generate_series(1, 400) i;
UPDATE points SET kind = kind + 3 WHERE id % 10 = 4;
DELETE FROM points WHERE id % 10 = 5;
CREATE TABLE queries AS SELECT id, (SELECT array_agg(x + (random() - 0.5) / 2) FROM unnest(d) x) AS q FROM points WHERE id % 200 = 3 AND id < 11000;

-- Builds with so many workers, and asks all queries for the ten nearest.
CREATE FUNCTION build(workers integer, col text, metric text, operator text, options text,
	OUT rows bigint, OUT hits bigint, OUT seen bigint, OUT twice bigint, OUT unsorted bigint, OUT problems bigint) LANGUAGE plpgsql AS $$
DECLARE
	q float8[];
	n bigint;
	wrong bigint;
BEGIN
	EXECUTE format('SET LOCAL max_parallel_maintenance_workers = %s', workers);
	EXECUTE format('CREATE INDEX points_index ON points USING annoy (%s %s_%s_ops) WITH (%s)', col, CASE col WHEN 'r' THEN 'real' ELSE 'double' END, metric, options);
	SELECT i.rows INTO rows FROM ann_index_info('points_index') i;
	SELECT count(*) INTO problems FROM ann_check('points_index', heap => true);
	hits := 0;
	unsorted := 0;
	FOR q IN SELECT queries.q FROM queries LOOP
		EXECUTE format('SELECT count(*) FILTER (WHERE x <= worst), count(*) FILTER (WHERE x < before)
			FROM (SELECT x, lag(x) OVER () AS before FROM (SELECT %2$s %1$s $1 AS x FROM points ORDER BY %2$s %1$s $1 LIMIT 10) s) s,
				(SELECT max(x) AS worst FROM (SELECT (%2$s %1$s $1) + 0 AS x FROM points ORDER BY 1 LIMIT 10) s) w', operator, col) INTO n, wrong USING q;
		hits := hits + n;
		unsorted := unsorted + wrong;
	END LOOP;
	EXECUTE format('SELECT count(*), count(*) - count(DISTINCT id) FROM (SELECT id FROM points ORDER BY %s %s $1) s', col, operator) INTO seen, twice USING q;
	DROP INDEX points_index;
END
$$;
-- with each number of workers: recall within 1 % of that of a build without
SELECT metric, col, options, workers, b.hits - a.hits >= -6 AS same_recall, b.hits > 525 AS good, b.rows = a.rows AS same_rows, b.seen, b.twice, b.unsorted, b.problems
FROM (VALUES ('l2', 'r', '<->', 'scalar = f16'), ('l2', 'd', '<->', 'scalar = f64'), ('cosine', 'r', '<=>', 'scalar = i8'), ('ip', 'r', '<#>', 'scalar = f32'), ('l2', 'r', '<->', 'scalar = none')) m(metric, col, operator, options),
	LATERAL build(0, col, metric, operator, options) a,
	generate_series(1, 2) workers,
	LATERAL build(workers, col, metric, operator, options) b;

-- through temporary files
SET maintenance_work_mem = '2MB';
SET client_min_messages = warning;
SELECT metric, options, workers, b.hits - a.hits >= -12 AS same_recall, b.hits > 525 AS good, b.rows - a.rows < 100 AS same_rows, b.seen, b.twice, b.unsorted, b.problems
FROM (VALUES ('l2', 'r', '<->', 'scalar = f16'), ('cosine', 'r', '<=>', 'scalar = i8'), ('ip', 'r', '<#>', 'scalar = f32')) m(metric, col, operator, options),
	LATERAL build(0, col, metric, operator, options) a,
	generate_series(1, 2) workers,
	LATERAL build(workers, col, metric, operator, options) b;
RESET client_min_messages;
RESET maintenance_work_mem;

-- more trees than the file of elements is read for by chance; and a graph whose nodes
-- have no vectors, far from the origin, with so few links that some lead nowhere
CREATE TABLE far AS SELECT id, (SELECT array_agg(1000 + i * 0 + random() * (1 + id % 7))::real[] FROM generate_series(1, 16) i WHERE id > 0) AS vec FROM generate_series(1, 12000) id;
ALTER TABLE far SET (parallel_workers = 2);
SET maintenance_work_mem = '1MB';
SET client_min_messages = warning;
DO $$ BEGIN
	EXECUTE 'CREATE INDEX far_index ON far USING annoy (vec) WITH (scalar = none, ' || CASE WHEN 'annoy' LIKE '%hnsw' THEN 'm = 2' ELSE 'trees = 4' END || ')';
END $$;
SELECT * FROM ann_check('far_index', heap => true);
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM far ORDER BY vec <-> (SELECT vec FROM far WHERE id = 5)) s;
RESET client_min_messages;
RESET maintenance_work_mem;
DROP TABLE far;

-- what inserts and vacuum make of one
CREATE INDEX points_index ON points USING annoy (r);
DELETE FROM points WHERE id % 3 = 0;
INSERT INTO points SELECT 20000 + id, 0, (SELECT array_agg(x + 1) FROM unnest(r) x) FROM points WHERE id % 5 = 1 AND id < 11000;
VACUUM (INDEX_CLEANUP ON) points;
SELECT * FROM ann_check('points_index', heap => true);
REINDEX INDEX CONCURRENTLY points_index;
SELECT * FROM ann_check('points_index', heap => true);
DROP INDEX points_index;
CREATE INDEX CONCURRENTLY points_index ON points USING annoy (r) WHERE kind = 1;
SELECT * FROM ann_check('points_index', heap => true);
DROP INDEX points_index;
-- a table whose vectors are in its TOAST table, and one of equal rows
CREATE TABLE long (id integer, vec real[]);
ALTER TABLE long ALTER vec SET STORAGE EXTERNAL;
ALTER TABLE long SET (parallel_workers = 2);
INSERT INTO long SELECT i, (SELECT array_agg(sin(i * 0.7 + j * i / 100.0)) FROM generate_series(1, 3000) j) FROM generate_series(1, 500) i;
CREATE INDEX long_index ON long USING annoy (vec);
SELECT * FROM ann_check('long_index', heap => true);
SELECT id FROM long ORDER BY vec <-> (SELECT vec FROM long WHERE id = 5) LIMIT 1;
DROP TABLE long;
CREATE TABLE equal AS SELECT i AS id, '{1,2,3}'::real[] AS vec FROM generate_series(1, 5000) i;
ALTER TABLE equal SET (parallel_workers = 2);
CREATE INDEX equal_index ON equal USING annoy (vec);
SELECT * FROM ann_check('equal_index', heap => true);
SELECT count(DISTINCT id) FROM (SELECT id FROM equal ORDER BY vec <-> '{1,2,3}') s;
DROP TABLE equal;

-- An expression index of which the leader cannot do a row without waiting: a row that a
-- worker has read is refused as one that the leader has.
CREATE FUNCTION spoil(vec real[]) RETURNS real[] IMMUTABLE PARALLEL SAFE LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()) = 'parallel worker' THEN
		RETURN '{NaN}';
	END IF;
	PERFORM pg_sleep(0.02);
	RETURN vec;
END $$;
CREATE TABLE two AS SELECT i AS id, '{1}'::real[] AS vec, repeat('x', 2000) AS filler FROM generate_series(1, 2000) i;
ALTER TABLE two SET (parallel_workers = 2);
CREATE FUNCTION refused(OUT state text, OUT message text, OUT context text) LANGUAGE plpgsql AS $$
BEGIN
	CREATE INDEX two_index ON two USING annoy (spoil(vec));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
	context := regexp_replace(split_part(context, E'\n', 1), '[0-9]+', 'N', 'g');
END $$;
SELECT * FROM refused();
-- no workers where the expression is not safe for them
ALTER FUNCTION spoil PARALLEL UNSAFE;
DELETE FROM two WHERE id > 20;
CREATE INDEX two_index ON two USING annoy (spoil(vec));
SELECT * FROM ann_check('two_index', heap => true);
DROP TABLE two;
DROP TABLE points, queries;
DROP FUNCTION build(integer, text, text, text, text);
DROP FUNCTION refused();
DROP FUNCTION spoil(real[]);
