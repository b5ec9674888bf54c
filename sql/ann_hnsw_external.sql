-- A graph of more rows than maintenance_work_mem has room for is built through
-- temporary files, part by part, and is as good as one built in memory.
SELECT setseed(0.9);
SET enable_seqscan = off;
SET jit = off;
SET client_min_messages = warning;
SET ann.ef_search = 100;

-- 12,000 rows in 40 clusters, with 800 rows equal and some without vector or direction
CREATE TABLE points (id integer, vec real[]);
INSERT INTO points SELECT id, (SELECT array_agg(sin(id % 40 * 31 + i) + random() - 0.5) FROM generate_series(1, 32) i WHERE id > 0) FROM generate_series(1, 11000) id;
INSERT INTO points SELECT 11000 + i, vec FROM points, generate_series(1, 800) i WHERE id = 77;
INSERT INTO points SELECT 11800 + i, CASE WHEN i % 2 = 0 THEN array_fill(0, ARRAY[32]) END FROM generate_series(1, 200) i;
CREATE TABLE queries AS SELECT id, (SELECT array_agg(x + (random() - 0.5) / 2) FROM unnest(vec) x) AS q FROM points WHERE id % 200 = 3 AND id < 11000;

-- Builds with so much memory, and asks all queries for the ten nearest.
CREATE FUNCTION build(memory text, metric text, operator text, options text,
	OUT rows bigint, OUT hits bigint, OUT seen bigint, OUT twice bigint, OUT problems bigint) LANGUAGE plpgsql AS $$
DECLARE
	q real[];
	n bigint;
BEGIN
	EXECUTE format('SET LOCAL maintenance_work_mem = %L', memory);
	EXECUTE format('CREATE INDEX points_index ON points USING ann_hnsw (vec real_%s_ops) WITH (%s)', metric, options);
	SELECT i.rows INTO rows FROM ann_index_info('points_index') i;
	SELECT count(*) INTO problems FROM ann_check('points_index', heap => true);
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
-- recall within 1 % of that of a build in memory
CREATE FUNCTION compare(memory text, metric text, operator text, options text,
	OUT same_recall boolean, OUT good boolean, OUT same_rows boolean, OUT seen bigint, OUT twice bigint, OUT problems bigint) LANGUAGE sql AS $$
	SELECT e.hits - i.hits >= -6, e.hits > 525, e.rows = i.rows, e.seen, e.twice, e.problems
	FROM build('64MB', metric, operator, options) i, build(memory, metric, operator, options) e
$$;
SELECT metric, options, c.*
FROM (VALUES ('l2', '<->'), ('cosine', '<=>'), ('ip', '<#>')) m(metric, operator), unnest(ARRAY['m = 16', 'scalar = i8, m = 8', 'scalar = none']) options,
	compare('1MB', metric, operator, options) c;
SELECT options, c.* FROM unnest(ARRAY['scalar = f32', 'scalar = f64']) options, compare('3MB', 'l2', '<->', options) c;
DROP FUNCTION compare(text, text, text, text);
-- it says so
\set VERBOSITY terse
RESET client_min_messages;
SET maintenance_work_mem = '1MB';
CREATE INDEX points_index ON points USING ann_hnsw (vec);
-- what inserts and vacuum make of it
DELETE FROM points WHERE id % 3 = 0;
INSERT INTO points SELECT 20000 + id, (SELECT array_agg(x + 1) FROM unnest(vec) x) FROM points WHERE id % 5 = 1 AND id < 11000;
VACUUM (INDEX_CLEANUP ON) points;
SELECT * FROM ann_check('points_index', heap => true);
SET maintenance_work_mem = '64MB';
REINDEX INDEX points_index;
DROP INDEX points_index;

-- hardly anything but equal rows: no leaders divide them
CREATE TABLE equal (id integer, vec real[]);
INSERT INTO equal SELECT i, CASE WHEN i % 1000 = 0 THEN array_fill(i::real, ARRAY[32]) ELSE array_fill(1::real, ARRAY[32]) END FROM generate_series(1, 20000) i;
SET maintenance_work_mem = '1MB';
CREATE INDEX equal_index ON equal USING ann_hnsw (vec);
SELECT count(*), count(DISTINCT id), min(x), max(x)::integer FROM (SELECT id, vec <-> array_fill(1::real, ARRAY[32]) AS x FROM equal ORDER BY vec <-> array_fill(1::real, ARRAY[32])) s;
SELECT id FROM equal ORDER BY vec <-> array_fill(7001::real, ARRAY[32]) LIMIT 3;
SELECT * FROM ann_check('equal_index', heap => true);
-- nothing else
UPDATE equal SET vec = array_fill(0::real, ARRAY[32]);
VACUUM equal;
REINDEX INDEX equal_index;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM equal ORDER BY vec <-> array_fill(1::real, ARRAY[32])) s;
SELECT * FROM ann_check('equal_index', heap => true);
DROP TABLE equal;

-- long vectors: there is room for some of them whatever the setting
CREATE TABLE long (id integer, vec real[]);
INSERT INTO long SELECT i, (SELECT array_agg(sin(i * 0.7 + j * i / 100.0)) FROM generate_series(1, 6000) j) FROM generate_series(1, 400) i;
CREATE INDEX long_index ON long USING ann_hnsw (vec real_cosine_ops);
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM long ORDER BY vec <=> (SELECT vec FROM long WHERE id = 5)) s;
SELECT id FROM long ORDER BY vec <=> (SELECT vec FROM long WHERE id = 345) LIMIT 1;
SELECT * FROM ann_check('long_index', heap => true);
DROP INDEX long_index;
DELETE FROM long WHERE id > 2;
UPDATE long SET vec = (SELECT array_agg(sin(id * j)) FROM generate_series(1, 16000) j);
CREATE INDEX long_index ON long USING ann_hnsw (vec) WITH (scalar = f64);
SELECT id FROM long ORDER BY vec <-> (SELECT vec FROM long WHERE id = 2);
DROP TABLE long;

-- no room for temporary files either: a clean error
SET temp_file_limit = '100kB';
\set VERBOSITY sqlstate
CREATE INDEX points_index ON points USING ann_hnsw (vec);
\set VERBOSITY terse
RESET temp_file_limit;
SELECT count(*) AS temporary_files FROM pg_ls_tmpdir();
RESET maintenance_work_mem;
DROP TABLE points, queries;
DROP FUNCTION build(text, text, text, text);
