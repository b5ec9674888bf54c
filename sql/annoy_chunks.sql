-- An index of several chunks is as complete and as exact as one of one chunk.
SELECT setseed(0.25);
SET enable_seqscan = off;
SET jit = off;
-- builds are compared, rather than what they find out about settings
SET ann.search_k = 7000;
SET ann.target_recall = 0.999;
SET max_parallel_maintenance_workers = 0;

-- 12,000 vectors, five rows a block: three chunks of 1,024 blocks; equal rows, zero
-- vectors and NULLs in each of them
CREATE TABLE points (id integer, kind integer, r real[], d double precision[]) WITH (fillfactor = 10, autovacuum_enabled = off);
CREATE FUNCTION add_points(first integer, last integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO points
	SELECT id, id % 3, v::real[], v FROM (
		SELECT id, CASE WHEN id % 100 = 99 THEN NULL WHEN id % 100 = 98 THEN array_fill(0::float8, ARRAY[12])
			WHEN id % 100 = 97 THEN array_fill(id % 5 + 1::float8, ARRAY[12])
			ELSE array_agg(sin(id % 40 * 31 + i) + random() - 0.5) END AS v
		FROM generate_series(first, last) id, generate_series(1, 12) i GROUP BY id) s ORDER BY id
$$;
SELECT add_points(1, 12000);
DELETE FROM points WHERE id % 10 = 5;
CREATE TABLE queries AS SELECT id, (SELECT array_agg(x + (random() - 0.5) / 2) FROM unnest(d) x) AS q FROM points WHERE id % 250 = 3;

-- What the chunks should be, by the blocks that the rows are in
CREATE VIEW expected AS
SELECT (ctid::text::point)[0]::integer / 1024 AS chunk, count(DISTINCT r) AS vectors, count(DISTINCT r) FILTER (WHERE r <> array_fill(0::real, ARRAY[12])) AS directions
FROM points GROUP BY 1;

-- What an index gives: its ten nearest of each query, and all rows of one
CREATE FUNCTION examine(col text, operator text, OUT hits bigint, OUT seen bigint, OUT twice bigint, OUT unsorted bigint, OUT problems bigint) LANGUAGE plpgsql AS $$
DECLARE
	q float8[];
	n bigint;
	wrong bigint;
BEGIN
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
END
$$;

-- Builds an index of chunks of so many blocks, by so many workers.
CREATE FUNCTION build(blocks integer, workers integer, col text, metric text, operator text, options text,
	OUT chunks integer, OUT rows bigint, OUT hits bigint, OUT seen bigint, OUT twice bigint, OUT unsorted bigint, OUT problems bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL max_parallel_maintenance_workers = %s', workers);
	EXECUTE format('CREATE INDEX points_index ON points USING annoy (%s %s_%s_ops) WITH (chunk_blocks = %s, %s)', col, CASE col WHEN 'r' THEN 'real' ELSE 'double' END, metric, blocks, options);
	SELECT i.chunks, i.rows INTO chunks, rows FROM ann_index_info('points_index') i;
	SELECT * INTO hits, seen, twice, unsorted, problems FROM examine(col, operator);
	DROP INDEX points_index;
END
$$;
ALTER TABLE points SET (parallel_workers = 2);
CREATE TABLE tried AS
SELECT metric, options, workers, b.*, b.hits - a.hits AS more
FROM (VALUES ('l2', 'r', '<->', 'scalar = f16'), ('l2', 'd', '<->', 'scalar = f64'), ('cosine', 'r', '<=>', 'scalar = i8'), ('ip', 'r', '<#>', 'scalar = f32'), ('l2', 'r', '<->', 'scalar = none')) m(metric, col, operator, options),
	LATERAL build(0, 0, col, metric, operator, options) a,
	(VALUES (0), (2)) w(workers),
	LATERAL build(1024, workers, col, metric, operator, options) b;
SELECT metric, options, workers, chunks, more >= -6 AS same_recall, hits > 450 AS good, seen, twice, unsorted, problems FROM tried;
-- equal rows of two chunks are two elements
SELECT metric, options, rows = (SELECT sum(CASE metric WHEN 'cosine' THEN directions ELSE vectors END) FROM expected) AS right_rows
FROM tried WHERE options NOT LIKE '%none' AND metric <> 'cosine' GROUP BY 1, 2, 3;

-- through temporary files, which is said once
SET maintenance_work_mem = '1MB';
\set VERBOSITY terse
SELECT b.chunks, b.hits > 450 AS good, b.seen, b.twice, b.unsorted, b.problems FROM build(1024, 2, 'd', 'l2', '<->', 'scalar = f64') b;
\set VERBOSITY default
RESET maintenance_work_mem;

-- what is in which
CREATE INDEX points_index ON points USING annoy (r) WITH (chunk_blocks = 1024);
SELECT c.chunk, first_heap_block, last_heap_block, rows = vectors AS right_rows, dead, bytes = pages * current_setting('block_size')::integer AS right_bytes
FROM ann_chunks('points_index') c JOIN expected e USING (chunk);
SELECT sum(pages) + 2 <= (SELECT pages FROM ann_index_info('points_index')) AS right_pages, min(pages) > 10 AS each_has_some FROM ann_chunks('points_index');
EXPLAIN (COSTS OFF) SELECT id FROM points ORDER BY r <-> '{1,2,3,4,5,6,7,8,9,10,11,12}' LIMIT 10;

-- the table grows into new chunks
SELECT add_points(12001, 24000);
SELECT chunk, first_heap_block, last_heap_block, rows > 1000 AS many FROM ann_chunks('points_index');
SELECT hits > 450 AS good, seen = (SELECT count(*) FROM points) AS all_rows, twice, unsorted, problems FROM examine('r', '<->');

-- rows of one chunk go: the others stay as they are
CREATE TABLE before AS SELECT * FROM ann_chunks('points_index');
DELETE FROM points WHERE (ctid::text::point)[0] BETWEEN 1024 AND 2047 AND id % 4 > 0;
VACUUM (INDEX_CLEANUP ON) points;
SELECT c.chunk, c.rows < b.rows / 2 AS fewer, c.dead, c.rows - vectors BETWEEN 0 AND 1 AS right_rows
FROM ann_chunks('points_index') c JOIN before b USING (chunk) JOIN expected e USING (chunk);
SELECT hits > 450 AS good, seen = (SELECT count(*) FROM points) AS all_rows, twice, unsorted, problems FROM examine('r', '<->');
-- what is inserted where they were is in their chunk
DROP TABLE before;
CREATE TABLE before AS SELECT * FROM ann_chunks('points_index');
SELECT add_points(30001, 32000);
SELECT c.chunk, c.rows - b.rows > 500 AS more FROM ann_chunks('points_index') c JOIN before b USING (chunk) WHERE c.rows - b.rows > 100;
SELECT hits > 450 AS good, seen = (SELECT count(*) FROM points) AS all_rows, twice, unsorted, problems FROM examine('r', '<->');

-- it stays as it was built until it is built anew
ALTER INDEX points_index SET (chunk_blocks = 2048);
SELECT count(*) FROM ann_chunks('points_index');
REINDEX INDEX CONCURRENTLY points_index;
SELECT chunk, first_heap_block, last_heap_block FROM ann_chunks('points_index');
SELECT hits > 450 AS good, seen = (SELECT count(*) FROM points) AS all_rows, twice, unsorted, problems FROM examine('r', '<->');
ALTER INDEX points_index RESET (chunk_blocks);
REINDEX INDEX points_index;
SELECT chunk, first_heap_block, last_heap_block FROM ann_chunks('points_index');
ALTER INDEX points_index SET (chunk_blocks = 1023);
ALTER INDEX points_index SET (chunk_blocks = -1);
CREATE INDEX ON points USING annoy (r) WITH (chunk_blocks = 1);
CREATE INDEX ON points USING annoy (r) WITH (chunk_blocks = 3000000000);
DROP INDEX points_index;

-- a partial index has chunks without a row, before and behind those that have some
CREATE INDEX points_index ON points USING annoy (r) WITH (chunk_blocks = 1024) WHERE id BETWEEN 5200 AND 9000;
SELECT chunk, rows > 0 AS some FROM ann_chunks('points_index');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points WHERE id BETWEEN 5200 AND 9000 ORDER BY r <-> '{1,2,3,4,5,6,7,8,9,10,11,12}') s;
SELECT count(*) FROM points WHERE id BETWEEN 5200 AND 9000;
SELECT * FROM ann_check('points_index', heap => true);
UPDATE points SET id = 6000 WHERE id = 31999;
SELECT chunk, rows > 0 AS some FROM ann_chunks('points_index');
SELECT * FROM ann_check('points_index', heap => true);
DROP INDEX points_index;
DROP VIEW expected;

-- Created empty: rows come in any order, those without a vector first.
TRUNCATE points;
CREATE INDEX points_index ON points USING annoy (r real_cosine_ops) WITH (chunk_blocks = 1024);
INSERT INTO points SELECT i, 0, NULL, NULL FROM generate_series(1, 8000) i;
INSERT INTO points SELECT i, 0, array_fill(0, ARRAY[12]), NULL FROM generate_series(8001, 12000) i;
SELECT chunk, rows FROM ann_chunks('points_index');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY r <=> '{1,2,3,4,5,6,7,8,9,10,11,12}') s;
-- vectors where there were none, in the first chunk and behind the last one
UPDATE points SET r = ARRAY[id,1,2,3,4,5,6,7,8,9,10,11] WHERE id % 50 = 0;
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE x > 0) FROM (SELECT id, r <=> '{1,2,3,4,5,6,7,8,9,10,11,12}' AS x FROM points ORDER BY r <=> '{1,2,3,4,5,6,7,8,9,10,11,12}') s;
SELECT * FROM ann_check('points_index', heap => true);
DROP INDEX points_index;

-- Other dimensions, once no row needs the present ones: no chunk has trees then.
TRUNCATE points;
CREATE INDEX points_index ON points USING annoy (r) WITH (chunk_blocks = 1024);
SELECT add_points(1, 12000);
INSERT INTO points VALUES (0, 0, '{1,2,3}');
DELETE FROM points;
CREATE PROCEDURE wait_for_others() LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL) LOOP
		COMMIT;
		PERFORM pg_sleep(0.01);
		PERFORM pg_stat_clear_snapshot();
	END LOOP;
END
$$;
CALL wait_for_others();
INSERT INTO points VALUES (0, 0, '{1,2,3}');
SELECT chunk, leaf_capacity > 0 AS trees FROM ann_chunks('points_index');
SELECT id FROM points ORDER BY r <-> '{0,0,0}';
SELECT * FROM ann_check('points_index', heap => true);
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) points;
SELECT * FROM ann_check('points_index', heap => true);
INSERT INTO points SELECT i, 0, ARRAY[i, random(), random()] FROM generate_series(1, 12000) i;
SELECT chunk, rows > 0 AS some, dead FROM ann_chunks('points_index');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY r <-> '{0,0,0}') s;
SELECT id FROM points ORDER BY r <-> '{5000,0,0}' LIMIT 1;
SELECT * FROM ann_check('points_index', heap => true);
DROP INDEX points_index;

-- Rows that are dead do not say what the dimensions are, in whatever chunk.
TRUNCATE points;
SELECT add_points(1, 6000);
DELETE FROM points;
INSERT INTO points SELECT i, 0, ARRAY[i, random(), random()] FROM generate_series(1, 6000) i;
CREATE INDEX points_index ON points USING annoy (r) WITH (chunk_blocks = 1024);
SELECT dimensions, chunks FROM ann_index_info('points_index');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY r <-> '{0,0,0}') s;
SELECT * FROM ann_check('points_index', heap => true);
DROP INDEX points_index;
-- a bad row is refused, whoever reads it
UPDATE points SET r = '{NaN,1,2}' WHERE id = 5000;
CREATE FUNCTION refused(workers integer, OUT state text, OUT message text, OUT context text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('max_parallel_maintenance_workers', workers::text, true);
	CREATE INDEX points_index ON points USING annoy (r) WITH (chunk_blocks = 1024);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
	context := regexp_replace(split_part(context, E'\n', 1), '[0-9]+', 'N', 'g');
END $$;
SELECT * FROM refused(0);
SELECT * FROM refused(2);
DELETE FROM points WHERE id = 5000;
SET max_parallel_maintenance_workers = 2;
CREATE INDEX CONCURRENTLY points_index ON points USING annoy (r) WITH (chunk_blocks = 1024);
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY r <-> '{0,0,0}') s;
SELECT * FROM ann_check('points_index', heap => true);
DROP TABLE points, queries, tried, before;
DROP FUNCTION add_points(integer, integer);
DROP FUNCTION examine(text, text);
DROP FUNCTION build(integer, integer, text, text, text, text);
DROP FUNCTION refused(integer);
DROP PROCEDURE wait_for_others();
