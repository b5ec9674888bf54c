-- Everything that PostgreSQL does with an index and its table.  Crashes,
-- standbys and dumps are in test/t, concurrency is in test/isolation.
SELECT setseed(0.5);
SET enable_seqscan = off;
SET jit = off;

-- Rows on a spiral: the nearest of (i, i/10, sin i) is row i.
CREATE FUNCTION spiral(i float8) RETURNS real[] LANGUAGE sql IMMUTABLE AS 'SELECT ARRAY[i, i / 10, sin(i)]::real[]';
CREATE TABLE source AS SELECT i AS id, spiral(i) AS vec FROM generate_series(1, 1200) i;
-- Asks for the five nearest, 20 times: are 95 of the 100 what the table itself
-- says, all sorted, and found by the index?
CREATE FUNCTION check_index(name text, expression text DEFAULT 'vec') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	q real[];
	found float8[];
	truth float8[];
	hits integer := 0;
	unsorted integer := 0;
	scan boolean := false;
	line text;
BEGIN
	FOR i IN 1..20 LOOP
		q := spiral(i * 59.5);
		EXECUTE format('SELECT array_agg(x) FROM (SELECT %2$s <-> $1 AS x FROM %1$s ORDER BY %2$s <-> $1 LIMIT 5) s', name, expression) INTO found USING q;
		EXECUTE format('SELECT array_agg(x) FROM (SELECT (%2$s <-> $1) + 0 AS x FROM %1$s ORDER BY x LIMIT 5) s', name, expression) INTO truth USING q;
		hits := hits + (SELECT count(*) FROM unnest(found) x WHERE x <= truth[5]);
		unsorted := unsorted + (found <> ARRAY(SELECT x FROM unnest(found) x ORDER BY x))::integer;
	END LOOP;
	FOR line IN EXECUTE format('EXPLAIN SELECT * FROM %1$s ORDER BY %2$s <-> $1 LIMIT 5', name, expression) USING q LOOP
		scan := scan OR line LIKE '%Order By: %';
	END LOOP;
	RETURN CASE WHEN hits >= 95 THEN 'good' ELSE hits || ' of 100' END || CASE WHEN unsorted > 0 THEN ', not sorted' ELSE '' END ||
		CASE WHEN scan THEN '' ELSE ', without index' END;
END
$$;

-- permanent, unlogged, and changes from one to the other
CREATE TABLE items (LIKE source);
CREATE INDEX items_vec ON items USING annoy (vec);
INSERT INTO items SELECT * FROM source;
SELECT check_index('items');
REINDEX INDEX items_vec;
SELECT check_index('items');
-- the end of what the metapage says: nothing that happened to be in memory
SELECT pg_read_binary_file(pg_relation_filepath('items_vec'), 68, 4);
ALTER TABLE items SET UNLOGGED;
SELECT check_index('items');
INSERT INTO items SELECT id + 5000, spiral(id + 0.5) FROM source;
SELECT check_index('items');
ALTER TABLE items SET LOGGED;
SELECT check_index('items');
CREATE UNLOGGED TABLE fleeting AS SELECT * FROM source;
CREATE INDEX ON fleeting USING annoy (vec);
SELECT check_index('fleeting');

-- rewriting and maintenance
REINDEX INDEX CONCURRENTLY items_vec;
SELECT check_index('items');
DELETE FROM items WHERE id % 4 = 0;
VACUUM FULL items;
SELECT check_index('items');
ALTER TABLE items ADD PRIMARY KEY (id);
CLUSTER items USING items_pkey;
SELECT check_index('items');
CREATE INDEX CONCURRENTLY items_second ON items USING annoy (vec) WITH (scalar = f32);
DROP INDEX items_vec;
SELECT check_index('items');
CREATE INDEX items_btree ON items (id);
CLUSTER items USING items_second;
TRUNCATE items;
SELECT count(*) FROM (SELECT * FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 5) s;
INSERT INTO items SELECT * FROM source;
SELECT check_index('items');
ALTER TABLE items ALTER vec TYPE double precision[];
ALTER INDEX items_second SET (scalar = f64);
REINDEX INDEX items_second;
SELECT method = 'annoy' AS method, metric, type, dimensions, scalar, rows FROM ann_index_info('items_second');
DROP INDEX items_second;
ALTER TABLE items ALTER vec TYPE double precision[];
CREATE INDEX items_double ON items USING annoy (vec);
SELECT check_index('items');
BEGIN;
TRUNCATE items;
INSERT INTO items VALUES (1, '{1,2}');
SELECT id FROM items ORDER BY vec <-> '{1,2}' LIMIT 5;
ROLLBACK;
SELECT check_index('items');
BEGIN;
DROP INDEX items_double;
ROLLBACK;
SELECT check_index('items');
BEGIN;
SAVEPOINT a;
INSERT INTO items SELECT id + 10000, spiral(id + 0.25) FROM source;
ROLLBACK TO a;
INSERT INTO items SELECT id + 20000, spiral(id + 0.75) FROM source;
SELECT check_index('items');
COMMIT;
SELECT check_index('items');

-- temporary tables
CREATE TEMP TABLE short (LIKE source);
INSERT INTO short SELECT * FROM source;
CREATE INDEX ON short USING annoy (vec);
SELECT check_index('short');
INSERT INTO short SELECT id + 2000, spiral(id + 0.5) FROM source;
DELETE FROM short WHERE id % 3 = 0;
VACUUM short;
SELECT check_index('short');
CREATE TEMP TABLE empty_at_commit (LIKE source) ON COMMIT DELETE ROWS;
CREATE INDEX ON empty_at_commit USING annoy (vec);
BEGIN;
INSERT INTO empty_at_commit SELECT * FROM source;
SELECT check_index('empty_at_commit');
COMMIT;
SELECT count(*) FROM (SELECT * FROM empty_at_commit ORDER BY vec <-> '{1,2}' LIMIT 5) s;
BEGIN;
INSERT INTO empty_at_commit SELECT id, vec || 1::real FROM source;
SELECT id FROM empty_at_commit ORDER BY vec <-> '{7,0.7,0.65,1}' LIMIT 1;
COMMIT;
DROP TABLE short, empty_at_commit, fleeting;

-- an index on an expression, on some of the rows, on both
CREATE TABLE points AS SELECT i AS id, i::float8 AS x, i / 10.0 AS y, sin(i)::float8 AS z, i % 2 = 0 AS even FROM generate_series(1, 1200) i;
CREATE INDEX ON points USING annoy ((ARRAY[x, y, z]));
SELECT check_index('points', 'ARRAY[x, y, z]');
UPDATE points SET x = x + 0.1 WHERE even;
SELECT check_index('points', 'ARRAY[x, y, z]');
CREATE INDEX points_even ON points USING annoy ((ARRAY[x, z])) WHERE even;
EXPLAIN (COSTS OFF) SELECT id FROM points WHERE even ORDER BY ARRAY[x, z] <-> '{1,2}' LIMIT 5;
SELECT id FROM points WHERE even ORDER BY ARRAY[x, z] <-> ARRAY[100.1, sin(100)] LIMIT 1;
CREATE TABLE mixed (id integer, vec float8[]);
INSERT INTO mixed SELECT i, CASE WHEN i % 2 = 0 THEN ARRAY[i, 1] ELSE ARRAY[i, 2, 3] END FROM generate_series(1, 2000) i;
CREATE INDEX mixed_2 ON mixed USING annoy (vec) WHERE cardinality(vec) = 2;
CREATE INDEX mixed_3 ON mixed USING annoy (vec) WHERE cardinality(vec) = 3;
SELECT id FROM mixed WHERE cardinality(vec) = 2 ORDER BY vec <-> '{500,1}' LIMIT 1;
SELECT id FROM mixed WHERE cardinality(vec) = 3 ORDER BY vec <-> '{501,2,3}' LIMIT 1;
-- a partial index is no index for anything else
RESET enable_seqscan;
EXPLAIN (COSTS OFF) SELECT id FROM mixed WHERE cardinality(vec) = 2;
SET enable_seqscan = off;
DROP TABLE mixed, points;

-- partitions: merged in the exact order
CREATE TABLE parts (id integer, vec real[]) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (400);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (400) TO (800);
INSERT INTO parts SELECT * FROM source WHERE id < 800;
CREATE INDEX parts_index ON parts USING annoy (vec);
CREATE TABLE parts_3 PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT * FROM source WHERE id >= 800;
EXPLAIN (COSTS OFF) SELECT id FROM parts ORDER BY vec <-> '{399.7,40,0}' LIMIT 3;
SELECT id FROM parts ORDER BY vec <-> '{399.7,40,0}' LIMIT 3;
SELECT check_index('parts');
-- a partitioned index has nothing in it
SELECT * FROM ann_index_info('parts_index');
SELECT * FROM ann_chunks('parts_index');
DROP TABLE parts;

-- tablespaces
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE ann_space LOCATION '';
CREATE INDEX items_space ON items USING annoy (vec) TABLESPACE ann_space;
DROP INDEX items_double;
SELECT check_index('items');
ALTER INDEX items_space SET TABLESPACE pg_default;
INSERT INTO items VALUES (-1, spiral(59.5));
SELECT check_index('items');
DROP TABLESPACE ann_space;

-- what the functions tell, and to whom
DROP TABLE items;
CREATE TABLE items (LIKE source);
INSERT INTO items SELECT * FROM source;
INSERT INTO items SELECT id + 2000, vec FROM source;
INSERT INTO items VALUES (0, NULL);
CREATE INDEX items_vec ON items USING annoy (vec real_cosine_ops) WITH (scalar = i8);
CREATE INDEX items_empty ON items USING annoy (vec) WHERE id < 0;
CREATE INDEX items_id ON items (id);
SELECT method = 'annoy' AS method, metric, type, dimensions, scalar, code_bits, rows, chunks,
	pages = node_pages + leaf_pages + element_pages + other_pages + free_pages AS all_pages,
	pages = pg_relation_size('items_vec') / current_setting('block_size')::integer AS size,
	free_pages, format_version, simd = ann_simd() AS simd FROM ann_index_info('items_vec');
SELECT method = 'annoy' AS method, metric, type, dimensions, scalar, code_bits, rows, chunks, pages, free_pages FROM ann_index_info('items_empty');
SELECT chunk, first_heap_block, last_heap_block, rows, dead, leaf_capacity > 0 AS leaf_capacity FROM ann_chunks('items_vec');
SELECT chunk, first_heap_block, last_heap_block, rows, dead FROM ann_chunks('items_empty');
SELECT * FROM ann_index_info('items_id');
SELECT * FROM ann_index_info('items');
SELECT * FROM ann_chunks('items_id');
SELECT * FROM ann_chunks('items'::regclass);
SELECT * FROM ann_chunks(0);
SELECT ann_index_info(NULL) IS NULL AS strict, count(*) FROM ann_chunks(NULL);
CREATE ROLE regress_ann_nobody;
SET ROLE regress_ann_nobody;
SELECT * FROM ann_index_info('items_vec');
SELECT * FROM ann_chunks('items_vec');
RESET ROLE;
GRANT SELECT ON items TO regress_ann_nobody;
SET ROLE regress_ann_nobody;
SELECT rows FROM ann_chunks('items_vec');
RESET ROLE;
REVOKE ALL ON items FROM regress_ann_nobody;
DROP ROLE regress_ann_nobody;
SELECT count(*), bool_and(amvalidate(c.oid)) FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'annoy';
SELECT pg_indexam_has_property(oid, 'can_order') AS can_order, pg_indexam_has_property(oid, 'can_unique') AS can_unique,
	pg_indexam_has_property(oid, 'can_multi_col') AS can_multi_col FROM pg_am WHERE amname = 'annoy';
SELECT pg_index_column_has_property('items_vec', 1, 'distance_orderable') AS distance_orderable,
	pg_index_column_has_property('items_vec', 1, 'orderable') AS orderable,
	pg_index_column_has_property('items_vec', 1, 'returnable') AS returnable;

-- both column types, each type of query: the index serves them all
CREATE TABLE both_types AS SELECT id, vec AS r, vec::float8[] AS d FROM source;
CREATE INDEX ON both_types USING annoy (r);
CREATE INDEX ON both_types USING annoy (d);
CREATE FUNCTION plan_and_row(col text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := 'no index';
	id integer;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (COSTS OFF) SELECT id FROM both_types ORDER BY %I <-> %s LIMIT 1', col, query) LOOP
		plan := coalesce(substring(line FROM 'Index Scan using \w+'), plan);
	END LOOP;
	EXECUTE format('SELECT id FROM both_types ORDER BY %I <-> %s LIMIT 1', col, query) INTO id;
	RETURN plan || ': ' || id;
END
$$;
SELECT query, plan_and_row('r', query) AS r, plan_and_row('d', query) AS d
FROM unnest(ARRAY['''{44,4.4,0}''', '''{44,4.4,0}''::real[]', '''{44,4.4,0}''::float8[]', 'ARRAY[44, 4.4, 0]', 'ARRAY[44, 4, 0]',
	'''{44,4,0}''::bigint[]', '''{44,4,0}''::smallint[]', '(SELECT ARRAY[44, 4.4, 0])']) query;
DROP TABLE both_types;
DROP FUNCTION plan_and_row(text, text);
DROP INDEX items_vec, items_empty;

-- statements of all kinds that use the index
CREATE INDEX items_vec ON items USING annoy (vec);
DELETE FROM items WHERE id > 2000 OR id = 0;
SET plan_cache_mode = force_generic_plan;
PREPARE nearest(real[], bigint) AS SELECT id FROM items ORDER BY vec <-> $1 LIMIT $2;
EXPLAIN (COSTS OFF) EXECUTE nearest('{100,10,0}', 3);
EXECUTE nearest(spiral(100), 1);
EXECUTE nearest(spiral(200), 3);
EXECUTE nearest(spiral(300), 0);
EXECUTE nearest(NULL, 0);
SELECT count(*), count(id) FROM (SELECT 1) one LEFT JOIN (SELECT id FROM items ORDER BY vec <-> NULL::real[] LIMIT 2000) s ON true;
RESET plan_cache_mode;
DEALLOCATE nearest;
-- a join that asks the index again for each row, for as many as it says
CREATE TEMP TABLE fives AS SELECT * FROM source WHERE id % 300 = 5;
SELECT s.id, n.id FROM generate_series(10, 30, 10) s(id), LATERAL (SELECT id FROM items ORDER BY vec <-> spiral(s.id) LIMIT s.id / 10) n;
SELECT count(*) FROM (VALUES (1), (1200), (2), (NULL), (0), (600)) l(l), LATERAL (SELECT id FROM items ORDER BY vec <-> spiral(7) LIMIT l) n;
SELECT s.id, (SELECT id FROM items i ORDER BY i.vec <-> s.vec OFFSET 1 LIMIT 1) IN (s.id - 1, s.id + 1) AS neighbour FROM source s WHERE id % 300 = 50;
-- cursors, also beyond the end of the transaction
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY vec <-> spiral(100) LIMIT 4;
DECLARE c CURSOR FOR SELECT id FROM items ORDER BY vec <-> spiral(100);
FETCH 1 FROM held;
FETCH 1 FROM c;
DELETE FROM items WHERE id = 99;
MOVE 1 FROM c;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY vec <-> spiral(100) LIMIT 4;
DECLARE scrolling SCROLL CURSOR FOR SELECT id FROM items ORDER BY vec <-> spiral(100) LIMIT 4;
FETCH ALL FROM scrolling;
FETCH BACKWARD 2 FROM scrolling;
COMMIT;
FETCH ALL FROM held;
CLOSE held;
-- the row itself: ctid, whole row, FOR UPDATE, current of, changes by subquery
SELECT count(*) FROM (SELECT ctid AS tid, id FROM items ORDER BY vec <-> spiral(100) LIMIT 10) s JOIN items i ON i.ctid = s.tid AND i.id = s.id;
SELECT items FROM items ORDER BY vec <-> spiral(0) LIMIT 1;
BEGIN;
SELECT id FROM items ORDER BY vec <-> spiral(100) LIMIT 1 FOR UPDATE;
UPDATE items SET id = -id WHERE ctid IN (SELECT ctid FROM items ORDER BY vec <-> spiral(100) LIMIT 2);
DECLARE c CURSOR FOR SELECT id FROM items ORDER BY vec <-> spiral(200) FOR UPDATE;
FETCH 1 FROM c;
UPDATE items SET vec = spiral(1000.5) WHERE CURRENT OF c;
SELECT id FROM items ORDER BY vec <-> spiral(1000.5) LIMIT 1;
SELECT id FROM items WHERE id < 0 ORDER BY vec <-> spiral(100) LIMIT 5;
DELETE FROM items USING (SELECT id AS far FROM items ORDER BY vec <-> spiral(0) LIMIT 3) s WHERE id = far RETURNING id;
ROLLBACK;
-- plpgsql, with the index behind a variable
DO $$
DECLARE
	q float8[];
	found integer;
	total integer := 0;
BEGIN
	FOR i IN 1..20 LOOP
		q := spiral(i);
		SELECT id INTO found FROM items ORDER BY vec <-> q LIMIT 1;
		total := total + (found = i)::integer;
	END LOOP;
	FOR found IN SELECT id FROM items ORDER BY vec <-> spiral(5) LOOP
		EXIT WHEN found > 50;
		total := total + 1;
		IF found = 6 THEN
			UPDATE items SET vec = vec WHERE id = 6;
		END IF;
	END LOOP;
	RAISE NOTICE '%', total;
END
$$;

-- 10,000 searches in one statement do not add up in memory
CREATE FUNCTION memory_used() RETURNS bigint LANGUAGE sql AS 'SELECT sum(used_bytes)::bigint FROM pg_backend_memory_contexts';
DO $$
DECLARE
	before bigint;
	found bigint;
	during bigint;
BEGIN
	-- what is made once has been made
	SELECT sum(n.id) INTO found FROM source s, LATERAL (SELECT id FROM items ORDER BY vec <-> s.vec LIMIT 3) n WHERE s.id < 100;
	before := memory_used();
	SELECT count(*), max(used) INTO found, during FROM (
		SELECT n.id, CASE WHEN s.id = 1000 AND r = 10 THEN memory_used() END AS used
		FROM generate_series(1, 10) r, (SELECT * FROM source WHERE id <= 1000) s, LATERAL (SELECT id FROM items ORDER BY vec <-> s.vec LIMIT 1) n) s;
	RAISE NOTICE '% searches, less than 2 MB more: %', found, during - before < 2 * 1024 * 1024;
END
$$;

DROP TABLE items, source, fives;
DROP FUNCTION check_index(text, text);
DROP FUNCTION spiral(float8);
DROP FUNCTION memory_used();
