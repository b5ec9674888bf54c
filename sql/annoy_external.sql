-- A build that maintenance_work_mem has no room for goes through temporary
-- files, says so, and gives as good an index.
SELECT setseed(0.9);
SET enable_seqscan = off;
SET jit = off;
SET client_min_messages = warning;
SET ann.search_k = 2000;

-- 12,000 rows in 40 clusters, with 800 rows equal and some without vector or direction
CREATE TABLE points (id integer, vec real[]);
INSERT INTO points SELECT id, (SELECT array_agg(sin(id % 40 * 31 + i) + random() - 0.5) FROM generate_series(1, 32) i WHERE id > 0) FROM generate_series(1, 11000) id;
INSERT INTO points SELECT 11000 + i, vec FROM points, generate_series(1, 800) i WHERE id = 77;
INSERT INTO points SELECT 11800 + i, CASE WHEN i % 2 = 0 THEN array_fill(0, ARRAY[32]) END FROM generate_series(1, 200) i;
CREATE TABLE queries AS SELECT id, (SELECT array_agg(x + (random() - 0.5) / 2) FROM unnest(vec) x) AS q FROM points WHERE id % 200 = 3 AND id < 11000;

-- Builds with so much memory, and asks all queries for the ten nearest.
CREATE FUNCTION build(memory text, metric text, operator text, options text DEFAULT 'trees = 2',
	OUT rows bigint, OUT hits bigint, OUT seen bigint, OUT twice bigint) LANGUAGE plpgsql AS $$
DECLARE
	q real[];
	n bigint;
BEGIN
	EXECUTE format('SET LOCAL maintenance_work_mem = %L', memory);
	EXECUTE format('CREATE INDEX points_index ON points USING annoy (vec real_%s_ops) WITH (%s)', metric, options);
	SELECT i.rows INTO rows FROM ann_index_info('points_index') i;
	hits := 0;
	FOR q IN SELECT queries.q FROM queries LOOP
		EXECUTE format('SELECT count(*) FROM (SELECT vec %1$s $1 AS x FROM points ORDER BY vec %1$s $1 LIMIT 10) s
			WHERE x <= (SELECT max(x) FROM (SELECT (vec %1$s $1) + 0 AS x FROM points ORDER BY 1 LIMIT 10) s)', operator) INTO n USING q;
		hits := hits + n;
	END LOOP;
	EXECUTE format('SELECT count(*), count(*) - count(DISTINCT id) FROM (SELECT id FROM points ORDER BY vec %s $1) s', operator) INTO seen, twice USING q;
	DROP INDEX points_index;
END
$$;
-- recall within 2 % of that of a build in memory
SELECT metric, options, memory, abs(e.hits - i.hits) <= 11 AS same_recall, i.hits > 520 AS good, i.rows = e.rows AS same_rows, e.seen, e.twice
FROM (VALUES ('l2', '<->'), ('cosine', '<=>'), ('ip', '<#>')) m(metric, operator),
	unnest(ARRAY['trees = 1', 'trees = 3, scalar = i8', 'scalar = none, trees = 2']) options, unnest(ARRAY['1MB', '2MB']) memory,
	build('64MB', metric, operator, options) i, build(memory, metric, operator, options) e;
-- it says so
\set VERBOSITY terse
RESET client_min_messages;
SET maintenance_work_mem = '1MB';
CREATE INDEX points_index ON points USING annoy (vec);
SET maintenance_work_mem = '64MB';
REINDEX INDEX points_index;
DROP INDEX points_index;

-- hardly anything but equal rows: no split separates them
CREATE TABLE equal (id integer, vec real[]);
INSERT INTO equal SELECT i, CASE WHEN i % 1000 = 0 THEN array_fill(i::real, ARRAY[32]) ELSE array_fill(1::real, ARRAY[32]) END FROM generate_series(1, 30000) i;
SET maintenance_work_mem = '1MB';
CREATE INDEX equal_index ON equal USING annoy (vec) WITH (trees = 3);
SELECT count(*), count(DISTINCT id), min(x), max(x)::integer FROM (SELECT id, vec <-> array_fill(1::real, ARRAY[32]) AS x FROM equal ORDER BY vec <-> array_fill(1::real, ARRAY[32])) s;
SELECT id FROM equal ORDER BY vec <-> array_fill(7001::real, ARRAY[32]) LIMIT 3;
SELECT count(*) FROM ann_check('equal_index', true);
DROP TABLE equal;

-- long vectors: there is room for some of them whatever the setting
CREATE TABLE long (id integer, vec real[]);
INSERT INTO long SELECT i, (SELECT array_agg(sin(i * 0.7 + j * i / 100.0)) FROM generate_series(1, 2000) j) FROM generate_series(1, 600) i;
CREATE INDEX long_index ON long USING annoy (vec real_cosine_ops);
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM long ORDER BY vec <=> (SELECT vec FROM long WHERE id = 5)) s;
SELECT id FROM long ORDER BY vec <=> (SELECT vec FROM long WHERE id = 345) LIMIT 1;
DROP TABLE long;

-- no room for temporary files either: a clean error
SET temp_file_limit = '100kB';
\set VERBOSITY sqlstate
CREATE INDEX points_index ON points USING annoy (vec);
\set VERBOSITY terse
RESET temp_file_limit;
CREATE INDEX points_index ON points USING annoy (vec);
SELECT count(*) FROM (SELECT id FROM points ORDER BY vec <-> array_fill(1::real, ARRAY[32])) s;
-- a bad row behind the point where it spills
INSERT INTO points VALUES (0, '{1,2}');
UPDATE points SET vec = '{1,2}' WHERE id = 11500;
DELETE FROM points WHERE id = 0;
DROP INDEX points_index;
INSERT INTO points VALUES (0, '{1,2}');
-- it may be read before or after the arena is full
SET client_min_messages = warning;
CREATE INDEX points_index ON points USING annoy (vec);
SELECT count(*) FROM pg_class WHERE relname = 'points_index';
SELECT count(*) AS temporary_files FROM pg_ls_tmpdir();
RESET maintenance_work_mem;
DROP TABLE points, queries;
DROP FUNCTION build(text, text, text, text);
